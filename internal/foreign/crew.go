package foreign

import (
	"context"
	"fmt"

	"github.com/skerry/skerry/internal/run"
)

// Crew keeps a list of providers that may change while it runs. A change leaves
// the providers that stay on the list untouched. Consumers of a provider notice
// nothing when another name of the same server is added or removed.
type Crew struct {
	to      Site
	tell    func(Event) // called by many goroutines
	group   *run.Group
	running map[string]*run.Group // by key
}

// NewCrew returns a crew without providers, which lives until ctx ends. Several
// goroutines may call tell at a time.
func NewCrew(ctx context.Context, to Site, tell func(Event)) *Crew {
	return &Crew{to: to, tell: tell, group: run.NewGroup(ctx), running: map[string]*run.Group{}}
}

// Set replaces the list by wanted. Its keys are any text that changes with the
// provider. Set returns after the removed providers have been withdrawn. Calls
// must not overlap.
func (c *Crew) Set(wanted map[string]Provider) {
	for key, g := range c.running {
		if _, stays := wanted[key]; !stays {
			_ = g.Stop() // an error of Keep has already ended the crew
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

// Done returns a channel that is closed when the context of NewCrew ends or a
// registry rejects a provider.
func (c *Crew) Done() <-chan struct{} { return c.group.Context().Done() }

// Wait returns when the crew has ended and withdrawn all providers, with the
// error of the provider that ended it.
func (c *Crew) Wait() error { return c.group.Wait() }

// Entries expands the Also names of the entries: it returns one entry for each
// registration. Two equal registrations are an error.
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
