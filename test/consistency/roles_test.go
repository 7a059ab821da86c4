//go:build linux

package consistency

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/test/consistency/hop"
)

// envPart holds the role of a process; unset, this is the test itself.
const envPart = "SKERRY_PART"

// part is the role of a process.
type part struct {
	Role    string   `json:"role"`
	Name    string   `json:"name"`
	Config  string   `json:"config"` // path of its configuration
	Service string   `json:"service,omitempty"`
	Version string   `json:"version,omitempty"`
	Entry   []string `json:"entry,omitempty"` // methods by which requests come in

	// FailsCopies makes visits of copies fail, as if the version could not bear them.
	FailsCopies bool `json:"failsCopies,omitempty"`

	// Of users and jobs.
	Plans   []plan        `json:"plans,omitempty"` // one request after the other
	Workers int           `json:"workers,omitempty"`
	Pause   time.Duration `json:"pause,omitempty"` // of a worker between two requests
	Doors   []string      `json:"doors,omitempty"` // host:port of the entries for users
	Keys    int           `json:"keys,omitempty"`  // sticky keys in turn; 0: none
	Baggage string        `json:"baggage,omitempty"`
	Tenants []string      `json:"tenants,omitempty"` // of the requests in turn, "" for none; see tenantOf

	// Of a relay.
	Listen string `json:"listen,omitempty"`
	Target string `json:"target,omitempty"`
}

var roles = map[string]func(context.Context, part, *lines) error{
	"hop":   serve,
	"users": use,
	"job":   work,
	"relay": relay,
	"plain": plain,

	"feed":   feed,
	"follow": follow,
	"hold":   hold,
}

func TestMain(m *testing.M) {
	text := os.Getenv(envPart)
	if text == "" {
		rollout.KnownNeeds = append(rollout.KnownNeeds, "future-1") // lets this process judge its log
		pgtest.MainParallel(m, 8)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	out := &lines{w: os.Stdout}
	var p part
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = roles[p.Role](ctx, p, out)
	}
	if err != nil {
		out.note(note{Kind: fatal, At: time.Now(), Text: err.Error()})
		os.Exit(1)
	}
	out.note(note{Kind: left, At: time.Now()})
}

// serve serves a service until SIGTERM, or until its version has ended.
func serve(ctx context.Context, p part, out *lines) error {
	node, err := skerry.OpenFile(ctx, p.Config)
	if err != nil {
		return err
	}
	defer node.Close()
	a := newAgent(p, node, out)
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now(), Text: a.process})
	err = node.Serve(ctx, p.Service, hop.NewHopProcessor(a))
	out.note(note{Kind: counted, At: time.Now(), Text: fmt.Sprint(node.Rollout().Orphans())})
	return err
}

// use plays users outside the site, which know the addresses of some entries and nothing of
// releases. Each request is finished.
func use(ctx context.Context, p part, out *lines) error {
	var doors []*rpc.Endpoint
	for _, addr := range p.Doors {
		doors = append(doors, &rpc.Endpoint{ID: addr, Service: p.Service, Addr: addr})
	}
	client, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(doors...), ConnectTimeout: 3 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	to, err := client.Service(p.Service, rpc.ServiceOptions{Timeout: time.Minute, Breaker: rpc.Breaker{Off: true}})
	if err != nil {
		return err
	}
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now()})
	p.repeat(ctx, out, func(trace, key string, do plan) error {
		ctx, baggage, parent := context.Background(), p.Baggage, ""
		if tenant := tenantOf(trace); tenant != "" {
			baggage = "tenant=" + tenant
		}
		if key != "" {
			baggage = strings.TrimPrefix(baggage+","+tracecontext.KeyMember+"="+key, ",")
		}
		if p.Baggage != "" {
			parent = "outside" // it brings a token, so none is made for it
		}
		if baggage != "" {
			ctx = rpc.WithBaggage(ctx, baggage)
		}
		return hop.NewHopClient(to).Visit(ctx, errand{trace, parent, do}.String())
	})
	return nil
}

// work begins traces inside of the site: each request is a job.
func work(ctx context.Context, p part, out *lines) error {
	node, err := skerry.OpenFile(ctx, p.Config)
	if err != nil {
		return err
	}
	defer node.Close()
	a := newAgent(p, node, out)
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now(), Text: a.process})
	p.repeat(ctx, out, func(trace, _ string, do plan) error {
		ctx, end := node.Begin(context.Background(), p.Name)
		defer end()
		span := a.begin(ctx, errand{Trace: trace}, true)
		failed := a.work(ctx, trace, span, do)
		a.end(ctx, span, failed)
		if failed != nil {
			return failed
		}
		return nil
	})
	return nil
}

// named returns the name of the trace of a request.
func (p part) named(n int64) string {
	trace := fmt.Sprintf("%s/%d", p.Name, n)
	if len(p.Tenants) > 0 {
		if tenant := p.Tenants[n%int64(len(p.Tenants))]; tenant != "" {
			trace += "@" + tenant
		}
	}
	return trace
}

// tenantOf returns the tenant in the name of a trace, "" without one.
func tenantOf(trace string) string {
	trace, _, _ = strings.Cut(trace, "~") // a copy, or calls that have lost their context
	_, tenant, _ := strings.Cut(trace, "@")
	return tenant
}

// repeat makes requests until ctx ends, and notes the outcome of each.
func (p part) repeat(ctx context.Context, out *lines, request func(trace, key string, do plan) error) {
	var number atomic.Int64
	var all sync.WaitGroup
	for range p.Workers {
		all.Go(func() {
			for ctx.Err() == nil {
				n, key := number.Add(1), ""
				if p.Keys > 0 {
					key = fmt.Sprint("user-", n%int64(p.Keys))
				}
				trace, start := p.named(n), time.Now()
				err := request(trace, key, p.Plans[n%int64(len(p.Plans))])
				done := note{Kind: asked, At: start, Trace: trace, Key: key, Took: time.Since(start)}
				if err != nil {
					failed := failure(err)
					done.Code, done.Text = failed.Code, failed.Reason
				}
				out.note(done)
				pause(ctx, p.Pause)
			}
		})
	}
	all.Wait()
}
