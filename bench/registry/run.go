package registry

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// errSlow says that a system does not tell of changes.
var errSlow = errors.New("changes wait for the next read")

// result is what was measured of one system under one load.
type result struct {
	system string
	load   load
	start  time.Duration // of all processes, until all consumers know everything
	usage  usage         // of the window at rest
	window time.Duration
	took   []time.Duration // of each change to each consumer
	change time.Duration   // processor time of the server for each change
	writer []time.Duration // of the call that makes the change
}

// cores is the processor time of the server at rest, in cores.
func (r result) cores() float64 { return r.usage.cpu.Seconds() / r.window.Seconds() }

type options struct {
	systems []string
	window  time.Duration
	changes int
	counted bool

	statistics int // rows of each process in a pace
}

// Run measures every load and prints the tables.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("registry", flag.ContinueOnError)
	instances := flags.String("instances", "100,1000,10000", "numbers of instances; empty: only the tables' growth")
	consumers := flags.String("consumers", "", "number of consumers; empty: a tenth of the instances")
	systems := flags.String("systems", "skerry,naive,etcd,zookeeper", "what to measure, at the same time")
	pace := flags.Duration("pace", 30*time.Second, "of heartbeats and reads")
	window := flags.Duration("window", 0, "how long to measure at rest; 0: one pace")
	changes := flags.Int("changes", 30, "changes to follow to every consumer")
	counted := flags.Bool("statements", false, "print what skerry's database was asked at rest, by text")
	statistics := flags.Int("statistics", 0,
		"rows of call statistics that each of skerry's processes writes every pace")
	consumer := flags.Bool("consumer", true, "measure what a consumer pays, too")
	hours := flags.Float64("hours", 1, "hours of heartbeats for the table's growth; 0: none")
	picture := flags.String("picture", "", "file for the picture of cost against N")
	if err := flags.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(400) // a thousand processes in one: their garbage is not what is measured
	o := options{systems: strings.Split(*systems, ","), window: *window, changes: *changes, counted: *counted,
		statistics: *statistics}
	if o.window == 0 {
		o.window = *pace
	}
	var all []result
	for _, text := range strings.FieldsFunc(*instances, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-instances %s: want numbers from 1 on", *instances)
		}
		l := load{instances: n, consumers: max(n/10, 1), pace: *pace}
		if *consumers != "" {
			if l.consumers, err = strconv.Atoi(*consumers); err != nil || l.consumers < 1 {
				return fmt.Errorf("-consumers %s: want a number from 1 on", *consumers)
			}
		}
		results, err := measure(ctx, l, o)
		if err != nil {
			return fmt.Errorf("%d instances, %d consumers: %w", l.instances, l.consumers, err)
		}
		report(os.Stdout, results)
		all = append(all, results...)
	}
	var sizes []size
	if *hours > 0 {
		var err error
		if sizes, err = growth(ctx, os.Stdout, *hours); err != nil {
			return fmt.Errorf("growth of the tables: %w", err)
		}
	}
	var costs []cost
	if *consumer {
		var err error
		if costs, err = consumerCosts(ctx); err != nil {
			return err
		}
	}
	verdicts(os.Stdout, all, costs, sizes)
	if *picture != "" && len(all) > 0 {
		return draw(*picture, all)
	}
	return nil
}

// measure runs all systems beside one another under one load.
func measure(ctx context.Context, l load, o options) (out []result, err error) {
	running := make([]system, len(o.systems))
	out = make([]result, len(o.systems))
	seen := make([]*arrivals, len(o.systems))
	defer func() {
		for _, s := range running {
			if s != nil {
				err = errors.Join(err, s.close())
			}
		}
	}()
	for i, name := range o.systems {
		if running[i], err = newSystem(name); err != nil {
			return nil, err
		}
		if s, ok := running[i].(*site); ok {
			s.counted, s.statistics = o.counted, o.statistics
		}
		seen[i] = newArrivals(l.consumers)
		out[i] = result{system: name, load: l, window: o.window}
		begun := time.Now()
		say("%s: starting %d processes", name, l.processes())
		if err := running[i].start(ctx, l, seen[i]); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		out[i].start = time.Since(begun)
	}
	if err := rest(ctx, running, out, o); err != nil {
		return nil, err
	}
	return out, follow(ctx, running, seen, out, o)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// rest measures the systems while nothing changes, after a period in which the
// start fades.
func rest(ctx context.Context, running []system, out []result, o options) error {
	l := out[0].load
	say("at rest: %v to settle and %v to measure", l.pace, o.window)
	if err := run.Sleep(ctx, l.pace); err != nil {
		return err
	}
	before := make([]usage, len(running))
	for i, s := range running {
		var err error
		if s, ok := s.(*site); ok && o.counted {
			if err := s.db.watchStatements(ctx); err != nil {
				return err
			}
		}
		if before[i], err = s.meter(ctx); err != nil {
			return err
		}
	}
	begun := time.Now()
	if err := run.Sleep(ctx, o.window); err != nil {
		return err
	}
	for i, s := range running {
		after, err := s.meter(ctx)
		if err != nil {
			return err
		}
		out[i].usage, out[i].window = after.since(before[i]), time.Since(begun)
		if s, ok := s.(*site); ok && o.counted {
			if err := s.rested(ctx, out[i].window); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow makes changes, one at a time and the systems in turn, and waits until
// every consumer has each.
func follow(ctx context.Context, running []system, seen []*arrivals, out []result, o options) error {
	say("%d changes", o.changes)
	for k := range o.changes {
		for i, s := range running {
			err := once(ctx, s, 1000+k, seen[i], &out[i], k >= o.changes/10) // the first ones warm up
			if err != nil && !errors.Is(err, errSlow) {
				return fmt.Errorf("%s: %w", out[i].system, err)
			}
		}
	}
	for i := range out {
		out[i].change /= time.Duration(max(len(out[i].writer), 1))
	}
	return nil
}

func once(ctx context.Context, s system, k int, seen *arrivals, r *result, counts bool) error {
	before := s.cpu()
	all := seen.begin(k)
	begun := time.Now()
	if err := s.change(ctx, k); err != nil {
		return err
	}
	written := time.Since(begun)
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		return fmt.Errorf("change %d has reached %d of %d consumers after 30 s", k, len(seen.result()), seen.want)
	case <-ctx.Done():
		return ctx.Err()
	}
	after := s.cpu()
	if counts {
		r.took = append(r.took, seen.result()...)
		r.writer = append(r.writer, written)
		r.change += after - before
	}
	if err := s.undo(ctx, k); err != nil {
		return err
	}
	return run.Sleep(ctx, 100*time.Millisecond)
}
