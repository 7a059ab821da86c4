package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/run"
)

// Proxy serves the programs of a configuration. [New] makes it.
type Proxy struct {
	programs []*program
	log      *slog.Logger
}

// New returns a proxy for the section proxy of a configuration. The other sections
// apply to the node of each program. New starts nothing. A nil log means the logger
// of the configuration. An invalid configuration, or one without programs, is an error.
func New(cfg config.Config, log *slog.Logger) (*Proxy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	if len(cfg.Proxy.Programs) == 0 {
		return nil, errors.New("the configuration names no program: proxy: {programs: {NAME: {listen: " +
			"unix:/run/skerry/NAME.sock}}}")
	}
	if log == nil {
		log = cfg.Log.Logger()
	}
	x, id := &Proxy{log: log}, newID()
	for _, name := range slices.Sorted(maps.Keys(cfg.Proxy.Programs)) {
		x.programs = append(x.programs, newProgram(name, id, cfg, log))
	}
	return x, nil
}

// Run serves until ctx ends, or until each program was drained or has another
// proxy. It returns after the proxy has left every program. A socket that can't
// be served is an error at once.
func (x *Proxy) Run(ctx context.Context) error {
	if err := x.open(ctx); err != nil {
		return err
	}
	group := run.NewGroup(context.WithoutCancel(ctx))
	for _, g := range x.programs {
		group.Go(func(context.Context) error {
			if err := g.run(ctx); err != nil {
				x.log.Error("calls of the program may have been cut off", "program", g.name, "err", err)
			}
			return nil
		})
	}
	return group.Wait()
}

// open makes every listener of every program before it publishes any. So a proxy that can't
// serve all of them takes no program from the earlier proxy.
func (x *Proxy) open(ctx context.Context) error {
	held, err := inheritedListeners()
	if err != nil {
		return err
	}
	defer held.close()
	for i, g := range x.programs {
		if err := g.open(ctx, held); err != nil {
			closeAll(x.programs[:i])
			return fmt.Errorf("proxy of %s: %w", g.name, err)
		}
	}
	if err := held.rest(); err != nil {
		closeAll(x.programs)
		return err
	}
	for _, g := range x.programs {
		g.prepare(ctx)
		if err := g.publish(); err != nil {
			closeAll(x.programs)
			return fmt.Errorf("proxy of %s: %w", g.name, err)
		}
	}
	return nil
}

func closeAll(programs []*program) {
	for _, g := range programs {
		g.close()
	}
}
