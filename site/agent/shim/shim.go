package shim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/resident"
	"github.com/skerry/skerry/internal/statedir"
)

// tokenName is the variable by which the processes of a shim are found after its death.
const tokenName = "SKERRY_SHIM"

// The waits of a shim that ends.
const (
	lockTime  = time.Second // for a client that looks whether the lock is free
	closeTime = 5 * time.Second
	killTime  = 10 * time.Second // for processes that were killed to be dead
)

// Main is the process `skerry shim DIR`. It returns the exit code.
func Main(dir string) int {
	debug.SetGCPercent(25) // a shim is small, and idle
	debug.SetMemoryLimit(8 << 20)
	runtime.GOMAXPROCS(min(2, runtime.NumCPU()))
	if err := run(dir); err != nil {
		fmt.Fprintf(os.Stderr, "skerry shim: %q: %v\n", dir, err)
		return 1
	}
	return 0
}

// holder is a running shim. Its loop owns everything here.
type holder struct {
	dir    string
	spec   *Spec
	m      machine
	tree   *tree
	out    *os.File      // our end of the program's output; nil: nothing more will come
	read   chan struct{} // closed: everything of the last start is read
	log    *logger
	states *keeper
	state  State
	orders chan order
	gone   chan struct{}
	busy   atomic.Bool // something was done since the last look
}

// run holds the instance of a directory until it has ended for good.
func run(dir string) error {
	runtime.LockOSThread() // the child dies with the thread that has started it
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	lock, err := take(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	spec, err := ReadSpec(dir)
	if err != nil {
		return err
	}
	if err := sweep(dir, spec); err != nil {
		return err
	}
	h := &holder{dir: dir, spec: spec, log: newLogger(dir), orders: make(chan order), gone: make(chan struct{})}
	h.m.jitter = mathrand.Float64
	h.state = State{V: version, Instance: spec.Instance, Token: strings.ToLower(rand.Text()), Boot: bootID(),
		Shim: self(), Phase: Backoff, Since: time.Now()}
	if err := h.state.write(dir); err != nil { // the token must be known before a process has it
		return err
	}
	if h.tree, h.state.Unenforced, err = newTree(spec, h.state.Token); err != nil {
		return err
	}
	defer h.tree.close()
	listener, err := listen(dir)
	if err != nil {
		return err
	}
	defer listener.Close()

	go h.log.run()
	h.states = newKeeper(dir, h.state)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &server{dir: dir, spec: spec, states: h.states, log: h.log, orders: h.orders, gone: h.gone,
		busy: &h.busy}
	go s.run(ctx, listener)

	h.loop()

	if h.read != nil {
		<-h.read // bounded by closeOutput
	}
	h.log.close(closeTime)
	h.say()
	close(h.gone)
	h.states.close(closeTime)
	listener.Close()
	answered := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(answered)
	}()
	time.AfterFunc(100*time.Millisecond, cancel) // readers of the log get its end
	select {
	case <-answered:
	case <-time.After(closeTime):
	}
	return nil
}

// take locks a directory. It tries for lockTime, because a client may hold the lock for a moment to look at it.
func take(path string) (*os.File, error) {
	for end := time.Now().Add(lockTime); ; time.Sleep(20 * time.Millisecond) {
		lock, err := statedir.Lock(path)
		if err == nil || !errors.Is(err, statedir.ErrLocked) {
			return lock, err
		}
		if time.Now().After(end) {
			return nil, errors.New("another shim lives there")
		}
	}
}

// loop runs until the instance has ended for good.
func (h *holder) loop() {
	stops := make(chan os.Signal, 4)
	signal.Notify(stops, syscall.SIGTERM, os.Interrupt)
	signal.Ignore(syscall.SIGHUP)
	seen := time.NewTicker(stateRetry) // what the log has dropped
	defer seen.Stop()
	h.busy.Store(true)
	done := h.do(h.m.begin())
	for !done {
		h.say()
		var due <-chan time.Time
		if !h.m.due.IsZero() {
			due = time.After(time.Until(h.m.due))
		}
		var next []action
		select {
		case <-h.tree.wake:
		case <-due:
			next = h.m.tick(time.Now())
		case <-seen.C:
			h.say()
			if h.busy.Swap(false) {
				resident.Trim()
			}
			continue
		case sig := <-stops:
			if sig == syscall.SIGTERM { // ctrl-c on a console is for the program
				next = h.m.stop(time.Now(), h.spec.grace())
			}
		case o := <-h.orders:
			next = h.obey(o)
		}
		h.busy.Store(true)
		done = h.do(next) || h.collect()
	}
}

func (h *holder) obey(o order) (next []action) {
	var err error
	switch now := time.Now(); o.do {
	case DoStop:
		next = h.m.stop(now, o.grace)
	case DoKill:
		next = h.m.stop(now, 0)
	case DoRestart:
		next, err = h.m.restart(now, o.grace)
	}
	h.say()
	o.reply <- err
	return next
}

// collect tells the machine of an end of the program.
func (h *holder) collect() (done bool) {
	exit, ended := h.tree.collect()
	if !ended {
		return false
	}
	return h.ended(exit)
}

func (h *holder) ended(exit Exit) (done bool) {
	exit.At = time.Now()
	if h.m.phase == Up || h.m.phase == Stopping {
		exit.RanMS = time.Since(h.tree.started).Milliseconds()
	}
	h.state.LastExit, h.state.Child = &exit, nil
	return h.do(h.m.ended(time.Now()))
}

// do does what the machine wants.
func (h *holder) do(actions []action) (done bool) {
	for _, a := range actions {
		switch a {
		case actStart:
			if done := h.start(); done {
				return true
			}
		case actSignal:
			h.tree.signal(h.spec.Stop.Signal)
		case actKill:
			h.state.Left = h.tree.kill(killTime)
			h.closeOutput()
		case actFinish:
			return true
		}
	}
	return false
}

func (h *holder) start() (done bool) {
	if h.state.Left > 0 { // two generations at once would fight over ports and files
		if h.state.Left = h.tree.kill(killTime); h.state.Left > 0 {
			problem := fmt.Sprintf("%d processes of the last start do not die", h.state.Left)
			return h.ended(Exit{Code: -1, Problem: problem})
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return h.ended(Exit{Code: -1, Problem: err.Error()})
	}
	child, err := h.tree.start(h.spec, w)
	w.Close()
	if err != nil {
		r.Close()
		return h.ended(Exit{Code: -1, Problem: err.Error()})
	}
	h.out = r
	h.read = make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		h.log.read(r)
	}(h.read)
	h.m.started(time.Now())
	h.state.Child = &child
	h.state.Restarts = h.m.starts - 1
	return false
}

// closeOutput ends the reading of output. What the dead have written is in the pipe, and read first.
func (h *holder) closeOutput() {
	if h.out == nil {
		return
	}
	h.out.SetReadDeadline(time.Now().Add(time.Second)) // a process that did not die may hold the pipe open
	h.out = nil
}

// say publishes the present state.
func (h *holder) say() {
	s := h.state
	s.Phase, s.Since = h.m.phase, h.m.since
	if s.Phase == "" {
		s.Phase, s.Since = Backoff, h.state.Since
	}
	s.CrashLooping = h.m.looping(time.Now())
	s.LogDropped = h.log.dropped()
	if s.Phase != Up && !h.m.due.IsZero() {
		next := h.m.due
		s.Next = &next
	}
	if !reflect.DeepEqual(s, h.states.get()) {
		h.states.set(s)
	}
}
