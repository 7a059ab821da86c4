package skerry

import (
	"github.com/skerry/skerry/discovery"
)

// standings fills in what the log of releases says of the versions.
func (n *Node) standings(list []discovery.Entry) []discovery.Entry {
	log := n.rules.Log()
	for i, e := range list {
		list[i].Standing = string(log.Standing(e.Service, e.Version))
	}
	return list
}

// judge tells the log of this process when the rules keep calls away from a
// version that it offers, and when they do so no more.
func (o *offer) judge() {
	log := o.p.n.log
	for i, e := range o.entries {
		now := o.p.n.rules.Log().Standing(e.Name, e.Version)
		if len(o.stands) <= i {
			o.stands = append(o.stands, "")
		}
		before := o.stands[i]
		if o.stands[i] = now; now == before {
			continue
		}
		what, mend := now.Explain()
		switch {
		case now == "":
			log.Info("the rules let calls come to this version now", "service", e.Name, "version", e.Version)
		case now.Expected():
			log.Info(what, "service", e.Name, "version", e.Version, "mend", mend)
		default:
			log.Warn(what, "service", e.Name, "version", e.Version, "mend", mend)
		}
	}
}
