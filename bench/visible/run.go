package visible

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// Run starts processes, has an operator write entries of the rule log, and
// prints how long after each was begun to be committed the last process went
// by it.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("visible", flag.ContinueOnError)
	processes := flags.Int("processes", 8, "processes of the site")
	steps := flags.Int("steps", 20, "steps that are measured in each mode")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := measure(ctx, config.ModeBroadcast, "", *processes, *steps); err != nil {
		return err
	}
	server, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		return err
	}
	return errors.Join(measure(ctx, config.ModeDatabase, server.URL("postgres"), *processes, *steps), server.Close())
}

func configure(mode, database, port string) skerry.Config {
	lan, _ := strconv.Atoi(port)
	return skerry.Config{
		Cluster: "visible", Mode: config.Mode(mode), Database: config.Database{URL: database},
		LAN:      config.LAN{Interfaces: []string{"127.0.0.1"}, Port: lan, Key: lab.SiteKey},
		StateDir: "none", Log: config.Log{Level: "error"},
	}
}

// measure prints one row.
func measure(ctx context.Context, mode config.Mode, database string, processes, steps int) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var roots []*bufio.Scanner
	for range processes {
		r, err := start(ctx, string(mode), database, port)
		if err != nil {
			return err
		}
		roots = append(roots, r)
	}
	n, err := skerry.Open(ctx, configure(string(mode), database, port), skerry.AsObserver())
	if err != nil {
		return err
	}
	defer n.Close()
	c := control.Releases(n, control.Operator{Name: "bench"})
	if err := c.Start(ctx, "r1", "to measure", ""); err != nil {
		return err
	}
	if _, err := last(roots); err != nil {
		return err
	}
	var took []float64
	for i := range steps {
		if err := c.PutSettings(ctx, "auth", map[string]string{"step": strconv.Itoa(i)}); err != nil {
			return err
		}
		_, entries, err := c.Log(ctx)
		if err != nil {
			return err
		}
		seen, err := last(roots)
		if err != nil {
			return err
		}
		took = append(took, float64(seen.Sub(entries[len(entries)-1].At))/float64(time.Millisecond))
	}
	fmt.Printf("%s, %d processes, %d steps: known to the last after %.0f ms (median), %.0f ms (worst)\n",
		mode, processes, steps, sim.Quantile(took, 0.5), sim.Quantile(took, 1))
	return nil
}

// last reads when each process came to the next generation.
func last(roots []*bufio.Scanner) (latest time.Time, err error) {
	for _, r := range roots {
		if !r.Scan() {
			return latest, fmt.Errorf("a process has ended: %w", errors.Join(r.Err(), io.ErrUnexpectedEOF))
		}
		ns, err := strconv.ParseInt(r.Text(), 10, 64)
		if err != nil {
			return latest, err
		}
		if at := time.Unix(0, ns); at.After(latest) {
			latest = at
		}
	}
	return latest, nil
}

// start starts a process of this program that plays a root.
func start(ctx context.Context, mode, database, port string) (*bufio.Scanner, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "visible-root", mode, database, port)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	lines.Scan() // it is open
	return lines, nil
}

// Root is a process of the site: it prints when it comes to a generation, each
// once, until it is killed.
func Root(ctx context.Context, args []string) error {
	n, err := skerry.Open(ctx, configure(args[0], args[1], args[2]))
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Println("open")
	for known := n.Rollout().Log().Last().N; ; {
		changed := n.Rollout().Changed()
		for now := n.Rollout().Log().Last().N; known < now; known++ {
			fmt.Println(time.Now().UnixNano())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// freePort is a UDP port that no site uses now.
func freePort() (string, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer c.Close()
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	return port, err
}
