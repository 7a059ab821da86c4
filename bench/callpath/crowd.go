package callpath

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/bench/table"
)

// crowdPeers are the peers of which connections are counted, unless others are
// named.
const crowdPeers = "skerry,grpc,thrift-framed"

// crowd is what one peer did with many connections.
type crowd struct {
	name                 string
	opened               opened
	clientRest           int // bytes of memory per connection at rest, of the client's process
	serverRest           int
	serverAfter          int // of the server's, at rest again after a call through every connection
	again                opened
	fair                 fairness
	deaf                 deafness
	deafBefore, deafPeak int // of the server's process while callers did not read
}

// Connections measures what many connections to one server cost, whether one
// of them holds up another, and what callers do to it that never read.
func Connections(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("connections", flag.ContinueOnError)
	n := flags.Int("n", 10_000, "connections; both processes need as many file descriptors")
	only := flags.String("peers", crowdPeers, "comma-separated peers of skerry, grpc, thrift-framed")
	deaf := flags.Int("deaf", 100, "callers that never read their replies; 0 leaves them out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var all []crowd
	for _, name := range strings.Split(*only, ",") {
		if !slices.Contains(strings.Split(crowdPeers, ","), name) {
			return fmt.Errorf("no peer %q for connections; there are %s", name, crowdPeers)
		}
		fmt.Fprintf(os.Stderr, "\r%-14s %d connections ", name, *n)
		c, err := measureCrowd(ctx, name, *n, *deaf)
		if err != nil {
			return fmt.Errorf("%s with %d connections: %w", name, *n, err)
		}
		all = append(all, c)
	}
	fmt.Fprintln(os.Stderr)
	reportCrowds(os.Stdout, all, *n, *deaf)
	return nil
}

func measureCrowd(ctx context.Context, name string, n, deaf int) (c crowd, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	server, err := start(ctx, "call-server", "-peer", name)
	if err != nil {
		return c, err
	}
	defer server.end()
	addr, err := server.line()
	if err != nil {
		return c, fmt.Errorf("server: %w", err)
	}
	client, err := start(ctx, "connections-client", "-peer", name, "-addr", addr, "-n", strconv.Itoa(n), "-deaf",
		strconv.Itoa(deaf))
	if err != nil {
		return c, err
	}
	defer client.end()
	c.name = name
	both := [...]*process{client, server}
	var before, rest, after [2]int
	steps := []func() error{
		func() error { return freed(both, &before) },
		func() error { return client.tell("open", &c.opened) },
		func() error { return freed(both, &rest) },
		func() error { return client.tell("call", &c.again) },
		func() error { return freed(both, &after) },
		func() error { return client.tell("fair", &c.fair) },
		func() error { return beDeaf(client, server, &c) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return c, err
		}
	}
	c.clientRest, c.serverRest, c.serverAfter = (rest[0]-before[0])/n, (rest[1]-before[1])/n, (after[1]-before[1])/n
	return c, nil
}

// freed asks processes to give back what they don't need, and reads what they
// hold then.
func freed(processes [2]*process, held *[2]int) (err error) {
	for i, p := range processes {
		if err = p.tell("free", &usage{}); err != nil {
			return err
		}
		if held[i], err = p.memory(); err != nil {
			return err
		}
	}
	return nil
}

// beDeaf watches the server's memory while callers do not read.
func beDeaf(client, server *process, c *crowd) (err error) {
	if c.deafBefore, err = server.memory(); err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() { over <- client.tell("deaf", &c.deaf) }()
	for {
		now, err := server.memory()
		if err != nil {
			return err
		}
		c.deafPeak = max(c.deafPeak, now)
		select {
		case err := <-over:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// memory is what the process holds of the machine's, in bytes.
func (p *process) memory() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of a process: %w", err)
	}
	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	var kib int
	if _, err := fmt.Sscan(string(after), &kib); err != nil {
		return 0, fmt.Errorf("read memory of a process: %w", err)
	}
	return kib << 10, nil
}

func reportCrowds(w io.Writer, all []crowd, n, deaf int) {
	kib := func(bytes int) string { return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10)) }
	mib := func(bytes int) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }
	fmt.Fprintf(w, "\n%d connections to one server: resident memory of each process for one connection, at rest\n\n", n)
	rest := table.Table{Head: []string{"peer", "client", "server", "server, called again", "opened in",
		"called again in"}}
	fair := table.Table{Head: []string{"peer", "p50 alone", "p99 alone", "p50 beside", "p99 beside",
		"calls/s of the busy one"}}
	never := table.Table{Head: []string{"peer", "server before", "at most", "more, per caller", "sent", "cut off",
		"p99 of another caller"}}
	for _, c := range all {
		rest.Add(c.name, kib(c.clientRest), kib(c.serverRest), kib(c.serverAfter), millis(c.opened.Took),
			millis(c.again.Took))
		f, d := c.fair, c.deaf
		fair.Add(c.name, micros(float64(f.AloneP50)), micros(float64(f.AloneP99)), micros(float64(f.BesideP50)),
			micros(float64(f.BesideP99)), thousands(f.Flood))
		if d.Callers > 0 {
			never.Add(c.name, mib(c.deafBefore), mib(c.deafPeak), kib((c.deafPeak-c.deafBefore)/d.Callers), mib(d.Sent),
				d.Cut, micros(float64(d.OtherP99)))
		}
	}
	rest.Write(w)
	fmt.Fprintf(w,
		"\nCalls of a quiet connection, alone and beside a busy one with %d callers (Apache Thrift: one)\n\n",
		floodCallers)
	fair.Write(w)
	if deaf > 0 {
		fmt.Fprintf(w, "\n%d callers that send as much as they can for %v and never read\n\n", deaf, deafTime)
		never.Write(w)
	}
}

func millis(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }
