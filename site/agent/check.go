package agent

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/registry"
)

// The pace of checks.
const (
	soon       = 200 * time.Millisecond // until a program that was started answers
	later      = 10 * time.Second       // while it answers
	checkTime  = 2 * time.Second
	checkFails = 3 // in a row, and a program that was up is so no more
)

// check keeps asking whether the program of a watch answers. A program that was started anew has to answer anew.
func (w *watches) check(ctx context.Context, x *watch, r record) {
	ask, err := foreign.ParseCheck(r.Check, nil)
	if err != nil {
		w.answered(x, 0, err)
		return
	}
	in := registry.Instance{Service: r.Service, Port: r.Ports[0], Protocol: registry.Protocol(r.Protocol)}
	hosts := ownHosts()
	for fails := 0; ; {
		pid, answers := w.pid(x)
		if pid != 0 {
			err := askAny(ctx, ask, in, hosts)
			switch {
			case err == nil:
				fails = 0
				w.answered(x, pid, nil)
			case !answers:
				w.answered(x, 0, err)
			default:
				if fails++; fails >= checkFails {
					w.answered(x, 0, err)
				}
			}
		}
		pause := soon
		if _, answers := w.pid(x); answers && fails == 0 {
			pause = later
		}
		select {
		case <-ctx.Done():
			return
		case <-x.moved:
		case <-time.After(pause):
		}
	}
}

// pid is the program of a watch that is up, and whether that very process has answered.
func (w *watches) pid(x *watch) (pid int, answers bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return x.now.PID, x.now.PID != 0 && x.answers == x.now.PID
}

// answered notes the result of a check.
func (w *watches) answered(x *watch, pid int, err error) {
	w.mu.Lock()
	changed := x.answers != pid || fmt.Sprint(x.silent) != fmt.Sprint(err)
	x.answers, x.silent = pid, err
	w.mu.Unlock()
	if changed {
		w.wake()
	}
}

// askAny asks a program at the addresses of its host: it may listen on one of them only. The one that has answered
// comes first the next time.
func askAny(ctx context.Context, ask foreign.Check, in registry.Instance, hosts []string) error {
	var first error
	for i, host := range hosts {
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		in.Host = host
		err := ask(ctx, in)
		cancel()
		if err == nil {
			copy(hosts[1:], slices.Clone(hosts[:i]))
			hosts[0] = host
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// ownHosts are the addresses of this host, loopback first.
func ownHosts() []string {
	const most = 16
	hosts := []string{"127.0.0.1", "::1"}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() && len(hosts) < most {
			hosts = append(hosts, ip.IP.String())
		}
	}
	return hosts
}
