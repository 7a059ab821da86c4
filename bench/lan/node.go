package lan

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// player is a system's part on one host.
type player interface {
	// join starts it; it tells of every host that appears or goes from its own
	// list.
	join(ctx context.Context, tell *teller) error
	// call calls the others until the context ends.
	call(ctx context.Context, tell *teller)
	leave() error
}

// place is where a player is.
type place struct {
	host, hosts int
	ip          string
	seed        string // address of another host, for systems that need one
}

// teller prints what a player sees, in lines:
//
//   - ns host          a host is on the list
//   - ns host          a host is off the list
//     call ns host ok    a call that was begun then has ended: ok, or another word
type teller struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func (t *teller) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, format+"\n", args...)
	_ = t.w.Flush() // a parent that doesn't listen any more has killed us
}

func (t *teller) listed(host int, is bool) {
	sign := "-"
	if is {
		sign = "+"
	}
	t.say("%s %d %d", sign, time.Now().UnixNano(), host)
}

// Node is a process of the site: it says that it is ready, goes when it is
// told to, and obeys the words calls and quiet until its input ends.
func Node(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("lan-node: want system, host, hosts, address, seed; got %d arguments", len(args))
	}
	host, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	hosts, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	p, err := newPlayer(args[0], place{host: host, hosts: hosts, ip: args[3], seed: args[4]})
	if err != nil {
		return err
	}
	t := &teller{w: bufio.NewWriter(os.Stdout)}
	t.say("ready")
	return obey(ctx, p, t)
}

func newPlayer(system string, at place) (player, error) {
	switch system {
	case "skerry":
		return &skerryNode{place: at}, nil
	case "memberlist":
		return &member{place: at}, nil
	}
	return nil, fmt.Errorf("unknown system %q; there are: skerry, memberlist", system)
}

func obey(ctx context.Context, p player, t *teller) error {
	var calls sync.WaitGroup
	quiet := func() {}
	defer func() { quiet(); calls.Wait() }()
	for words := bufio.NewScanner(os.Stdin); words.Scan(); {
		switch words.Text() {
		case "go":
			if err := p.join(ctx, t); err != nil {
				return err
			}
			defer func() { _ = p.leave() }() // the site is being torn down
		case "calls":
			calling, stop := context.WithCancel(ctx)
			quiet = stop
			calls.Go(func() { p.call(calling, t) })
		case "quiet":
			quiet()
			calls.Wait()
		}
	}
	return nil
}
