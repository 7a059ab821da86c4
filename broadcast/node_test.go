//go:build linux

package broadcast

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// A node is this test binary, run in a host of the lab with a nodeConfig in
// its environment: it opens a Registry, registers and watches the service
// "svc", obeys lines on its standard input and reports lines of JSON.
const nodeVar = "SKERRY_BROADCAST_NODE"

type nodeConfig struct {
	Cluster    string
	Key        string // "": none
	KeyFile    string // holds one, once it is there
	Open       bool
	Host       string
	Port       int // of the registration; 0 = none
	Interfaces []string
	Seeds      []string
	Remembered []string
	Announce   time.Duration
	Ports      int // of Config; 0: its default
}

func (c nodeConfig) keys() func() [][]byte {
	return func() [][]byte {
		switch text, err := os.ReadFile(c.KeyFile); {
		case c.Key != "":
			return ring(c.Key)
		case err == nil:
			return ring(strings.Fields(string(text))...)
		}
		return nil
	}
}

// report is a line that a node prints.
type report struct {
	List  []string `json:",omitempty"` // addresses listed, after a change
	Gone  []string `json:",omitempty"` // address=kind
	Stats *Stats   `json:",omitempty"`
	Log   string   `json:",omitempty"`
}

func TestMain(m *testing.M) {
	if text := os.Getenv(nodeVar); text != "" {
		if err := beNode(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if role := os.Getenv(strangerVar); role != "" {
		if err := beStranger(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beNode(text string) error {
	var c nodeConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(r report) {
		line, _ := json.Marshal(r)
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(string(line))
	}
	logs := writer(func(line string) { say(report{Log: line}) })
	r, err := New(
		Config{Cluster: c.Cluster, Keys: c.keys(), Open: c.Open, Owner: registry.NewOwner(), Interfaces: c.Interfaces,
			Seeds: c.Seeds, Announce: c.Announce, Ports: c.Ports,
			LoadPeers: func() ([]string, error) { return c.Remembered, nil },
			SavePeers: func(list []string) error { say(report{Log: "saved " + strings.Join(list, " ")}); return nil },
			Logger:    slog.New(slog.NewTextHandler(logs, nil))},
	)
	if err != nil {
		return err
	}
	stop := r.Watch("svc", func(s registry.Snapshot) { say(reportOf(s)) })
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g := run.NewGroup(ctx)
	g.Go(r.Run)
	put := func(port int) error {
		return r.Register(ctx, registry.Instance{Service: "svc", Version: "v1", Host: c.Host, Port: port})
	}
	if c.Port != 0 {
		if err := put(c.Port); err != nil {
			return err
		}
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var verb, arg string
		fmt.Sscan(in.Text(), &verb, &arg)
		if err := obey(r, verb, arg, put, say); err != nil {
			return err
		}
		if verb == "leave" {
			break
		}
	}
	cancel()
	return g.Wait()
}

func obey(r *Registry, verb, arg string, put func(int) error, say func(report)) error {
	switch verb {
	case "put":
		var port int
		fmt.Sscan(arg, &port)
		return put(port)
	case "suspect": // an address
		r.mu.Lock()
		list := r.core.list("svc")
		r.mu.Unlock()
		for _, in := range list {
			if in.Addr() == arg {
				r.Suspect(in.ID(), "test")
			}
		}
	case "stats":
		s := r.Stats()
		say(report{Stats: &s})
	}
	return nil
}

func reportOf(s registry.Snapshot) report {
	out := report{List: []string{}}
	for _, in := range s.Instances {
		out.List = append(out.List, in.Addr())
	}
	for _, d := range s.Gone {
		out.Gone = append(out.Gone, d.ID.Addr+"="+d.Kind.String())
	}
	return out
}

type writer func(string)

func (w writer) Write(p []byte) (int, error) { w(string(p)); return len(p), nil }

// node is a node process, seen from the test.
type node struct {
	t    *testing.T
	c    nodeConfig
	addr string
	p    *lab.Process

	mu      sync.Mutex
	rest    string
	current report
	stats   *Stats
	logs    []string
}

// startNode runs a node in a host; its registration has the host's address on
// LAN 0 and c.Port.
func startNode(t *testing.T, h *lab.Host, c nodeConfig) *node {
	t.Helper()
	if c.Cluster == "" {
		c.Cluster = "lab"
	}
	if c.Announce == 0 {
		c.Announce = time.Minute
	}
	c.Host = h.IP(0)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, c: c, addr: fmt.Sprintf("%s:%d", c.Host, c.Port)}
	cmd := h.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeVar+"="+string(text))
	cmd.Stdout = writer(n.hear)
	n.p = h.StartCommand(cmd)
	return n
}

// hear parses a line of the node.
func (n *node) hear(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rest += text
	for {
		line, rest, ok := strings.Cut(n.rest, "\n")
		if !ok {
			return
		}
		n.rest = rest
		var r report
		switch err := json.Unmarshal([]byte(line), &r); {
		case err != nil:
			n.logs = append(n.logs, line)
		case r.Stats != nil:
			n.stats = r.Stats
		case r.Log != "":
			n.logs = append(n.logs, r.Log)
		default:
			n.current = r
		}
	}
}

func (n *node) tell(line string) {
	n.t.Helper()
	if _, err := io.WriteString(n.p.Stdin, line+"\n"); err != nil {
		n.t.Fatalf("node %s: %v: %s", n.addr, err, n.p.Output())
	}
}

func (n *node) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.current.List
}

func (n *node) gone(addr, kind string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.current.Gone, addr+"="+kind)
}

func (n *node) logged(part string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.logs, func(l string) bool { return strings.Contains(l, part) })
}

// askStats requests the node's counters.
func (n *node) askStats() Stats {
	n.t.Helper()
	n.mu.Lock()
	n.stats = nil
	n.mu.Unlock()
	n.tell("stats")
	var s Stats
	lab.Eventually(n.t, 5*time.Second, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.stats != nil {
			s = *n.stats
		}
		return n.stats != nil
	}, func() string { return "no stats of " + n.addr + ": " + n.p.Output() })
	return s
}

// agree waits until all nodes list exactly these addresses, and returns how
// long it took.
func agree(t *testing.T, within time.Duration, nodes []*node, want ...string) time.Duration {
	t.Helper()
	slices.Sort(want)
	same := func(n *node) bool {
		got := slices.Clone(n.list())
		slices.Sort(got)
		return got != nil && slices.Equal(got, want)
	}
	return lab.Eventually(t, within, func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return !same(n) })
	}, func() string {
		var b strings.Builder
		fmt.Fprintf(&b, "all list %v:", want)
		for _, n := range nodes {
			if !same(n) {
				fmt.Fprintf(&b, "\n%s lists %v", n.addr, n.list())
			}
		}
		return b.String()
	})
}

func addrs(nodes []*node) []string {
	var out []string
	for _, n := range nodes {
		if n.c.Port != 0 {
			out = append(out, n.addr)
		}
	}
	return out
}
