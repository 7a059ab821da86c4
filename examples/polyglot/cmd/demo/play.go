package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/polyglot/internal/hosts"
)

const (
	callers    = 8
	pause      = 25 * time.Millisecond // of a caller between two requests
	firstLimit = 40 * time.Second      // for the first answer, on a busy machine
	backLimit  = 40 * time.Second      // for calls to a program that was started again

	// lines are those of each configuration.
	lines = `consumers:
  "*": {timeout: 10s, wait: 3s}
  auth: {idempotent: [verify]}
  db: {idempotent: [read, fullName]}
stop: {grace: 500ms}
`
)

var all = []string{"portal", "auth", "proc", "db"}

// stage is where an act is played: hosts under load.
type stage struct {
	ctx   context.Context
	site  *site.Site
	set   hosts.Settings
	load  *hosts.Load
	hosts map[string]*hosts.Host
}

// perform plays an act at a site of its own.
func perform(ctx context.Context, s *site.Site, root string, out *screen, a act) ([]result, error) {
	for _, line := range a.opening {
		out.say("%s", line)
	}
	began := time.Now()
	st := &stage{ctx: ctx, site: s, hosts: map[string]*hosts.Host{},
		set: hosts.Settings{Root: root, Lines: lines, WithoutHelper: a.withoutHelper}}
	for _, name := range []string{"a", "b"} {
		if err := st.start(name, "v1", all...); err != nil {
			return nil, err
		}
	}
	load, err := hosts.NewLoad(ctx, s, lines)
	if err != nil {
		return nil, err
	}
	st.load = load
	defer load.Close()
	if err := load.First(ctx, firstLimit); err != nil {
		return nil, err
	}
	loadCtx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { load.Run(loadCtx, callers, pause) })
	defer running.Wait()
	defer stop()
	for _, host := range st.hosts {
		if err := st.served(began, host, all...); err != nil {
			return nil, err
		}
	}
	out.say("%s after the start, each of the eight programs has had calls.", ms(time.Since(began)))
	return st.play(out, a.scenes)
}

// start starts a host with a program for each of the services.
func (st *stage) start(name, version string, services ...string) error {
	var programs []hosts.Program
	for _, service := range services {
		programs = append(programs, hosts.Program{Service: service, Version: version})
	}
	h, err := hosts.New(st.site, st.set, name, programs...)
	if err != nil {
		return err
	}
	st.hosts[name] = h
	return h.Start()
}

// served waits until requests that began after a moment have met the programs of a host.
func (st *stage) served(from time.Time, host *hosts.Host, services ...string) error {
	for end := time.Now().Add(backLimit); ; {
		met := map[string]bool{}
		for _, r := range st.load.Since(from) {
			for _, m := range r.Met {
				met[m.Program] = met[m.Program] || r.Began.After(from)
			}
		}
		missing := ""
		for _, service := range services {
			if name := service + "-" + host.Name; !met[name] {
				missing = name
			}
		}
		switch {
		case missing == "":
			return nil
		case st.ctx.Err() != nil:
			return st.ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("%s had no calls for %v", missing, backLimit)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// observation is what was seen in a scene.
type observation struct {
	requests       []hosts.Request // that ended in it
	killed, noted  time.Time       // when the process was killed, and when its end was noticed at the latest
	ended          *site.Process   // that had to leave by itself
	took           time.Duration   // the action
	lastIsSettled  time.Time       // requests that began later meet one version only
	expectedByThen string          // this one
}

// result is a scene that has been played.
type result struct {
	title    string
	lines    []line
	breaks   bool // on purpose
	requests int
	failed   int
}

// line is a promise, what was measured, and whether it was kept.
type line struct {
	promise, measured string
	kept              bool
}

// play plays the scenes of an act.
func (st *stage) play(out *screen, scenes []scene) (results []result, err error) {
	for _, sc := range scenes {
		out.scenes++
		out.say("%d. %s.", out.scenes, sc.title)
		o := &observation{}
		began := time.Now()
		if sc.act != nil {
			if err := sc.act(st, o); err != nil {
				return results, fmt.Errorf("%s: %w", sc.title, err)
			}
		}
		o.took = time.Since(began)
		select {
		case <-time.After(sc.lasts):
		case <-st.ctx.Done():
			return results, fmt.Errorf("interrupted: %w", st.ctx.Err())
		}
		o.requests = st.load.Since(began)
		out.table(st, began)
		r := result{title: sc.title, breaks: sc.breaks, requests: len(o.requests)}
		for _, q := range o.requests {
			if q.Err != nil {
				r.failed++
			}
		}
		for _, p := range sc.promises {
			measured, kept := p.keep(o)
			r.lines = append(r.lines, line{p.text, measured, kept})
		}
		results = append(results, r)
	}
	return results, nil
}
