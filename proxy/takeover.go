package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/internal/run"
)

const (
	watchEvery  = 200 * time.Millisecond // between two checks of the sockets' names
	yieldMost   = 15 * time.Second       // most time that a replaced proxy stays listed until its successor is listed
	listedMost  = 10 * time.Second       // most time that a successor waits until its own services are listed
	prepareMost = 5 * time.Second        // most time that a successor waits for rules and instances before it publishes
)

// predecessor returns the status of the proxy that serves the program's socket now, which this proxy
// will replace. The status is empty when there is none. A socket of another program's proxy, or of
// another kind of server, is an error.
func (g *program) predecessor(ctx context.Context) (none Status, err error) {
	network, addr, err := g.cfg.ListenAddr()
	if err != nil || network != "unix" {
		return none, nil // bind reports the error
	}
	info, err := os.Lstat(addr)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, nil
	case err != nil:
		return none, err
	case info.Mode().Type() != fs.ModeSocket:
		return none, fmt.Errorf("%s is there, and is no socket: remove it, or name another path", addr)
	case !answers(addr):
		return none, nil // of a proxy that no longer runs
	}
	s, err := askAt(ctx, network, addr, "")
	switch {
	case err != nil:
		return none, fmt.Errorf("%s is in use, and by no proxy: stop what listens there, or name another path: %w",
			addr, err)
	case s.Program != g.name || s.Cluster != g.base.Cluster:
		return none, fmt.Errorf("%s is served by the proxy of program %s of cluster %s (process %d): give each "+
			"program a socket of its own",
			addr, s.Program, s.Cluster, s.PID)
	}
	s.Calls = slices.DeleteFunc(s.Calls, func(service string) bool { return nameError(service) != nil })
	s.Calls = s.Calls[:min(len(s.Calls), maxCallees/2)] // the rest is found when it is called
	return s, nil
}

// prepare waits until this proxy can take the program's calls over at once. Its node must know the
// site's rules, and instances of the services that the program calls through the predecessor.
// Otherwise the first calls would wait for both, and fail when their time is short.
func (g *program) prepare(ctx context.Context) {
	if g.before.Proxy == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, prepareMost)
	defer cancel()
	g.node.Rollout().Await(ctx) // at most half of the time
	for missing := g.before.Calls; ; {
		missing = slices.DeleteFunc(missing, func(service string) bool { return len(g.node.Explain(service)) > 0 })
		if len(missing) == 0 {
			return
		}
		if run.Sleep(ctx, watchEvery/20) != nil {
			g.log.Warn("the proxy found no instance of these services, which the program calls; its calls wait for one",
				"services", missing)
			return
		}
	}
}

// answers reports whether a process listens on a socket's file.
func answers(path string) bool {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return !isRefused(err)
	}
	_ = nc.Close()
	return true
}

// succeed tells the predecessor to leave once the services of this proxy are listed.
func (g *program) succeed(ctx context.Context) error {
	if g.before.Proxy == "" {
		return nil
	}
	listed := func() bool {
		for _, p := range g.provided {
			if s, _ := p.state.Load().(foreign.State); s != foreign.Listed {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(listedMost); !listed() && time.Now().Before(end); {
		if run.Sleep(ctx, watchEvery/4) != nil {
			return nil
		}
	}
	file := ownPath(g.sockets[0].addr, g.before.Proxy)
	if _, err := tellProxy(ctx, "unix", file, "", "yield"); err != nil && answers(file) {
		g.log.Warn("the proxy before this one was not told to leave; it does so by itself", "err", err)
	}
	return nil
}

// hasPlace reports whether new connections still reach this proxy. It publishes a
// name again that was removed, or that belongs to a dead proxy.
func (g *program) hasPlace() bool {
	for _, s := range g.sockets {
		if s.current() {
			continue
		}
		if _, err := os.Lstat(s.addr); err == nil && answers(s.addr) {
			g.log.Info("another proxy serves the socket now", "socket", s.String())
			return false
		}
		if err := s.publish(); err != nil {
			g.log.Error("the socket is gone and can't be made again; no program can connect",
				"socket", s.String(), "err", err)
			continue
		}
		g.log.Warn("the socket was gone, and is there again", "socket", s.String())
	}
	return true
}

// watchSockets closes replaced when another proxy has taken the sockets' names. It
// waits until that proxy reports that it is listed, at most yieldMost.
func (g *program) watchSockets(ctx context.Context, replaced chan<- struct{}) error {
	var since time.Time
	for run.Sleep(ctx, watchEvery) == nil {
		if g.hasPlace() {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = time.Now()
			for _, p := range g.provided {
				p.endpoint.Retire() // both proxies share the program's threads
			}
		}
		select {
		case <-g.yielded:
		default:
			if time.Since(since) < yieldMost {
				continue
			}
		}
		close(replaced)
		return nil
	}
	return nil
}
