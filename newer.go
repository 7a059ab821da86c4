package skerry

import (
	"context"
	"math/rand/v2"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/skerry/skerry/rollout"
)

// askedAtOnce is how many processes are asked for newer rules at a time.
const askedAtOnce = 8

// askNewer has the database and some processes asked for rules up to a
// generation, and calls over when all were asked.
func (n *Node) askNewer(to rollout.Generation, over func()) {
	begun := n.lookout.Go(func(ctx context.Context) error {
		defer over()
		n.fetchNewer(ctx, to)
		return nil
	})
	if !begun {
		over()
	}
}

// fetchNewer returns when the generation is applied or all have been asked.
func (n *Node) fetchNewer(ctx context.Context, to rollout.Generation) {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	round := run.NewGroup(ctx)
	ask := func(question func(context.Context) error) {
		round.Go(func(ctx context.Context) error {
			if err := question(ctx); err != nil && ctx.Err() == nil {
				n.log.Debug("newer rules were asked for in vain", "generation", to.String(), "err", err)
			}
			if !n.rules.Log().Last().Before(to) {
				cancel() // no other answer is needed
			}
			return nil
		})
	}
	for _, s := range n.sources {
		if db, ok := s.Registry.(*postgres.Registry); ok {
			ask(func(ctx context.Context) error { return n.learnFrom(ctx, db.Rules().Since) })
		}
	}
	others := n.members.list()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	asked := 0
	for _, m := range others {
		if m.Owner == n.owner || m.Gone != "" || asked == askedAtOnce {
			continue
		}
		asked++
		ask(func(ctx context.Context) error { return n.fetchRules(ctx, m) })
	}
	_ = round.Wait()
}
