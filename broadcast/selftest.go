package broadcast

import (
	"context"
	"fmt"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// selfTestTime is enough for the three queries of a start and their answers.
const selfTestTime = 2*burstGap + 2*maxDelay

// Report is the result of a SelfTest.
type Report struct {
	Interfaces []InterfaceStats
	Peers      []Peer // the processes that answered
	Stats      Stats
	OnlySelf   bool      // no other process was heard on any interface
	Findings   []Finding // for the operator, the worst first; empty when all is well
}

// Finding is a fault or an oddity, and the operator's step.
type Finding struct {
	What  string
	Do    string
	Wrong bool // an operator must act; otherwise it may be in order
}

// SelfTest queries all processes on the LAN for three seconds, and reports which interfaces hear
// themselves and others. It registers nothing, and uses an owner of its own, so that it can run
// beside a process of the same host.
func SelfTest(ctx context.Context, cfg Config) (Report, error) {
	cfg.Owner = registry.NewOwner()
	cfg.SavePeers = nil
	r, err := New(cfg)
	if err != nil {
		return Report{}, err
	}
	stop := r.Watch(registry.AllServices, func(registry.Snapshot) {})
	defer stop()
	g := run.NewGroup(ctx)
	g.Go(r.Run)
	cut := run.Sleep(ctx, selfTestTime)
	stats, peers := r.Stats(), r.Peers()
	if err := g.Stop(); err != nil {
		return Report{}, err
	}
	if cut != nil {
		return Report{}, fmt.Errorf("LAN self-test: %w", cut)
	}
	return diagnose(stats, peers, r.cfg.ports(), len(r.cfg.Seeds) > 0), nil
}

// Diagnose reads the counters of a running registry, since its start, as those of a SelfTest.
func (r *Registry) Diagnose() Report {
	return diagnose(r.Stats(), r.Peers(), r.cfg.ports(), len(r.cfg.Seeds) > 0)
}
