package callpath

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

// sample is one measurement of a cell in one round.
type sample struct {
	QPS                  float64
	P50, P99             time.Duration
	CPUClient, CPUServer time.Duration // per call
	AllocsClient         float64       // per call
	AllocsServer         float64
	CPUHop               time.Duration // per call, of a process between the two
}

// longBudget bounds a long run: what is begun within it ends within it, on a
// machine at rest.
const longBudget = 13 * time.Minute

// Run measures every peer in interleaved rounds and prints the tables, in
// Markdown.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	named := flags.String("load", "",
		"these loads instead: callers and bytes, as 128x1024,4x1048576; 128x1024+slow mixes slow calls in")
	long := flags.Bool("long", false,
		"all loads, with TLS, slow calls and large messages; as many rounds as fit into 13 minutes")
	names := flags.String("peers", "", "comma-separated peers; empty means all that belong to a load")
	rounds := flags.Int("rounds", 0, "rounds; 0 means 3, or as many as the budget allows")
	budget := flags.Duration("budget", 0,
		"time within which rounds are begun that will end in it; 0 means 13m with -long, else no bound")
	profiles := flags.String("profile", "",
		"directory for profiles of the last measurement of each peer, for go tool pprof")
	pictures := flags.String("pictures", "", "directory for pictures of calls per second and of processor time")
	window := flags.Duration("for", time.Second, "length of one measurement")
	flags.IntVar(&collector, "gogc", 0,
		"GOGC of every process, with which skerry leaves out its heap floor; 0 means as each comes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	plan, err := shortPlan(), error(nil)
	switch {
	case *named != "":
		plan, err = namedPlan(*named)
	case *long:
		plan = longPlan()
	}
	if err == nil {
		plan, err = only(plan, *names)
	}
	if err != nil {
		return err
	}
	switch {
	case *rounds > 0 || *budget > 0:
	case *long:
		*budget = longBudget
	default:
		*rounds = 3
	}
	fmt.Printf("Measured on %s.\n", machine())
	p := pacer{rounds: *rounds, budget: *budget}
	all, err := measureAll(ctx, plan, &p, *window, *profiles)
	if err != nil {
		return err
	}
	fmt.Printf(legend, p.done)
	report(os.Stdout, plan, all)
	reportGoals(os.Stdout, all)
	if *pictures != "" {
		return draw(*pictures, plan, all)
	}
	return nil
}

func measureAll(ctx context.Context, plan []load, p *pacer, window time.Duration, profiles string) (samples, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := makeCertificate(dir); err != nil {
		return nil, err
	}
	all, start := samples{}, time.Now()
	for p.more(time.Since(start)) {
		begin := time.Now()
		for _, l := range plan {
			for i := range l.peers {
				c := l.of(l.peers[(i+p.done)%len(l.peers)]) // no peer is always the first
				fmt.Fprintf(os.Stderr, "\r%6v  round %d: %-16s %11s, %7s ", time.Since(start).Round(time.Second),
					p.done+1, c.peer, callers(c.workers), bytesText(c.size))
				s, err := measure(ctx, c, window, profiles)
				if err != nil {
					return nil, fmt.Errorf("%s with %s of %s: %w", c.peer, callers(c.workers), bytesText(c.size), err)
				}
				all[c] = append(all[c], s)
			}
		}
		p.round(time.Since(begin))
	}
	fmt.Fprintln(os.Stderr)
	return all, nil
}

// measure runs one server and one client process.
func measure(ctx context.Context, c cell, window time.Duration, profiles string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, window+20*time.Second)
	defer cancel()
	p, err := peerNamed(c.peer)
	if err != nil {
		return sample{}, err
	}
	var certs []string
	if p.tls {
		certs = []string{"-certificates", certificates}
	}
	server, err := start(ctx, append([]string{"call-server", "-peer", c.peer, "-profile", profiles}, certs...)...)
	if err != nil {
		return sample{}, err
	}
	defer server.end()
	addr, err := server.line()
	if err != nil {
		return sample{}, fmt.Errorf("server: %w", err)
	}
	client, err := start(ctx, append([]string{"call-client", "-peer", c.peer, "-addr", addr, "-c",
		strconv.Itoa(c.workers),
		"-size", strconv.Itoa(c.size), "-slow=" + strconv.FormatBool(c.slow), "-for", window.String(), "-profile",
		profiles}, certs...)...)
	if err != nil {
		return sample{}, err
	}
	defer client.end()
	if line, err := client.line(); err != nil || line != "warm" {
		return sample{}, fmt.Errorf("client: %q, %w", line, err)
	}
	var before, after usage
	var r result
	if err := server.ask(&before); err != nil {
		return sample{}, fmt.Errorf("server: %w", err)
	}
	if err := client.ask(&r); err != nil {
		return sample{}, fmt.Errorf("client: %w", err)
	}
	if err := server.ask(&after); err != nil {
		return sample{}, fmt.Errorf("server: %w", err)
	}
	n, s := time.Duration(r.Calls), after.since(before)
	return sample{
		QPS: float64(r.Calls) / r.Window.Seconds(), P50: r.P50, P99: r.P99,
		CPUClient: r.Usage.CPU / n, CPUServer: s.CPU / n,
		AllocsClient: float64(r.Usage.Mallocs) / float64(n), AllocsServer: float64(s.Mallocs) / float64(n),
	}, nil
}
