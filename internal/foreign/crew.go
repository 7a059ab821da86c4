package foreign

import (
	"context"
	"fmt"

	"github.com/skerry/skerry/internal/run"
)

// Crew keeps a list of providers that changes while it runs: what
// stays on the list is not touched, so that a consumer that uses it notices
// nothing when another name for it comes or goes.
type Crew struct {
	to      Site
	tell    func(Event) // from many goroutines
	group   *run.Group
	running map[string]*run.Group // by key
}

// NewCrew begins with nobody; it lives until ctx ends. tell may be called by
// several goroutines at a time.
func NewCrew(ctx context.Context, to Site, tell func(Event)) *Crew {
	return &Crew{to: to, tell: tell, group: run.NewGroup(ctx), running: map[string]*run.Group{}}
}

// Set makes the list what is wanted, by any key that changes with the
// provider. Those that are wanted no more have been withdrawn when it returns.
// Calls must not overlap.
func (c *Crew) Set(wanted map[string]Provider) {
	for key, g := range c.running {
		if _, stays := wanted[key]; !stays {
			_ = g.Stop() // what Keep failed with has ended the crew
			delete(c.running, key)
		}
	}
	for key, p := range wanted {
		if c.running[key] == nil {
			c.start(key, p)
		}
	}
}

func (c *Crew) start(key string, p Provider) {
	own := run.NewGroup(c.group.Context())
	c.running[key] = own
	keep := func(ctx context.Context) error { return Keep(ctx, c.to, p, c.tell) }
	own.Go(keep)
	c.group.Go(func(context.Context) error { return own.Wait() })
}

// Done is closed when the context of NewCrew ends, or a provider can't be
// listed at all.
func (c *Crew) Done() <-chan struct{} { return c.group.Context().Done() }

// Wait returns when the crew is done and everybody has been withdrawn, with
// the error of the provider that ended it.
func (c *Crew) Wait() error { return c.group.Wait() }

// Entries spells out the other names of the entries: one entry for each. Two
// that would be the same registration are an error.
func Entries(list []Entry) ([]Entry, error) {
	var out []Entry
	seen := map[string]bool{}
	for _, e := range list {
		also := e.Also
		e.Also = nil
		all := []Entry{e}
		for _, a := range also {
			all = append(all, e.as(a))
		}
		for _, x := range all {
			id := fmt.Sprintf("%s/%s at %s", x.Service, x.Version, x.Addr)
			if seen[id] {
				return nil, fmt.Errorf("%s is named twice", id)
			}
			seen[id] = true
			out = append(out, x)
		}
	}
	return out, nil
}
