package hosts

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/polyglot/gen/polyglot"
)

// Request is a request that is over.
type Request struct {
	ID           string
	Began, Ended time.Time
	Met          []*polyglot.Met // the programs that it took; nil for one that failed
	Err          error
}

// Mixed reports whether the request met two versions among Auth and Proc, which are released together.
func (r Request) Mixed() bool {
	version := ""
	for _, m := range r.Met {
		if m.Callee != "auth" && m.Callee != "proc" {
			continue
		}
		if version != "" && m.Version != version {
			return true
		}
		version = m.Version
	}
	return false
}

// Load sends requests to Portal, by name, as a consumer that is written in Go.
type Load struct {
	node   *skerry.Node
	portal func() *polyglot.PortalClient
	last   atomic.Int64

	mu   sync.Mutex
	done []Request
}

// NewLoad makes the load a member of the site. lines are those of its configuration.
func NewLoad(ctx context.Context, s *site.Site, lines string) (*Load, error) {
	path, err := s.Configure("load", lines)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(s.LogPath("load"))
	if err != nil {
		return nil, err
	}
	node, err := skerry.OpenFile(ctx, path, skerry.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if err != nil {
		return nil, err
	}
	return &Load{node: node, portal: skerry.Stub(node, "portal", polyglot.NewPortalClient)}, nil
}

// Close leaves the site.
func (l *Load) Close() error { return l.node.Close() }

// Request sends one request.
func (l *Load) Request(ctx context.Context) Request {
	r := Request{ID: fmt.Sprint("r", l.last.Add(1)), Began: time.Now()}
	answer, err := l.portal().Handle(ctx, r.ID, "alice", "pump-1")
	r.Ended, r.Err = time.Now(), err
	if err == nil {
		r.Met = answer.Met
	}
	return r
}

// First sends requests until one has an answer, for at most limit: the processes have found each other then. It
// returns what the last one failed with.
func (l *Load) First(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		r := l.Request(ctx)
		if r.Err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no request was answered for %v; the last one failed with: %w", limit, r.Err)
		}
	}
}

// Run has callers that send one request after the other until ctx ends, with a pause between two. A request that has
// begun is finished.
func (l *Load) Run(ctx context.Context, callers int, pause time.Duration) {
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				r := l.Request(context.WithoutCancel(ctx))
				l.mu.Lock()
				l.done = append(l.done, r)
				l.mu.Unlock()
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	all.Wait()
}

// Count returns how many requests of Run are over.
func (l *Load) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.done)
}

// Since returns the requests of Run that ended from a moment on, in the order in which they ended.
func (l *Load) Since(from time.Time) []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.done), func(r Request) bool { return r.Ended.Before(from) })
}
