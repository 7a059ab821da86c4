package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/trust"
)

// examineAddress reports the advertised address and its reason, for each service of
// the configuration. Without services it does so for a default one.
func examineAddress(c skerry.Config) []finding {
	f := &findings{area: "Address"}
	services := c.Services
	if len(services) == 0 {
		services = []config.Service{{}}
	}
	said := map[string]bool{}
	for _, s := range services {
		if key := s.Advertise + " " + s.Listen; !said[key] {
			said[key] = true
			describeAddress(f, c, s)
		}
	}
	return f.list
}

func describeAddress(f *findings, c skerry.Config, s config.Service) {
	a, err := skerry.Advertised(c, s)
	if err != nil {
		f.problem("name an address, an interface or a CIDR of this host with service.advertise or lan.interfaces",
			"no address can be advertised: %v", err)
		return
	}
	addr := a.Host
	if a.Port != 0 {
		addr = net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
	}
	text := quote.Sprintf("%s would be advertised: %s", addr, a.Reason)
	for _, other := range a.Considered {
		if other.Addr.String() != a.Host {
			text += quote.Sprintf("\nnot %s: %s", place(other), other.Reason)
		}
	}
	switch {
	case a.Only != "" && s.Name != "" && (s.Advertise != "" || c.Database.URL != ""):
		f.problem("name an address that other hosts can reach by service.advertise, and listen at it; nothing, when "+
			"only this host calls the service",
			"%s\nIt is %s: other hosts are not told of %s.", text, a.Only, s.Name)
	case a.Only != "":
		f.hint("connect the host to a network, or name its address with service.advertise",
			"%s\nIt is %s: other hosts are not told.", text, a.Only)
	default:
		f.fine("%s", text)
	}
}

func place(c broadcast.Address) string {
	if !c.Addr.IsValid() {
		return c.Interface
	}
	return c.Addr.String() + " on " + c.Interface
}

// examineLAN reports whether packets go out and come in, and from which peers.
func examineLAN(ctx context.Context, c skerry.Config) ([]finding, broadcast.Report) {
	f := &findings{area: "LAN"}
	stored, unread := storedKeys(ctx, c)
	t, err := siteTrust(c)
	if err == nil {
		err = t.Store(stored)
	}
	if err != nil {
		f.hint("see what is said of the key under Trust", "the LAN is not looked at, as the site's key can't be read")
		return f.list, broadcast.Report{}
	}
	keys, open := t.Use(trust.LAN)(), t.Mode() == trust.Open
	cfg := broadcast.Config{
		Cluster:    c.Cluster,
		Keys:       func() [][]byte { return keys },
		Open:       open,
		Port:       c.LAN.Port,
		Ports:      c.LAN.Ports,
		Interfaces: c.LAN.Interfaces,
		Seeds:      c.LAN.Seeds,
	}
	r, err := broadcast.SelfTest(ctx, cfg)
	if err != nil {
		f.problem("see whether another program holds the port; lan.port must be the same on every host",
			"the LAN can't be used: %v", err)
		return f.list, r
	}
	if len(keys) == 0 && !open && c.Database.URL == "" {
		r.Stats.OtherKey = listen(ctx, cfg)
	}
	f.list = append(f.list, doctor.LAN(r)...)
	switch {
	case open:
		f.problem(quote.Sprintf("take site.keys out (or unset SKERRY_SITE_KEYS), then make a key and give it to "+
			"every host: %s", keyCommands(c.Cluster)),
			"site.keys is none: every host on the LAN can announce providers and release")
	case len(keys) == 0 && unread != nil:
		f.hint(quote.Safe("see what is said of the database below; until then only processes of this host find each "+
			"other on the LAN"),
			"the site's key can't be read in the database: %v", unread)
	case len(keys) == 0 && c.Database.URL != "":
		f.hint(quote.Safe("start a service: the first one makes a key"), "the database holds no key of the site yet")
	case len(keys) == 0 && len(r.Stats.OtherKey) == 0: // else reported under Trust
		f.problem(quote.Sprintf("when another host has one, take it over: ssh HOST skerry key show --cluster %[1]s | "+
			"skerry key set --cluster %[1]s; else, before a second host joins: %[2]s", c.Cluster,
			keyCommands(c.Cluster)),
			"no key of the site: only processes of this host find each other")
	}
	return f.list, r
}

// offNetworks returns a text when an address is in none of the host's networks, so
// that packets need a router. It returns "" for an address in one, and for a name.
func offNetworks(addr string, own []netip.Prefix) quote.Safe {
	at, err := netip.ParseAddrPort(addr)
	ip := at.Addr()
	if err != nil || ip.IsLoopback() || slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return ""
	}
	if len(own) == 0 {
		return "; this host is in no network"
	}
	var names []string
	for _, p := range own {
		names = append(names, p.String())
	}
	return quote.Sprintf("; it is in none of the networks of this host (%s)", strings.Join(names, ", "))
}

// storedKeys returns the site's keys in the database, if one is configured.
func storedKeys(ctx context.Context, c skerry.Config) ([]string, error) {
	if c.Database.URL == "" {
		return nil, nil
	}
	db, err := database(c)
	if err != nil {
		return nil, err
	}
	return db.Keys(ctx)
}

// keyCommands returns the commands that give two hosts the same key.
func keyCommands(cluster string) quote.Safe {
	return quote.Sprintf("skerry key new --cluster %[1]s; skerry key show --cluster %[1]s | ssh HOST skerry key set "+
		"--cluster %[1]s", cluster)
}
