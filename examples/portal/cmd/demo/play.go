package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/portal"
)

const (
	frame      = 250 * time.Millisecond // between two updates of the table
	firstLimit = 15 * time.Second       // for the first answer, on a busy machine
)

// perform starts the processes and the load of an act and plays its scenes.
func perform(ctx context.Context, s *site.Site, out *screen, a act) ([]result, error) {
	began := time.Now()
	for _, line := range a.opening {
		out.say("%s", line)
	}
	for _, c := range a.cast {
		if _, err := s.Serve(c.name, c.service, "v1"); err != nil {
			return nil, err
		}
	}
	node, err := openNode(ctx, s)
	if err != nil {
		return nil, err
	}
	defer node.Close()

	seen := &tally{}
	l := newLoad(node, seen)
	if err := firstAnswer(ctx, l); err != nil {
		return nil, err
	}
	out.say("%s after the start, the first request has its answer.", ms(time.Since(began)))

	loadCtx, stopLoad := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { l.run(loadCtx) })
	results, err := play(ctx, s, out, seen, a.scenes)
	stopLoad()
	running.Wait()
	return results, err
}

// openNode makes the demo itself a member of the site: a consumer.
func openNode(ctx context.Context, s *site.Site) (*skerry.Node, error) {
	path, err := s.Config("load")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(s.LogPath("load"))
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(log, nil))
	return skerry.OpenFile(ctx, path, skerry.WithLogger(logger), skerry.WithClientInterceptors(portal.Note))
}

// firstAnswer sends requests until all services have found each other. Failures before that do not
// count, because no bound holds yet.
func firstAnswer(ctx context.Context, l *load) error {
	ctx, cancel := context.WithTimeout(ctx, firstLimit)
	defer cancel()
	for {
		calls := l.request(ctx)
		last := calls[len(calls)-1].failure
		if last == "" {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no request was answered for %v; the last one failed with: %s", firstLimit, last)
		}
	}
}

// result is a scene that has been played.
type result struct {
	title  string
	lines  []line
	breaks bool // on purpose
	numbers
}

// line is a promise, what was measured, and whether it was kept.
type line struct {
	promise, measured string
	kept              bool
}

func play(ctx context.Context, s *site.Site, out *screen, seen *tally, scenes []scene) ([]result, error) {
	var results []result
	for i, sc := range scenes {
		out.say("%d. %s.", i+1, sc.title)
		o := observation{began: time.Now(), find: s.Find}
		if sc.act != nil {
			if err := sc.act(s); err != nil {
				return nil, fmt.Errorf("%s: %w", sc.title, err)
			}
		}
		if err := watch(ctx, s, out, seen, o.began, sc.lasts); err != nil {
			return nil, err
		}
		o.calls = seen.between(o.began, time.Now())
		results = append(results, judge(sc, o))
	}
	return results, nil
}

// watch shows the table while a scene lasts.
func watch(ctx context.Context, s *site.Site, out *screen, seen *tally, began time.Time, lasts time.Duration) error {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	for end := began.Add(lasts); time.Now().Before(end); {
		select {
		case <-tick.C:
			out.show(table(s, seen, time.Now()))
		case <-ctx.Done():
			return errors.New("interrupted")
		}
	}
	out.endScene(table(s, seen, time.Now()))
	return nil
}

func judge(sc scene, o observation) result {
	r := result{title: sc.title, breaks: sc.breaks, numbers: count(o.calls)}
	for _, p := range sc.promises {
		measured, kept := p.keep(o)
		r.lines = append(r.lines, line{p.text, measured, kept})
	}
	return r
}
