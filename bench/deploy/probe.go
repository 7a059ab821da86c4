package deploy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/bench/deploy/stepapi"
	"github.com/skerry/skerry/internal/run"
)

const (
	probeName  = "deploy-probe"
	probeEvery = 40 * time.Millisecond
	probeCall  = 5 * time.Second
	probeLife  = 2 * time.Hour
)

// Probe calls the portal at an address 25 times a second, as a user of the application does, and prints
// a line for each call: when it began, and the answer; or nothing behind it when it failed.
func Probe(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s: want the portal's address", probeName)
	}
	ctx, cancel := context.WithTimeout(ctx, probeLife)
	defer cancel()
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	slots := make(chan struct{}, 64) // calls under way at once
	for run.Sleep(ctx, probeEvery) == nil {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			begun := time.Now()
			answer, err := ask(ctx, args[0])
			if err != nil {
				answer = ""
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(out, "%d %s\n", begun.UnixNano(), answer)
			_ = out.Flush() // a parent that does not listen any more has ended
		}()
	}
	return nil
}

func ask(ctx context.Context, address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return "", err
	}
	settings := &thrift.TConfiguration{SocketTimeout: probeCall}
	framed := thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(conn, settings), settings)
	defer framed.Close()
	protocol := thrift.NewTBinaryProtocolConf(framed, settings)
	return stepapi.NewStepClient(thrift.NewTStandardClient(protocol, protocol)).Run(ctx, "")
}

// calls are those of the probe.
type calls struct {
	mu     sync.Mutex
	rest   []byte
	failed []time.Time
	ended  []ended
}

// ended is a call with an answer.
type ended struct {
	begun     time.Time
	instances []string
}

// Write takes lines of the probe.
func (c *calls) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, p...)
	for {
		line, rest, whole := bytes.Cut(c.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		c.rest = rest
		stamp, answer, _ := strings.Cut(string(line), " ")
		nanos, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			continue // a message of the runtime
		}
		if begun := time.Unix(0, nanos); answer == "" {
			c.failed = append(c.failed, begun)
		} else {
			c.ended = append(c.ended, ended{begun, strings.Fields(answer)})
		}
	}
}

// goal is what answers show when a task has reached its end.
type goal struct {
	seen []string // instances that take part
	gone []string // instances that do not any more
}

// settled is for how long what is gone must not be seen.
const settled = time.Second

// reached is when the goal was reached by calls begun after a time; ok is false before.
func (c *calls) reached(g goal, after, now time.Time) (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := map[string]bool{}
	for _, name := range g.seen {
		missing[name] = true
	}
	last := after // sight of what is gone
	for _, e := range c.ended {
		if e.begun.Before(after) {
			continue
		}
		if len(missing) > 0 || at.IsZero() {
			at = e.begun
		}
		for _, name := range e.instances {
			delete(missing, name)
			for _, gone := range g.gone {
				if name == gone {
					last = e.begun
				}
			}
		}
	}
	if at.IsZero() || len(missing) > 0 || len(g.gone) > 0 && now.Sub(last) < settled {
		return at, false
	}
	if last.After(at) {
		at = last
	}
	return at, true
}

// failures counts failed calls that were begun between two times.
func (c *calls) failures(from, to time.Time) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.failed {
		if at.After(from) && at.Before(to) {
			n++
		}
	}
	return n
}
