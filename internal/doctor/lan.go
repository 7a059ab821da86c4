package doctor

import (
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
)

// LAN reports whether packets go out and come in, and from which peers.
func LAN(r broadcast.Report) []Finding {
	l := List{Area: "LAN"}
	for _, i := range r.Interfaces {
		l.Fine("%s (%s): sent %d packets, heard %d of our own, %d broadcast and %d unicast of others",
			i.Name, i.Addr, i.Sent, i.HeardOwn, i.HeardGroup, i.HeardDirect)
	}
	if len(r.Peers) > 0 {
		l.peers(r.Peers)
	}
	for _, x := range r.Findings {
		if x.Wrong {
			l.Problem(quoted(x.Do), "%s", x.What)
		} else {
			l.Hint(quoted(x.Do), "%s", x.What)
		}
	}
	return l.All
}

// peers reports the peers that answered, and whether broadcast reaches them.
func (l *List) peers(peers []broadcast.Peer) {
	hosts, registrations, unicast := map[string]bool{}, 0, 0
	for _, p := range peers {
		hosts[p.Owner.Host] = true
		registrations += p.Registrations
		if !p.Broadcast {
			unicast++
		}
	}
	l.Fine("%s on %s answered, with %s",
		number.Count(len(peers), "process", "es"), number.Count(len(hosts), "host", "s"),
		number.Count(registrations, "registration", "s"))
	if unicast == len(peers) {
		l.Hint("nothing, when the hosts are in several VLANs; else let broadcast through the switches and firewalls",
			"all of them answered by unicast only: broadcast does not pass between us")
	}
}

func quoted(text string) quote.Safe { return quote.Safe(quote.Text(text)) }

// OtherKeys names the hosts that a process hears with another key of the site.
func OtherKeys(list []broadcast.KeyHolder) []Finding {
	l := List{Area: "Trust"}
	for i, k := range list {
		if i == otherKeysNamed {
			l.Hint("", "%d further hosts use another site key", len(list)-i)
			break
		}
		l.Problem("if it is a host of this site, run skerry doctor there: it names the wrong key, and the command",
			"%s (%s) uses another site key", k.Addr, k.Host)
	}
	return l.All
}

// otherKeysNamed bounds the hosts that OtherKeys names.
const otherKeysNamed = 6
