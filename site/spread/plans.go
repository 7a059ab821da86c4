package spread

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/site/agent"
)

const (
	pullTime = 5 * time.Second  // between two looks at the plans of neighbours
	pullFrom = 3                // neighbours
	pushTo   = 4                // neighbours
	badTime  = 10 * time.Minute // for which one that sent a wrong plan or piece is left out
)

// puller takes plans from neighbours, and passes them on.
type puller struct {
	a   *agent.Agent
	s   *Site
	c   Config
	bad map[string]time.Time // by process: no plan is taken from it until then
}

func newPuller(c Config, s *Site) *puller {
	return &puller{a: c.Agent, s: s, c: c, bad: map[string]time.Time{}}
}

// some are up to n neighbours, drawn by chance.
func some(all []Agent, n int) []Agent {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

// pull looks at the plans of a few neighbours again and again.
func (p *puller) pull(ctx context.Context) error {
	for {
		for _, from := range some(p.s.neighbours(), pullFrom) {
			p.look(ctx, from)
		}
		if run.Sleep(ctx, run.Jitter(pullTime, 0.2)) != nil {
			return nil
		}
	}
}

// look asks a neighbour for its plan, and takes it, or gives it the one of this host.
func (p *puller) look(ctx context.Context, from Agent) {
	if time.Now().Before(p.bad[from.Process]) {
		return
	}
	delete(p.bad, from.Process)
	now, rival := p.a.Plan()
	told, err := p.ask(ctx, from, now.Number)
	if err != nil {
		return
	}
	switch {
	case told.Number < now.Number && rival == nil:
		_ = p.s.offer(ctx, []Agent{from}, now) // it may be locked, or not know the operator
		return
	case told.Number < now.Number || told.Number == 0:
		return
	case told.Number == now.Number && rival != nil:
		return
	case told.Number == now.Number && told.GetDigest() == string(now.Digest()) && !told.IsSetConflict():
		return
	case told.Number == now.Number: // another plan of this number
		if told, err = p.ask(ctx, from, now.Number-1); err != nil {
			return
		}
	}
	p.take(from, told.Document, told.Signature)
	if len(told.OtherDocument) > 0 {
		p.take(from, told.OtherDocument, told.OtherSignature)
	}
}

func (p *puller) ask(ctx context.Context, from Agent, above int64) (told *agentwire.SignedPlan, err error) {
	err = p.s.ask(ctx, from, askTime, func(ctx context.Context, c *agentwire.AgentClient) error {
		told, err = c.Plan(ctx, above)
		return err
	})
	return told, err
}

// take obeys a plan of a neighbour, if it may be obeyed.
func (p *puller) take(from Agent, text, signature []byte) {
	now, rival := p.a.Plan()
	err := p.a.Offer(text, signature)
	if err == nil {
		if after, _ := p.a.Plan(); after.Number != now.Number {
			p.a.SayNetwork(nil)
			p.c.Log.Info("a plan has come from a neighbour", "plan", after.Number, "signed_by", after.By,
				"from", from.Host)
		}
		return
	}
	if _, conflict := p.a.Plan(); conflict != nil { // which an offer may have brought in the same moment
		if rival == nil {
			p.c.Log.Error("two plans have one number; nothing is changed until a plan with a higher number comes",
				"plan", now.Number, "from", from.Host)
		}
		return
	}
	if errors.Is(err, agent.ErrLocked) {
		return
	}
	p.bad[from.Process] = time.Now().Add(badTime)
	p.a.SayNetwork(fmt.Errorf("%s has a plan that is refused here: %w", from.Host, err))
	p.c.Log.Warn("a neighbour has a plan that is refused here; it is asked for none for a while", "from", from.Host,
		"for", badTime, "err", err)
}

// push passes each new plan on.
func (p *puller) push(ctx context.Context) error {
	var pushed string
	for {
		changed := p.a.Changed()
		now, rival := p.a.Plan()
		digest := string(now.Digest())
		if now.Number > 0 && digest != pushed && rival == nil {
			pushed = digest
			p.s.offer(ctx, some(p.s.neighbours(), pushTo), now)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
