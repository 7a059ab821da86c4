package lan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/run"
)

// stage is a lab.T for a command: what fails ends the scene on it, and what
// is to be cleaned up is when the scene ends.
type stage struct{ ends []func() }

type failure struct{ error }

func (*stage) Helper()                     {}
func (s *stage) Cleanup(f func())          { s.ends = append(s.ends, f) }
func (s *stage) Fatal(args ...any)         { panic(failure{errors.New(fmt.Sprint(args...))}) }
func (s *stage) Fatalf(f string, a ...any) { panic(failure{fmt.Errorf(f, a...)}) }

// play runs a scene on a new stage.
func play(scene func(*stage) error) (err error) {
	s := &stage{}
	defer func() {
		for i := len(s.ends) - 1; i >= 0; i-- {
			s.ends[i]()
		}
		switch f := recover().(type) {
		case nil:
		case failure:
			err = f.error
		default:
			panic(f)
		}
	}()
	return scene(s)
}

// site is one system on the hosts of a LAN.
type site struct {
	ctx       context.Context
	system    string
	lan       *lab.LAN
	journal   *journal
	processes []*lab.Process
}

// newSite starts a process on each host and waits until all are ready to go.
func newSite(ctx context.Context, t *stage, system string, hosts int, loss float64) (*site, error) {
	s := &site{ctx: ctx, system: system, lan: lab.New(t, hosts), journal: newJournal(hosts)}
	s.lan.Loss(loss)
	s.processes = make([]*lab.Process, hosts)
	for host := range hosts {
		if err := s.spawn(host); err != nil {
			return nil, err
		}
	}
	return s, s.await(2*time.Minute, "all processes are ready", func() bool { return s.journal.allReady(hosts) })
}

func (s *site) spawn(host int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.journal.forget(host)
	h, seed := s.lan.Host(host), s.lan.Host(0)
	if host == 0 {
		seed = s.lan.Host(len(s.lan.Hosts()) - 1)
	}
	c := h.Command(self, "lan-node", s.system, strconv.Itoa(host), strconv.Itoa(len(s.lan.Hosts())), h.IP(0),
		seed.IP(0))
	c.Stdout, c.Stderr = &lines{take: func(text string) { s.journal.line(host, text) }}, os.Stderr
	s.processes[host] = h.StartCommand(c)
	return nil
}

// tell gives a word to all processes, or to some.
func (s *site) tell(word string, hosts ...int) error {
	var errs []error
	for host, p := range s.processes {
		if len(hosts) == 0 && !s.journal.isBuried(host) || slices.Contains(hosts, host) {
			_, err := io.WriteString(p.Stdin, word+"\n")
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// await looks every few milliseconds until something holds.
func (s *site) await(within time.Duration, what string, holds func() bool) error {
	for end := time.Now().Add(within); !holds(); {
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v:%s", what, within, s.journal.lacking())
		}
		if err := run.Sleep(s.ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// agreed is how long a site may take to come together.
const agreed = time.Minute

// agree waits until all know all and returns when the last did.
func (s *site) agree(what string) (at time.Time, err error) {
	err = s.await(agreed, what, func() (ok bool) { at, ok = s.journal.complete(); return ok })
	return at, err
}

// lines cuts what is written to it into lines.
type lines struct {
	rest []byte
	take func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.take(string(line))
		l.rest = rest
	}
}
