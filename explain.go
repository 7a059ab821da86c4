package skerry

import (
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
)

// Explain shows the list of a service as this node sees it: every instance, the source of its
// entry, and every decision about it with its reason. The empty name means every service that the
// node knows, see [WithAllServices]. A new name is looked up from now on. The framework's own
// services (skerry.node, the processes of the site) are shown by name only.
func (n *Node) Explain(service string) []discovery.Entry {
	if service != "" {
		n.lists.Resolve(service)
		return n.standings(n.lists.Explain(service))
	}
	var all []discovery.Entry
	for _, name := range n.lists.Services() {
		all = append(all, n.lists.Explain(name)...)
	}
	return n.standings(all)
}

// Sources shows the state of each registry for a service. For the empty name, with
// [WithAllServices], it shows the state for the whole site.
func (n *Node) Sources(service string) []discovery.SourceStatus {
	if service == "" {
		return n.lists.Sources(registry.AllServices)
	}
	n.lists.Resolve(service)
	return n.lists.Sources(service)
}

// Subscribe returns a channel of every change of the node's lists from now on, and a function that
// ends it; see [discovery.Discovery.Subscribe].
func (n *Node) Subscribe(size int) (events <-chan discovery.Event, stop func()) {
	return n.lists.Subscribe(size)
}

// standings adds the state of the versions in the log of releases.
func (n *Node) standings(list []discovery.Entry) []discovery.Entry {
	log := n.rules.Log()
	for i, e := range list {
		list[i].Standing = string(log.Standing(e.Service, e.Version))
	}
	return list
}
