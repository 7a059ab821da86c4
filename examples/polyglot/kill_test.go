//go:build linux

package polyglot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/polyglot/internal/hosts"
)

// noticed is how long after the end of a killed process a call may still be sent to it.
const noticed = 100 * time.Millisecond

// fault is the death of a process.
type fault struct {
	victim   string
	from, to time.Time // it was killed; all have noticed
}

// explained reports whether a failed request was under way when a process was killed, with a call that may have been
// executed there.
func (c *company) explained(r hosts.Request) bool {
	if !strings.Contains(r.Err.Error(), "may have been executed") {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		if !r.Ended.Before(f.from) && !r.Began.After(f.to) {
			return true
		}
	}
	return false
}

// victim is a process to be killed: the proxy of a host, or a program.
type victim struct{ host, service string }

// kill kills a process by kill -9, starts it again as a supervisor does, and waits until it and what is behind it have
// calls again.
func (c *company) kill(ctx context.Context, v victim) {
	h := c.hosts[v.host]
	var p *site.Process
	begin := h.StartProxy
	waits := []string{v.service}
	switch {
	case v.service != "":
		p = h.Program(v.service)
		begin = func() error { return h.StartProgram(v.service) }
	case v.host == "a" || v.host == "b":
		p, waits = h.Proxy(), []string{"portal", "db"} // Auth and Proc there may have no calls any more
	default:
		p, waits = h.Proxy(), []string{"auth", "proc"}
	}
	f := fault{victim: p.Name, from: time.Now()}
	if err := p.Kill(); err != nil {
		c.t.Errorf("kill %s: %v", p.Name, err)
	}
	<-p.Done()
	f.to = time.Now().Add(noticed)
	c.mu.Lock()
	c.faults = append(c.faults, f)
	c.mu.Unlock()
	sleep(ctx, 500*time.Millisecond)
	for _, service := range []string{"portal", "auth", "proc", "db"} {
		if other := h.Program(service); other != nil && other != p {
			if when, err := other.Ended(); !when.IsZero() {
				c.t.Errorf("%s ended with %s: %v", other.Name, p.Name, err)
			}
		}
	}
	c.begin(ctx, v.host, begin, waits...)
}

// begin starts something of a host, and waits until the programs of the services there have calls.
func (c *company) begin(ctx context.Context, host string, begin func() error, services ...string) {
	written := map[string]int{}
	for _, service := range services {
		written[service] = len(c.journal(service + "-" + host))
	}
	if err := begin(); err != nil {
		c.t.Error(err)
	}
	for end := time.Now().Add(30 * time.Second); ctx.Err() == nil; sleep(ctx, 50*time.Millisecond) {
		served := true
		for service, before := range written {
			served = served && journal.Match(c.journal(service + "-" + host)[before:])
		}
		if served {
			return
		}
		if time.Now().After(end) {
			c.t.Errorf("30 s after a start on host %s, not all of %v there had calls", host, services)
			return
		}
	}
}

// journal returns what a program has written.
func (c *company) journal(name string) []byte {
	text, err := os.ReadFile(c.site.LogPath(name))
	if err != nil {
		c.t.Error(err)
	}
	return text
}

// killed returns how many processes have been killed.
func (c *company) killed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.faults)
}

// killing kills one process after the other, each when the one before it serves again, until it is told to end.
func (c *company) killing(dice *rand.Rand, victims ...victim) (end func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			if i%len(victims) == 0 {
				dice.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
			}
			c.kill(ctx, victims[i%len(victims)])
			sleep(ctx, time.Duration(dice.IntN(300))*time.Millisecond)
		}
	}()
	return sync.OnceFunc(func() { cancel(); <-ended })
}

// TestReleaseWhileProcessesAreKilled plays the release while programs and proxies are killed one after the other. Only
// requests that were under way at that moment fail, and none meets two versions.
func TestReleaseWhileProcessesAreKilled(t *testing.T) {
	t.Parallel()
	var all sync.Map
	t.Run("seeds", func(t *testing.T) {
		seeds(t, func(t *testing.T, dice *rand.Rand) {
			c := newCompany(t, dice, 40*time.Millisecond, hosts.Settings{})
			c.release("start", "--by", "ann", "--reason", "a test")
			end := c.killing(rand.New(rand.NewPCG(dice.Uint64(), 0)), victim{"a", "auth"}, victim{"b", "proc"},
				victim{"b", "portal"}, victim{"a", "db"}, victim{"b", ""})
			c.await("each of them was killed", func() bool { return c.killed() >= 5 })
			end()
			c.start("c", "v2", "auth", "proc")
			c.start("d", "v2", "auth", "proc")
			c.ship(2)
			end = c.killing(rand.New(rand.NewPCG(dice.Uint64(), 0)), victim{"c", "auth"}, victim{"d", "proc"},
				victim{"b", "portal"}, victim{"a", "db"}, victim{"d", ""}, victim{"a", ""})
			c.release("commit", "--ramp", "30,60,100", "--every", "2s")
			c.release("clean")
			end()
			c.until(*requests)
			c.judge()
			for _, f := range c.faults {
				all.Store(fmt.Sprint(f.victim, f.from.UnixNano()), f.victim)
			}
		})
	})
	killed := map[string]int{}
	all.Range(func(_, name any) bool {
		kind, _, _ := strings.Cut(name.(string), "-")
		killed[kind]++
		return true
	})
	t.Logf("killed: %v", killed)
	for _, kind := range []string{"portal", "auth", "proc", "db", "proxy"} {
		if killed[kind] == 0 {
			t.Errorf("no %s was killed: the scene proves less than it says", kind)
		}
	}
}
