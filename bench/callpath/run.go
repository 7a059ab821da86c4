package callpath

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// cell is one row of a table: a peer under one load.
type cell struct {
	peer    string
	workers int
	size    int
	slow    bool // one call in a hundred takes slowTime, and is not counted
}

// sample is one measurement of a cell in one round.
type sample struct {
	QPS                  float64
	P50, P99             time.Duration
	CPUClient, CPUServer time.Duration // per call
	AllocsClient         float64       // per call
	AllocsServer         float64
}

// CPU is the processor time of both sides per call.
func (s sample) CPU() time.Duration { return s.CPUClient + s.CPUServer }

// Run measures every peer in interleaved rounds and prints the tables.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	load := flags.String("load", "", "one load instead: callers and bytes, as 128x1024; 128x1024+slow mixes slow calls in")
	long := flags.Bool("long", false, "all loads and seven rounds instead of the main loads and three")
	only := flags.String("peers", "", "comma-separated peers; empty means all")
	rounds := flags.Int("rounds", 0, "rounds; 0 means 3, or 7 with -long")
	profiles := flags.String("profile", "", "directory for profiles of the last measurement of each peer, for go tool pprof")
	pictures := flags.String("pictures", "", "directory for pictures of calls per second and of processor time")
	window := flags.Duration("for", time.Second, "length of one measurement")
	flags.IntVar(&collector, "gogc", 0, "GOGC of every process, with which skerry leaves out its heap floor; 0 means as each comes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	loads := []cell{{workers: 1, size: 1024}, {workers: 128, size: 1024}}
	if *long {
		loads = []cell{{workers: 1, size: 100}, {workers: 16, size: 100}, {workers: 128, size: 100},
			{workers: 1, size: 1024}, {workers: 16, size: 1024}, {workers: 128, size: 1024},
			{workers: 128, size: 1024, slow: true}, {workers: 16, size: 64 << 10}, {workers: 4, size: 1 << 20}}
	}
	if *load != "" {
		loads = make([]cell, 1)
		numbers, mixed := strings.CutSuffix(*load, "+slow")
		if _, err := fmt.Sscanf(numbers, "%dx%d", &loads[0].workers, &loads[0].size); err != nil {
			return fmt.Errorf("-load %q: want callers and bytes, as 128x1024", *load)
		}
		if mixed { // beside the same without
			loads = append(loads, loads[0])
			loads[1].slow = true
		}
	}
	if *rounds == 0 {
		*rounds = 3
		if *long {
			*rounds = 7
		}
	}
	var names []string
	for _, p := range peers() {
		if *only == "" || strings.Contains(","+*only+",", ","+p.name+",") {
			names = append(names, p.name)
		}
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := makeCertificate(dir); err != nil {
		return err
	}
	all := map[cell][]sample{}
	for round := range *rounds {
		for _, load := range loads {
			for _, name := range names {
				load.peer = name
				fmt.Fprintf(os.Stderr, "\rround %d of %d: %-16s %3d callers, %7d bytes ", round+1, *rounds, name, load.workers, load.size)
				s, err := measure(ctx, load, *window, *profiles)
				if err != nil {
					return fmt.Errorf("%s with %d callers of %d bytes: %w", name, load.workers, load.size, err)
				}
				all[load] = append(all[load], s)
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	report(os.Stdout, loads, names, all)
	if *pictures != "" {
		return draw(*pictures, loads, names, all)
	}
	return nil
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
	client, err := start(ctx, append([]string{"call-client", "-peer", c.peer, "-addr", addr, "-c", strconv.Itoa(c.workers),
		"-size", strconv.Itoa(c.size), "-slow=" + strconv.FormatBool(c.slow), "-for", window.String(), "-profile", profiles}, certs...)...)
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

// collector is the GOGC that all children get; 0 = none.
var collector int

// process is a child that answers lines with lines.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	if collector > 0 {
		cmd.Env = append(os.Environ(), "GOGC="+strconv.Itoa(collector))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewScanner(out)}, cmd.Start()
}

func (p *process) line() (string, error) {
	if p.out.Scan() {
		return p.out.Text(), nil
	}
	if err := p.out.Err(); err != nil {
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}

func (p *process) ask(answer any) error { return p.tell("", answer) }

// tell has the child do something and reads its answer.
func (p *process) tell(what string, answer any) error {
	if _, err := io.WriteString(p.in, what+"\n"); err != nil {
		return err
	}
	line, err := p.line()
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(line), answer)
}

func (p *process) end() {
	p.in.Close()
	done := time.AfterFunc(2*time.Second, func() { p.cmd.Process.Kill() })
	defer done.Stop()
	p.cmd.Wait()
}
