package trust

import (
	"context"
	"log/slog"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/run"
)

// Run follows the files until ctx ends. The log says when they can't be read, and when they can be
// read again.
func (t *Trust) Run(ctx context.Context, log *slog.Logger) error {
	g := run.NewGroup(ctx)
	if t.operators != nil {
		g.Go(func(ctx context.Context) error { return t.operators.Run(ctx, sayOperators(log)) })
	}
	if t.files != nil {
		g.Go(func(ctx context.Context) error { return t.files.Run(ctx, sayKeys(log)) })
		g.Go(t.follow)
	}
	<-ctx.Done()
	return g.Stop()
}

// follow puts the keys of the files in force when they change.
func (t *Trust) follow(ctx context.Context) error {
	for {
		changed := t.files.Ring().Changed()
		t.renew()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func sayKeys(log *slog.Logger) func(error) {
	return func(err error) {
		if err == nil {
			log.Info("the site's keys can be read again, and are in force")
			return
		}
		log.Error("the site's keys can't be read; the last good ones stay in force", "err", err)
	}
}

func sayOperators(log *slog.Logger) func(error) {
	return func(err error) {
		switch {
		case err == nil:
			log.Info("the operators' keys can be read again, and are in force")
		case keyfile.NoOperator(err):
			log.Error("the file of operators names no operator any more: no step of a release is obeyed here until "+
				"it does",
				"err", err)
		default:
			log.Error("the operators' keys can't be read; the last good ones stay in force", "err", err)
		}
	}
}
