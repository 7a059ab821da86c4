package policytry_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/policytry"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc"
)

// loadTime is how long the load of a test lasts.
const loadTime = time.Minute

// loads are the callers of a test, each with its calls a second and their methods in turn.
var loads = []struct {
	caller  string
	rate    int
	methods []string
}{
	{"web", 40, []string{"top", "top", "get"}},
	{"report", 10, []string{"get", "adminRead"}},
	{"batch", 5, []string{"adminWrite"}},
}

// played is what one play of the load has given.
type played struct {
	tried  []policytry.Total // of each candidate
	ended  map[string]int64  // calls of each caller by their end, such as "web limited"
	routed atomic.Int64
}

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

func (p *pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sitePolicy is the policy that all obey.
type sitePolicy struct{ table *policy.Table }

func (s sitePolicy) Table() *policy.Table { return s.table }
func (s sitePolicy) Living(string) int    { return 1 }

// watched is a Picker that counts the calls with a route.
type watched struct {
	rpc.Picker
	routed *atomic.Int64
}

func (w watched) Resolve(string) rpc.Picker { return w }
func (w watched) Pick(ctx context.Context, c *rpc.Call) (*rpc.Endpoint, error) {
	if c.Route != nil {
		w.routed.Add(1)
	}
	return w.Picker.Pick(ctx, c)
}

// serveProc handles the calls of the load: "top" and "get" take a while that the trace says.
func serveProc(ctx context.Context, info *rpc.CallInfo, _ *rpc.Raw) (*rpc.Raw, error) {
	id, err := strconv.ParseUint(info.Trace[3:3+8], 16, 32)
	if err != nil {
		return nil, err
	}
	x := (float64(id) + 0.5) / (1 << 32)
	took := time.Duration(-60 * math.Log(x) * float64(time.Millisecond)) // 60 ms on average
	select {
	case <-time.After(took):
		return &rpc.Raw{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// play plays the load with a policy in force, and tries candidates on what was recorded.
func play(t *testing.T, inForce *policy.Policy, candidates ...*policy.Policy) *played {
	t.Helper()
	p := &played{ended: map[string]int64{}}
	synctest.Test(t, func(t *testing.T) {
		var table *policy.Table
		if inForce != nil {
			table = policy.Compile(inForce, nil, 0)
		}
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		quiet := slog.New(slog.DiscardHandler)
		recorders := []*recent.Recorder{recent.New()} // of the callee, and of each caller
		server, err := rpc.NewServer(rpc.ServerConfig{Policy: sitePolicy{table}, Recent: recorders[0], Host: "h1",
			Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Handle("proc", "v1", rpc.RawHandler(serveProc)); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var serving, calling sync.WaitGroup
		serving.Go(func() { _ = server.Serve(ctx, l) })
		var mu sync.Mutex
		for i, load := range loads {
			r := recent.New()
			recorders = append(recorders, r)
			e := &rpc.Endpoint{ID: "proc", Service: "proc", Addr: "127.0.0.1:1"}
			c, err := rpc.NewClient(rpc.ClientConfig{Caller: load.caller, Recent: r, Logger: quiet, Dial: l.dial,
				Resolver: watched{rpc.Static(e).Resolve("proc"), &p.routed},
				Policy:   func() *policy.Table { return table }})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			calls, err := c.Service("proc", rpc.ServiceOptions{Timeout: 250 * time.Millisecond, Retries: new(int),
				Breaker: rpc.Breaker{Off: true}})
			if err != nil {
				t.Fatal(err)
			}
			chance := rand.New(rand.NewPCG(7, uint64(i)))
			calling.Go(func() {
				for n := range int(loadTime.Seconds()) * load.rate {
					trace := fmt.Sprintf("00-%016x%016x-%016x-01", chance.Uint64(), chance.Uint64()|1,
						chance.Uint64()|1)
					with := rpc.WithTrace(t.Context(), trace, "")
					with = rpc.WithBaggage(with, fmt.Sprintf("tenant=t%d", chance.IntN(4)))
					calling.Go(func() {
						_, err := calls.Call(with, load.methods[n%len(load.methods)], &rpc.Raw{}, &rpc.Raw{})
						end := "ok"
						if err != nil {
							end = rpc.CodeOf(err).String()
						}
						mu.Lock()
						defer mu.Unlock()
						p.ended[load.caller+" "+end]++
					})
					time.Sleep(time.Second / time.Duration(load.rate))
				}
			})
		}
		calling.Wait()
		for _, candidate := range candidates {
			var reports []policytry.Report
			for i, r := range recorders {
				cfg := policytry.Config{Records: r.Last(recent.Window), Now: table,
					Then: policy.Compile(candidate, nil, 0), Host: "h1", Living: sitePolicy{}.Living}
				if i > 0 {
					cfg.Self.Caller = loads[i-1].caller
				}
				b, err := policytry.Try(cfg).Marshal()
				if err != nil {
					t.Fatal(err)
				}
				report, err := policytry.Parse(b)
				if err != nil {
					t.Fatal(err)
				}
				reports = append(reports, report)
			}
			p.tried = append(p.tried, policytry.Sum(reports))
		}
		stop()
		serving.Wait()
	})
	return p
}

// of is a policy for proc.
func of(s policy.Service) *policy.Policy {
	for i := range s.Items {
		s.Items[i].Service = "proc"
		s.Items[i].Key = fmt.Sprintf("services.proc.%s[%d]", s.Items[i].Kind, i)
	}
	return &policy.Policy{Services: map[string]*policy.Service{"proc": &s}}
}

// TestPredictions: what is predicted of a recorded load happens when the policy is applied to the same load: within 2 %
// where the prediction calls itself exact, and within four times its standard error where it is from a sample.
func TestPredictions(t *testing.T) {
	sum := func(of ...string) func(*played) int64 {
		return func(p *played) (n int64) {
			for _, end := range of {
				n += p.ended[end]
			}
			return n
		}
	}
	tests := []struct {
		name     string
		kind     policytry.Kind
		estimate string
		policy   *policy.Policy
		happened func(*played) int64 // nil: see below
	}{
		{"rate", policytry.Limit, policytry.Spread, of(policy.Service{Items: []policy.Item{
			{Kind: "limits", Match: policy.Match{Caller: []string{"web"}}, Rate: 30, Per: "site"}}}),
			sum("web limited")},
		{"rate of all", policytry.Limit, policytry.Spread, of(policy.Service{Items: []policy.Item{
			{Kind: "limits", Rate: 35, Per: "instance"}}}),
			sum("web limited", "report limited", "batch limited")},
		{"wide rate", policytry.Limit, "", of(policy.Service{Items: []policy.Item{
			{Kind: "limits", Rate: 1000, Per: "instance"}}}), sum("web limited")},
		{"at a time", policytry.Limit, policytry.Chance, of(policy.Service{Items: []policy.Item{
			{Kind: "limits", Pending: 3, Per: "instance"}}}),
			sum("web limited", "report limited", "batch limited")},
		{"many at a time", policytry.Limit, "", of(policy.Service{Items: []policy.Item{
			{Kind: "limits", Pending: 500, Per: "instance"}}}), sum("web limited")},
		{"access", policytry.Access, "", of(policy.Service{Access: &policy.Access{Enforce: true},
			Items: []policy.Item{{Kind: "deny", Match: policy.Match{Method: []string{"admin*"},
				Caller: []string{"!report"}}}}}),
			sum("batch access_denied")},
		{"access of a tenant", policytry.Access, policytry.BySample, of(policy.Service{
			Access: &policy.Access{Enforce: true},
			Items: []policy.Item{{Kind: "deny", Match: policy.Match{
				Baggage: map[string][]string{"tenant": {"t1"}}}}}}),
			sum("web access_denied", "report access_denied", "batch access_denied")},
		{"time-out", policytry.Timeout, "", of(policy.Service{Settings: policy.Settings{
			Timeout: new(150 * time.Millisecond)}}),
			sum("web deadline_exceeded", "report deadline_exceeded", "batch deadline_exceeded")},
		{"fallback", policytry.Fallback, "", of(policy.Service{Items: []policy.Item{{Kind: "fallback",
			Match: policy.Match{Caller: []string{"web"}}, On: []string{"always"}, Reply: []byte("{}"),
			Thrift: []byte{0}}}}), sum("web ok")},
		{"fallback of failures", policytry.Fallback, "", of(policy.Service{Items: []policy.Item{{Kind: "fallback",
			On: []string{"timeout", "breaker_open"}, Reply: []byte("{}"), Thrift: []byte{0}}}}), nil},
		{"fault", policytry.Fault, policytry.BySample, of(policy.Service{Items: []policy.Item{{Kind: "faults",
			Match: policy.Match{Percent: new(2000)}, Error: "overloaded"}}}),
			sum("web overloaded", "report overloaded", "batch overloaded")},
		{"route", policytry.Route, policytry.BySample, of(policy.Service{Items: []policy.Item{{Kind: "route",
			Match: policy.Match{Baggage: map[string][]string{"tenant": {"t2", "t3"}}},
			To:    policy.Target{Zone: []string{"hall-3"}}, Else: "all"}}}),
			func(p *played) int64 { return p.routed.Load() }},
	}
	var candidates []*policy.Policy
	for _, test := range tests {
		candidates = append(candidates, test.policy)
	}
	recorded := play(t, nil, candidates...)
	all := int64(0)
	for _, n := range recorded.ended {
		all += n
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			effects := recorded.tried[i].Effects
			if len(effects) != 1 || effects[0].Kind != test.kind || effects[0].Estimate != test.estimate {
				t.Fatalf("predicted %+v", effects)
			}
			e := effects[0]
			then := play(t, test.policy)
			want := int64(0)
			if test.happened != nil {
				want = test.happened(then)
			} else { // they have failed, and do no more
				failed := sum("web deadline_exceeded", "report deadline_exceeded", "batch deadline_exceeded")
				want = failed(recorded) - failed(then)
			}
			tolerance := 0.02 * float64(want)
			switch test.estimate {
			case policytry.BySample:
				tolerance = 4 * e.Error
			case policytry.Chance:
				tolerance = 0.05 * float64(all)
			}
			t.Logf("predicted %d ± %v of %d calls, happened to %d of %d", e.Hit, e.Error, e.Calls, want, all)
			if math.Abs(float64(e.Hit-want)) > tolerance {
				t.Errorf("predicted %d ± %v of %d calls, it happened to %d", e.Hit, e.Error, e.Calls, want)
			}
			if want > 0 && len(e.Examples) == 0 {
				t.Error("no example")
			}
		})
	}
}
