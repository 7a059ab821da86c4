//go:build linux

package consistency

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// relay passes connections on to a process, and obeys lines of input. "calls DURATION" and "answers
// DURATION" delay bytes to and from the process, "of ADDRESS" only for connections from that host.
// "lose N" breaks the connection instead of passing every Nth answer. Bytes under way arrive even
// when their sender has died meanwhile.
func relay(ctx context.Context, p part, out *lines) error {
	l, err := net.Listen("tcp", p.Listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now()})
	var w ways
	go w.obey(os.Stdin)
	for {
		from, err := l.Accept()
		if err != nil {
			return nil // ctx has ended
		}
		go w.carry(from, p.Target)
	}
}

// ways are the present settings of a relay.
type ways struct {
	calls, answers atomic.Int64 // delays
	lose, passed   atomic.Int64
	of             atomic.Pointer[string] // the host with delayed connections; nil: all
}

func (w *ways) obey(r io.Reader) {
	for in := bufio.NewScanner(r); in.Scan(); {
		for _, order := range strings.Split(in.Text(), ",") {
			what, how, _ := strings.Cut(strings.TrimSpace(order), " ")
			d, _ := time.ParseDuration(how)
			switch what {
			case "calls":
				w.calls.Store(int64(d))
			case "answers":
				w.answers.Store(int64(d))
			case "of":
				w.of.Store(&how)
			case "lose":
				var n int64
				fmt.Sscan(how, &n)
				w.lose.Store(n)
			}
		}
	}
}

func (w *ways) carry(from net.Conn, target string) {
	to, err := net.Dial("tcp", target)
	if err != nil {
		from.Close()
		return
	}
	cut := func() {
		from.(*net.TCPConn).SetLinger(0) // resets the other side
		from.Close()
		to.Close()
	}
	host, _, _ := net.SplitHostPort(from.RemoteAddr().String())
	go w.pass(host, to, from, &w.calls, nil)
	w.pass(host, from, to, &w.answers, cut)
}

// piece is the bytes of one read, with the time at which they may go on.
type piece struct {
	bytes []byte
	due   time.Time
}

// pass carries one direction to its end.
func (w *ways) pass(host string, to, from net.Conn, delay *atomic.Int64, cut func()) {
	way := make(chan piece, 1<<16)
	go func() {
		defer to.Close()
		for p := range way {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.bytes); err != nil {
				return
			}
		}
	}()
	defer close(way)
	for {
		buf := make([]byte, 16<<10)
		n, err := from.Read(buf)
		if n > 0 && cut != nil && w.lose.Load() > 0 && w.passed.Add(1)%w.lose.Load() == 0 {
			cut()
			return
		}
		if n > 0 {
			due := time.Now()
			if of := w.of.Load(); of == nil || *of == host {
				due = due.Add(time.Duration(delay.Load()))
			}
			way <- piece{buf[:n], due}
		}
		if err != nil {
			return
		}
	}
}

// does sends orders to a relay.
func (p *process) does(orders string) {
	p.site.t.Helper()
	_, err := io.WriteString(p.Stdin, orders+"\n")
	must(p.site.t, err)
}
