package skerry

import (
	"slices"

	"github.com/skerry/skerry/discovery"
)

// Explain shows the list of a service as this node sees it: every instance,
// where the entry came from, and what was decided about it and why. The empty
// name means every service that the node knows, see [WithAllServices]; a name
// that nobody has asked for is looked up from now on.
func (n *Node) Explain(service string) []discovery.Entry {
	if service != "" {
		n.lists.Resolve(service)
		return n.lists.Explain(service)
	}
	var all []discovery.Entry
	for _, name := range n.lists.Services() {
		all = append(all, n.lists.Explain(name)...)
	}
	return all
}

// Sources shows how each registry answers for a service; for the empty name,
// how each answers for the services that the node knows.
func (n *Node) Sources(service string) []discovery.SourceStatus {
	if service != "" {
		n.lists.Resolve(service)
		return n.lists.Sources(service)
	}
	var all []discovery.SourceStatus
	for _, s := range n.sources {
		all = append(all, discovery.SourceStatus{Name: s.Name})
	}
	for _, name := range n.lists.Services() {
		for _, s := range n.lists.Sources(name) {
			all = unite(all, s)
		}
	}
	return all
}

// unite adds what a source says of one service to what it says of all.
func unite(all []discovery.SourceStatus, s discovery.SourceStatus) []discovery.SourceStatus {
	i := slices.IndexFunc(all, func(a discovery.SourceStatus) bool { return a.Name == s.Name })
	if i < 0 {
		return append(all, s)
	}
	a := &all[i]
	a.Answered = a.Answered || s.Answered
	a.Partial = a.Partial || s.Partial
	a.Listed += s.Listed
	if s.Lost != "" {
		a.Lost = s.Lost
	}
	if s.Read.After(a.Read) {
		a.Read = s.Read
	}
	return all
}

// Subscribe returns a channel of every change of the lists that the node
// keeps from now on, and a function that ends it; see
// [discovery.Discovery.Subscribe].
func (n *Node) Subscribe(size int) (events <-chan discovery.Event, stop func()) {
	return n.lists.Subscribe(size)
}
