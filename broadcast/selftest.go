package broadcast

import (
	"context"
	"fmt"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// selfTestTime is enough for the three queries of a start and their answers.
const selfTestTime = 2*burstGap + 2*maxDelay

// Report is what a SelfTest found.
type Report struct {
	Interfaces []InterfaceStats
	Peers      []Peer // who answered
	Stats      Stats
	OnlySelf   bool      // nobody else was heard on any interface
	Findings   []Finding // what to look into, the worst first; empty when all is well
}

// Finding is something that is wrong or strange, and what to do about it.
type Finding struct {
	What string
	Do   string
}

// SelfTest asks everybody on the LAN who they are, for three seconds, and says
// which interfaces hear themselves and others. It registers nothing, and uses
// an owner of its own, so that it can run beside a process of the same host.
func SelfTest(ctx context.Context, cfg Config) (Report, error) {
	cfg.Owner = registry.NewOwner()
	cfg.State.Save = nil
	r, err := New(cfg)
	if err != nil {
		return Report{}, err
	}
	stop := r.Watch(registry.AllServices, func(registry.Snapshot) {})
	defer stop()
	g := run.NewGroup(ctx)
	g.Go(r.Run)
	cut := run.Sleep(ctx, selfTestTime)
	stats, peers := r.Stats(), r.Peers()
	if err := g.Stop(); err != nil {
		return Report{}, err
	}
	if cut != nil {
		return Report{}, fmt.Errorf("LAN self-test: %w", cut)
	}
	return judge(stats, peers, r.cfg.Port), nil
}

// judge reads the counters of a test.
func judge(s Stats, peers []Peer, port int) Report {
	rep := Report{Interfaces: s.Interfaces, Peers: peers, Stats: s, OnlySelf: len(peers) == 0}
	find := func(do, what string, args ...any) {
		rep.Findings = append(rep.Findings, Finding{What: fmt.Sprintf(what, args...), Do: do})
	}
	if len(s.Interfaces) == 0 {
		find("bring an interface up, or name one that exists under lan.interfaces", "none of the chosen network interfaces is up")
	}
	for _, i := range s.Interfaces {
		rep.OnlySelf = rep.OnlySelf && i.HeardGroup+i.HeardDirect == 0
		switch {
		case i.SendFailed > 0 && i.Sent == 0:
			find("check the interface and the local firewall's outgoing rules", "nothing can be sent on %s: %s", i.Name, i.LastError)
		case i.HeardOwn == 0:
			find(fmt.Sprintf("allow UDP port %d in and out in the local firewall", port),
				"%s does not hear its own broadcasts", i.Name)
		}
	}
	if s.WrongKey > 0 {
		find("set lan.key to the same secret on every host", "%d packets of this cluster have another key", s.WrongKey)
	}
	if rep.OnlySelf {
		find(fmt.Sprintf("if there should be others: allow UDP port %d on them, check that they are in the same VLAN, or name one of them under lan.seeds", port),
			"I hear only myself")
	}
	if s.Foreign > 0 {
		find("nothing, if that is meant; else compare the cluster names", "%d packets of other clusters share the port", s.Foreign)
	}
	return rep
}
