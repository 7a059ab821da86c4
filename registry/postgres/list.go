package postgres

import (
	"slices"
	"sort"

	"github.com/skerry/skerry/registry"
)

// list is one service's instances in the order of registry.Compare. One that
// is shared, because it was shown, is copied by the next change: readers keep
// theirs, and there is one copy in memory as long as nothing changes.
type list struct {
	in     []registry.Instance
	shared bool
}

// find looks up by identity; at is where it stands or belongs.
func (l list) find(in *registry.Instance) (at int, found bool) {
	return sort.Find(len(l.in), func(i int) int { return in.Compare(&l.in[i]) })
}

// with is the list with an instance, and whether that says anything new.
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

// without is the list without an instance.
func (l list) without(in *registry.Instance) list {
	at, found := l.find(in)
	if found {
		l.own(0)
		l.in = slices.Delete(l.in, at, at+1)
	}
	return l
}

// own makes the list writable, with room for more.
func (l *list) own(more int) {
	if l.shared {
		l.in, l.shared = append(make([]registry.Instance, 0, len(l.in)+more), l.in...), false
	}
}
