package skerry

import (
	"context"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/quote"
)

// examine checks this process and its host, for members that ask. See package doctor.
func (n *Node) examine(ctx context.Context) ([]byte, error) {
	release, dir := membership.Release(), n.cfg.StateDir
	found := n.checker.Run(ctx, []doctor.Check{
		{Area: "Process", Run: func(context.Context) []doctor.Finding {
			return doctor.Process(release, n.offers.server.Stats().Connections, n.cfg.Limits.Conns)
		}},
		{Area: "Address", Run: func(context.Context) []doctor.Finding { return n.examineAddresses() }},
		{Area: "LAN", Run: func(context.Context) []doctor.Finding { return n.examineLAN() }},
		{Area: "Trust", Run: func(context.Context) []doctor.Finding { return n.examineTrust() }},
		{Area: "Database", Run: n.examineDatabase},
		{Area: "State", Run: func(context.Context) []doctor.Finding { return doctor.State(dir) }},
		{Area: "Disk", Run: func(context.Context) []doctor.Finding { return doctor.Disk(dir) }},
		{Area: "Policy", Run: func(context.Context) []doctor.Finding {
			return doctor.Policy(n.members.Policy().Status(), membership.ObeyAgain)
		}},
	})
	return doctor.Report{Process: n.owner.String(), Host: n.owner.Host, Release: release, At: time.Now(),
		Findings: found}.Marshal()
}

// examineAddresses reports where the services of this process are announced, and why there.
func (n *Node) examineAddresses() []doctor.Finding {
	l := doctor.List{Area: "Address"}
	said := map[string]bool{}
	for _, s := range n.cfg.Services {
		if n.offers.addr() == nil || said[s.Advertise] {
			continue // it offers nothing yet
		}
		said[s.Advertise] = true
		a, err := n.offers.place(s)
		if err != nil {
			l.Problem("name an address, an interface or a CIDR of this host with service.advertise or lan.interfaces",
				"no address can be advertised: %v", err)
			continue
		}
		switch only := membership.HostOnly(a.host, n.offers.named(s)); {
		case only != "" && (s.Advertise != "" || n.cfg.Database.URL != ""):
			l.Problem("name an address of that host that others can reach by service.advertise; nothing, when only "+
				"that host calls the service",
				"%s of %s is advertised: %s\nIt is %s: other hosts are not told of it.", a.host, s.Name, a.reason, only)
		case only != "":
			l.Hint("connect the host to a network, or name its address with service.advertise",
				"%s of %s is advertised: %s\nIt is %s: other hosts are not told.", a.host, s.Name, a.reason, only)
		default:
			l.Fine("%s is advertised: %s", a.host, a.reason)
		}
	}
	return l.All
}

// examineLAN reports what the process has heard on the LAN since its start.
func (n *Node) examineLAN() (all []doctor.Finding) {
	for _, s := range n.sources {
		if lan, ok := s.Registry.(*broadcast.Registry); ok {
			r := lan.Diagnose()
			all = append(append(all, doctor.LAN(r)...), doctor.OtherKeys(r.Stats.OtherKey)...)
		}
	}
	return all
}

func (n *Node) examineTrust() []doctor.Finding {
	now := time.Now()
	all := append(doctor.Certificate(n.cfg.TLS, now), doctor.GatewayCertificate(n.cfg.Gateway.TLS, now)...)
	return append(all, doctor.Operators(n.cfg.Site.Operators)...)
}

// examineDatabase tries the database, unless the process knows already that it is away.
func (n *Node) examineDatabase(ctx context.Context) []doctor.Finding {
	db := n.members.Database()
	if db == nil {
		return nil
	}
	for _, s := range n.Sources("") {
		if s.Name == membership.Database && s.Lost != "" {
			l := doctor.List{Area: "Database"}
			l.Problem(quote.Safe("run skerry doctor on that host"), "it can't be reached: %s", s.Lost)
			return l.All
		}
	}
	return doctor.Database(ctx, db)
}
