package main

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/registry"
)

// otherKeyShown bounds the hosts with another key that one line names.
const otherKeyShown = 6

// keyAndHosts holds the facts that decide which host has the wrong key.
type keyAndHosts struct {
	cluster string
	local   quote.Safe          // options of this command that select the same configuration
	place   quote.Safe          // place of this host's key; "" when it has none
	same    int                 // hosts with the same key, this one included
	self    string              // name of this host
	own     map[netip.Addr]bool // its addresses
	others  []broadcast.KeyHolder
}

// examineKey names the hosts with another key: those heard by doctor itself and
// those heard by the running processes.
func (a *app) examineKey(c skerry.Config, heard broadcast.Report, refused []control.Refusals) []finding {
	k := keyAndHosts{cluster: c.Cluster, place: a.keyPlace(c), local: quote.Sprintf("--cluster %s", c.Cluster)}
	if path := a.configPath(); path != "" {
		k.local = quote.Sprintf("-c %s", shellQuote(path))
	}
	k.self, _ = os.Hostname()
	k.own = ownAddrs()
	hosts, addrs := map[string]bool{k.self: true}, map[netip.Addr]bool{{}: true}
	for _, p := range heard.Peers {
		hosts[p.Owner.Host] = true
		if len(p.Addrs) > 0 && !k.own[p.Addrs[0].Addr()] {
			addrs[p.Addrs[0].Addr()] = true
		}
	}
	for _, r := range refused {
		if o, err := registry.ParseOwner(r.Process); err == nil {
			hosts[o.Host] = true
		}
	}
	k.same = max(len(hosts), len(addrs)) // several hosts may have one name
	by := map[netip.Addr]broadcast.KeyHolder{}
	for _, list := range append([][]broadcast.KeyHolder{heard.Stats.OtherKey}, otherKeys(refused)...) {
		for _, h := range list {
			by[h.Addr] = h
		}
	}
	for _, h := range by {
		k.others = append(k.others, h)
	}
	slices.SortFunc(k.others, func(a, b broadcast.KeyHolder) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Host, b.Host))
	})
	f := &findings{area: "Trust"}
	k.describe(f)
	return f.list
}

func otherKeys(refused []control.Refusals) (out [][]broadcast.KeyHolder) {
	for _, r := range refused {
		out = append(out, r.OtherKey)
	}
	return out
}

// keyPlace returns the place of the key with which this host signs.
func (a *app) keyPlace(c skerry.Config) quote.Safe {
	if slices.Equal(c.Site.Keys, []string{config.KeysNone}) ||
		slices.Equal(c.Site.Keys, []string{config.KeysCertificates}) {
		return ""
	}
	k, err := a.keys()
	switch {
	case err == nil && len(k.found) > 0:
		return quote.Sprintf("%s here (%s)", k.found[0].Place(), k.found[0].Key.Fingerprint())
	case err == nil && c.Database.URL != "":
		return "the database's"
	}
	return ""
}

// describe reports the hosts with another key in one line, with a command that mends it.
func (k keyAndHosts) describe(f *findings) {
	if len(k.others) == 0 {
		return
	}
	one := len(k.others) == 1
	hosts := quote.Sprintf("%s of cluster %q", count(len(k.others), "host", "s"), k.cluster)
	var what quote.Safe
	switch {
	case k.place == "" && one:
		what = quote.Sprintf("%s has a site key, and this host has none", hosts)
	case k.place == "":
		what = quote.Sprintf("%s have a site key, and this host has none", hosts)
	case one:
		what = quote.Sprintf("%s uses another site key than %s", hosts, k.place)
	default:
		what = quote.Sprintf("%s use another site key than %s", hosts, k.place)
	}
	for i, h := range k.others[:min(len(k.others), otherKeyShown)] {
		what += []quote.Safe{": ", ", "}[min(i, 1)] + k.name(h)
	}
	if more := len(k.others) - otherKeyShown; more > 0 {
		what += quote.Sprintf(" and %d more", more)
	}
	from := k.others[0].Addr.String()
	replace := quote.Safe(" --replace")
	if k.place == "" {
		replace = ""
	}
	take := quote.Sprintf("ssh %s skerry key show --cluster %s | skerry key set%s %s",
		from, k.cluster, replace, k.local)
	give := quote.Sprintf("skerry key show %s | ssh %s skerry key set --replace --cluster %s", k.local, from, k.cluster)
	sure := quote.Safe("if they are hosts of this site (packets by another key prove nothing)")
	giving, either := "%s, give each of them this host's key: %s",
		"%s, take over the key of the other side: %s; or give each of them this host's: %s"
	if one {
		sure = "if it is a host of this site (packets by another key prove nothing)"
		giving, either = "%s, give it this host's key: %s",
			"%s, take over the key of the other side: %s; or give it this host's: %s"
	}
	switch {
	case k.place == "" || len(k.others) > k.same:
		f.problem(quote.Sprintf("%s, take over the key of the other side: %s", sure, take), "%s", what)
	case len(k.others) < k.same:
		f.problem(quote.Sprintf(giving, sure, give), "%s", what)
	default:
		f.problem(quote.Sprintf(either, sure, take, give), "%s", what)
	}
}

// name returns a host's address with the name in its packets.
func (k keyAndHosts) name(h broadcast.KeyHolder) quote.Safe {
	switch {
	case k.own[h.Addr] || h.Addr.IsLoopback():
		return quote.Sprintf("another process of this host (%s)", h.Addr.String())
	case h.Host == "":
		return quote.Sprintf("%s", h.Addr.String())
	}
	return quote.Sprintf("%s (%s)", h.Addr.String(), h.Host)
}

// ownAddrs returns the addresses of this host.
func ownAddrs() map[netip.Addr]bool {
	own := map[netip.Addr]bool{}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr()] = true
		}
	}
	return own
}

// listen returns the hosts on the LAN that have a key, for a host that has none. The
// packets of such a host prove nothing, so it trusts no packet that it hears.
func listen(ctx context.Context, cfg broadcast.Config) []broadcast.KeyHolder {
	cfg.Open, cfg.Seeds = true, nil
	r, err := broadcast.SelfTest(ctx, cfg)
	if err != nil {
		return nil // examineLAN reports the reason
	}
	return r.Stats.OtherKey
}
