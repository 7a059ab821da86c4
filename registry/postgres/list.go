package postgres

import (
	"slices"
	"sort"

	"github.com/skerry/skerry/registry"
)

// list holds the instances of one service in the order of registry.Compare. A list that was shown
// is shared, and the next change copies it. Readers thus keep theirs, and memory holds one copy
// while nothing changes.
type list struct {
	in     []registry.Instance
	shared bool
}

// find looks up by identity. at is the position of the instance, or the one where it belongs.
func (l list) find(in *registry.Instance) (at int, found bool) {
	return sort.Find(len(l.in), func(i int) int { return in.Compare(&l.in[i]) })
}

// with returns the list with an instance, and whether that changed anything.
func (l list) with(in *registry.Instance) (next list, news bool) {
	at, found := l.find(in)
	if found && l.in[at].Equal(*in) {
		return l, false
	}
	l.own(1)
	if found {
		l.in[at] = *in
	} else {
		l.in = slices.Insert(l.in, at, *in)
	}
	return l, true
}

// without returns the list without an instance.
func (l list) without(in *registry.Instance) list {
	at, found := l.find(in)
	if found {
		l.own(0)
		l.in = slices.Delete(l.in, at, at+1)
	}
	return l
}

// own makes the list writable, with room for more instances.
func (l *list) own(more int) {
	if l.shared {
		l.in, l.shared = append(make([]registry.Instance, 0, len(l.in)+more), l.in...), false
	}
}
