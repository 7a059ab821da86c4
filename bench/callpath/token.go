package callpath

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"testing"
	"text/tabwriter"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// tokenHeader is what the token's key and lengths add to a frame: THeader
// writes both strings with their lengths.
const tokenHeader = len("\x04sk-t\x0b")

// window is the length of one measurement: short enough to fall between the
// turns of other programs now and then.
const window = "10ms"

// Token measures what the token of an idle site, without a release, costs
// each call, beside a call of the bare transport on one connection.
func Token(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	runs := flags.Int("runs", 30,
		"measurements of each part; the fastest counts, as neighbours on the machine only slow down")
	if err := flags.Parse(args); err != nil {
		return err
	}
	testing.Init()
	if err := flag.Set("test.benchtime", window); err != nil {
		return err
	}
	site, err := newTokenSite()
	if err != nil {
		return err
	}
	bare, err := bareCall(ctx, *runs)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "part\tns\tallocations\t% of a bare call\t")
	for _, p := range site.parts() {
		r := fastest(*runs, p.do)
		fmt.Fprintf(t, "%s\t%.0f\t%d\t%.2f\t\n", p.name, nanoseconds(r), r.AllocsPerOp(),
			100*nanoseconds(r)/nanoseconds(bare))
	}
	fmt.Fprintf(t, "a bare call, 1 KiB\t%.0f\t%d\t100\t\n", nanoseconds(bare), bare.AllocsPerOp())
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Printf("\non the wire: %d bytes of token, %d with its header\n", len(site.raw), len(site.raw)+tokenHeader)
	return nil
}

// part is one thing that is done for a token.
type part struct {
	name string
	do   func() error
}

// tokenSite is a process with a log that names 200 services, each changed a few times.
type tokenSite struct {
	agent  *participant.Agent
	origin *participant.Origin
	root   *participant.Trace
	token  rollout.Token
	raw    string
	hop    participant.Trace // part of the server's record of a call, as there
}

func newTokenSite() (*tokenSite, error) {
	a, err := participant.New(participant.Config{Process: "host/1/a"})
	if err != nil {
		return nil, err
	}
	for n := range 20 {
		rules := map[string]rollout.Rule{}
		for i := range 200 {
			if n == 0 || i%10 == n%10 {
				rules[fmt.Sprint("service-", i)] = rollout.Rule{Version: "v1"}
			}
		}
		if err := a.Learn(a.Log().Next("r", rules)); err != nil {
			return nil, err
		}
	}
	s := &tokenSite{agent: a, origin: a.Origin("service-7.get", "service-7/v1"), root: a.Begin("job", 7, "")}
	s.token, s.raw, _ = s.root.Send("service-7")
	s.root.Returned(true)
	return s, nil
}

func (s *tokenSite) parts() []part {
	return []part{
		{"caller: take the token, choose the version", s.send},
		{"callee: read the token", s.read},
		{"callee: check it", s.admit},
		{"callee: count the span, and its end", s.join},
		{"all that a call pays", s.call},
		{"entry: begin a trace, and its end", s.begin},
	}
}

func (s *tokenSite) send() error {
	token, _, _ := s.root.Send("service-7")
	_, _, _, err := s.agent.Log().Route("service-7", token)
	s.root.Returned(true)
	return err
}

func (s *tokenSite) read() error {
	_, err := rollout.ParseRaw(s.raw)
	return err
}

func (s *tokenSite) admit() error { return s.agent.Log().Admit("service-7", "v1", s.token) }

func (s *tokenSite) join() error {
	s.hop = participant.Trace{}
	s.origin.Join(&s.hop, s.token, s.raw, "")
	s.hop.End()
	return nil
}

func (s *tokenSite) call() error {
	for _, do := range [...]func() error{s.send, s.read, s.admit, s.join} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (s *tokenSite) begin() error {
	s.hop = participant.Trace{}
	s.origin.Begin(&s.hop, 7, "")
	s.hop.End()
	return nil
}

// bareCall measures the transport without tokens, one call after the other,
// client and server in this process.
func bareCall(ctx context.Context, runs int) (testing.BenchmarkResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	served := make(chan error, 1)
	go func() { served <- bareServe(ctx, ln) }()
	setPayload(1024)
	worker, err := bareDial(ctx, ln.Addr().String())
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	echo, err := worker()
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	if err := echo(ctx, 1); err != nil {
		return testing.BenchmarkResult{}, fmt.Errorf("bare call: %w", err)
	}
	r := fastest(runs, func() error { return echo(ctx, 1) })
	cancel()
	<-served
	return r, nil
}

// fastest is the fastest of several measurements.
func fastest(runs int, do func() error) (best testing.BenchmarkResult) {
	for range runs {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
		if best.N == 0 || nanoseconds(r) < nanoseconds(best) {
			best = r
		}
	}
	return best
}

func nanoseconds(r testing.BenchmarkResult) float64 { return float64(r.T) / float64(max(r.N, 1)) }
