package broadcast

import (
	"slices"

	"github.com/skerry/skerry/internal/wire"
)

// maxParts bounds the packets of one answer in parts.
const maxParts = 64

// pack puts as much of this process's registrations into a body as room bytes hold. That is
// everything, or as many of the services in scope as fit, with the names of all services if they
// fit. base carries the hash and the fetch address. regs are in the order of registry.Compare.
func pack(regs []*wire.Registration, base wire.Listing, room int, scope []string) *wire.Listing {
	whole := base
	whole.Fetch = nil // nothing remains to be fetched
	whole.Complete = new(true)
	if used := size(&whole) + sizeAll(regs); used <= room {
		whole.Registrations = regs
		return &whole
	}
	part := base
	for _, r := range regs {
		if n := len(part.Names); n == 0 || part.Names[n-1] != r.Name {
			part.Names = append(part.Names, r.Name)
		}
	}
	if size(&part) > room {
		part.Names = nil
	}
	if size(&part) > room { // the answer is sent nevertheless
		part.Fetch, part.Hash, part.Seal = nil, nil, nil
	}
	for _, name := range scope {
		add(&part, regs, name, room)
	}
	return &part
}

// packParts puts the services in scope (all, when it is empty) into as many listings as needed,
// each complete for its own scope. A service with more registrations than one packet holds is left
// to Fetch.
func packParts(regs []*wire.Registration, base wire.Listing, room int, scope []string) []*wire.Listing {
	if len(scope) == 0 {
		for _, r := range regs {
			scope = append(scope, r.Name)
		}
		scope = slices.Compact(scope)
	}
	var parts []*wire.Listing
	for _, name := range scope {
		if n := len(parts); n > 0 && add(parts[n-1], regs, name, room) {
			continue
		}
		next := base
		if len(parts) < maxParts && add(&next, regs, name, room) {
			parts = append(parts, &next)
		}
	}
	return parts
}

// add puts a service into a listing with a scope, if it fits.
func add(l *wire.Listing, regs []*wire.Registration, name string, room int) bool {
	var mine []*wire.Registration
	for _, r := range regs {
		if r.Name == name {
			mine = append(mine, r)
		}
	}
	if size(l)+sizeAll(mine)+len(name)+2 > room {
		return false
	}
	l.Registrations = append(l.Registrations, mine...)
	l.Scope = append(l.Scope, name)
	return true
}

// sizeAll is the size of a list field.
func sizeAll(regs []*wire.Registration) int {
	n := 6 // field and list headers
	for _, r := range regs {
		n += size(r)
	}
	return n
}
