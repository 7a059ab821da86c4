package callpath

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// way is a way from a client to a server, with or without a process in between.
type way struct {
	scene  string // "out": a stock client calls a node; "in": a stock server is called
	hop    string // "direct", "forwarder" or "proxy"
	client string // the peers at its ends
	server string
}

// ways are the direct call, a plain TCP forwarder as the floor of any hop, and `skerry proxy`. The
// callers of a stock server behind a proxy are nodes, which have found it by name.
func ways() []way {
	return []way{
		{"out", "direct", "stock", "skerry"},
		{"out", "forwarder", "stock", "skerry"},
		{"out", "proxy", "stock", "skerry"},
		{"in", "direct", "thrift-tuned", "thrift-tuned"},
		{"in", "forwarder", "thrift-tuned", "thrift-tuned"},
		{"in", "proxy", "skerry", "thrift-tuned"},
	}
}

// hopCell is one row: a way under one number of callers.
type hopCell struct {
	way
	workers int
}

type hopSamples map[hopCell][]sample

// Hop measures what `skerry proxy` adds to a call, beside a plain TCP forwarder, in interleaved
// rounds.
func Hop(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("hop", flag.ContinueOnError)
	counts := flags.String("callers", "1,32,128", "numbers of callers, comma-separated")
	size := flags.Int("size", 100, "bytes of the message's fields")
	rounds := flags.Int("rounds", 5, "rounds")
	window := flags.Duration("for", 2*time.Second, "length of one measurement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var numbers []int
	for _, text := range strings.Split(*counts, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-callers %s: want numbers above 0, such as 1,32", *counts)
		}
		numbers = append(numbers, n)
	}
	fmt.Printf("Measured on %s.\n", machine())
	all, start := hopSamples{}, time.Now()
	for round := range *rounds {
		for _, workers := range numbers {
			list := ways()
			for i := range list {
				w := list[(i+round)%len(list)] // none is always the first
				fmt.Fprintf(os.Stderr, "\r%6v  round %d: %3s %-10s %d callers ",
					time.Since(start).Round(time.Second), round+1, w.scene, w.hop, workers)
				s, err := measureHop(ctx, w, workers, *size, *window)
				if err != nil {
					return fmt.Errorf("%s by %s with %s: %w", w.scene, w.hop, callers(workers), err)
				}
				c := hopCell{w, workers}
				all[c] = append(all[c], s)
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	reportHop(os.Stdout, all, numbers, *size, *rounds)
	return nil
}

// measureHop runs a server, a hop and a client process.
func measureHop(ctx context.Context, w way, workers, size int, window time.Duration) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, window+30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "hop-")
	if err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(dir)
	server, err := start(ctx, "call-server", "-peer", w.server)
	if err != nil {
		return sample{}, err
	}
	defer server.end()
	addr, err := server.line()
	if err != nil {
		return sample{}, fmt.Errorf("server: %w", err)
	}
	children, to := []*process{server}, addr
	if w.hop != "direct" {
		hop, err := start(ctx, "hop-"+w.hop, "-scene", w.scene, "-to", addr, "-socket", filepath.Join(dir, "hop.sock"))
		if err != nil {
			return sample{}, err
		}
		defer hop.end()
		if to, err = hop.line(); err != nil {
			return sample{}, fmt.Errorf("%s: %w", w.hop, err)
		}
		children = append(children, hop)
	}
	client, err := start(ctx, "call-client", "-peer", w.client, "-addr", to, "-c", strconv.Itoa(workers),
		"-size", strconv.Itoa(size), "-for", window.String())
	if err != nil {
		return sample{}, err
	}
	defer client.end()
	return hopSample(client, children)
}

// hopSample has a warm client measure, and reads what the other processes use meanwhile.
func hopSample(client *process, children []*process) (sample, error) {
	if line, err := client.line(); err != nil || line != "warm" {
		return sample{}, fmt.Errorf("client: %q, %w", line, err)
	}
	before, after := make([]usage, len(children)), make([]usage, len(children))
	for i, p := range children {
		if err := p.ask(&before[i]); err != nil {
			return sample{}, err
		}
	}
	var r result
	if err := client.ask(&r); err != nil {
		return sample{}, fmt.Errorf("client: %w", err)
	}
	for i, p := range children {
		if err := p.ask(&after[i]); err != nil {
			return sample{}, err
		}
	}
	n := time.Duration(max(r.Calls, 1))
	s := sample{QPS: float64(r.Calls) / r.Window.Seconds(), P50: r.P50, P99: r.P99, CPUClient: r.Usage.CPU / n,
		CPUServer: after[0].since(before[0]).CPU / n}
	if len(children) > 1 {
		s.CPUHop = after[1].since(before[1]).CPU / n
	}
	return s, nil
}
