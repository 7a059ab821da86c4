package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/device/gen/pumpapi"
)

const (
	callers  = 4                      // at the same time
	pause    = 100 * time.Millisecond // of each, between two requests: about 35 requests a second together
	deadline = 10 * time.Second       // of a call
)

// load sends requests; each moves the pump twice, and must meet one version.
type load struct {
	node *skerry.Node
	pump func() *pumpapi.PumpClient
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	answers int
	failed  []error
	mixed   int           // requests that met two versions
	met     string        // version of the last answer
	slowest time.Duration // slowest request since the last reading
}

// newLoad calls until the first answer, then sends requests until it is closed.
func newLoad(ctx context.Context, s *site) (*load, error) {
	config, err := s.config("caller", "")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(s.dir, "caller.log"))
	if err != nil {
		return nil, err
	}
	node, err := skerry.OpenFile(ctx, config, skerry.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if err != nil {
		return nil, err
	}
	l := &load{node: node, pump: skerry.Stub(node, "pump", pumpapi.NewPumpClient)}
	if err := l.first(ctx); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	ctx, l.stop = context.WithCancel(ctx)
	for range callers {
		l.done.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for ctx.Err() == nil {
				l.note(l.request(context.WithoutCancel(ctx)))
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	return l, nil
}

func (l *load) first(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*deadline)
	defer cancel()
	for {
		_, _, err := l.request(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no request was answered: %w", err)
		}
	}
}

// request moves the pump twice in one trace.
func (l *load) request(ctx context.Context) (versions [2]string, took time.Duration, err error) {
	begun := time.Now()
	ctx, end := l.node.Begin(ctx, "move twice")
	defer end()
	for i := range versions {
		stroke, err := l.pump().Move(ctx)
		if err != nil {
			return versions, time.Since(begun), err
		}
		versions[i] = stroke.Version
	}
	return versions, time.Since(begun), nil
}

func (l *load) note(versions [2]string, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	switch {
	case err != nil:
		l.failed = append(l.failed, err)
		return
	case versions[0] != versions[1]:
		l.mixed++
	}
	l.answers++
	l.met = versions[1]
}

// seen is what callers observed since the last reading.
type seen struct {
	answers, mixed int
	failed         []error
	slowest        time.Duration
}

func (l *load) look() seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := seen{l.answers, l.mixed, l.failed, l.slowest}
	l.answers, l.mixed, l.failed, l.slowest = 0, 0, nil, 0
	return s
}

// latest returns the version that answered last.
func (l *load) latest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.met
}

// meets waits until answers come from a version.
func (l *load) meets(ctx context.Context, version string) error {
	for limit := time.Now().Add(2 * deadline); ; {
		met := l.latest()
		if met == version {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("answers come from %s still, want %s", met, version)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close ends the load, when every request has its answer.
func (l *load) close() {
	l.stop()
	l.done.Wait()
	l.node.Close()
}
