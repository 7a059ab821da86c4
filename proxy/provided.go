package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

const (
	poolIdle     = 10 * time.Second      // time without a call after which a connection to the program is closed
	callMost     = time.Hour             // limit of a call without a deadline
	oneWayMost   = time.Minute           // limit of a one-way call without a deadline
	oneWayLimit  = 10 * time.Minute      // limit of a one-way call with a deadline, which the caller chooses
	resetWithin  = 20 * time.Millisecond // time in which the end of a killed program reaches a connection to its port
	helperMethod = "skerry.helper"
)

// provided is one service of the program.
type provided struct {
	g        *program
	cfg      config.Provide
	endpoint *rpc.Endpoint
	calls    *rpc.Client
	service  thrift.TClient // calls the program's methods
	bare     thrift.TClient // calls methods outside the service
	helper   helper
	answered atomic.Int64 // calls
	state    atomic.Value // foreign.State
}

func newProvided(g *program, v config.Provide) (*provided, error) {
	p := &provided{g: g, cfg: v, helper: newHelper()}
	p.endpoint = &rpc.Endpoint{ID: v.Addr, Service: v.Service, Addr: v.Addr, Protocol: v.Protocol,
		Pool: rpc.Pool{Most: v.Concurrency, Idle: poolIdle}}
	var err error
	p.calls, err = rpc.NewClient(rpc.ClientConfig{
		Resolver: rpc.Static(p.endpoint), Watcher: watcher{p}, Logger: g.log,
		Sizes: rpc.Sizes{Frame: g.base.Limits.Frame}, ConnectTimeout: g.base.Calls.ConnectTimeout,
	})
	if err != nil {
		return nil, err
	}
	options := rpc.ServiceOptions{Timeout: callMost, Wait: -1, Retries: new(int), Breaker: rpc.Breaker{Off: true},
		Hop: true}
	if p.bare, err = p.calls.Service(v.Service, options); err != nil {
		return nil, err
	}
	if v.Multiplexed {
		options.Prefix = v.Service
	}
	p.service, err = p.calls.Service(v.Service, options)
	return p, err
}

func (p *provided) close() { _ = p.calls.Close() }

// watcher receives the state of the connections to the program.
type watcher struct{ p *provided }

// Down implements rpc.Watcher. It forgets the helper, because the program may be a new process now.
func (w watcher) Down(*rpc.Endpoint, bool, error) { w.p.helper.forget() }

// Up implements rpc.Watcher.
func (w watcher) Up(*rpc.Endpoint) {}

// Leaving implements rpc.Watcher.
func (w watcher) Leaving(*rpc.Endpoint) {}

// keep keeps the service listed while the program answers.
func (p *provided) keep(ctx context.Context) error {
	host, port, err := net.SplitHostPort(p.cfg.Addr)
	number, errPort := strconv.Atoi(port)
	if err := errors.Join(err, errPort); err != nil {
		return err
	}
	provider := foreign.Provider{
		Instance: registry.Instance{Service: p.cfg.Service, Version: p.cfg.Version, Host: host, Port: number,
			Protocol: registry.Protocol(p.cfg.Protocol), Weight: p.cfg.Weight},
		Check: func(ctx context.Context, _ registry.Instance) error { return p.check(ctx) },
	}
	return foreign.Keep(ctx, lists{p}, provider, p.note)
}

// note stores and logs the state of the service.
func (p *provided) note(e foreign.Event) {
	p.state.Store(e.State)
	args := []any{"service", p.cfg.Service, "addr", p.cfg.Addr, "state", string(e.State)}
	if e.Err != nil {
		args = append(args, "err", e.Err)
	}
	p.g.log.Info("a service of the program has changed its state", args...)
}

// lists implements foreign.Site. It registers the service at the proxy's node.
type lists struct{ p *provided }

// Register implements foreign.Site.
func (l lists) Register(ctx context.Context, _ ...registry.Instance) error {
	if l.p.g.node.Offered(l.p.cfg.Service) {
		return nil
	}
	return l.p.g.node.Handle(ctx, l.p.cfg.Service, rpc.RawHandler(l.p.handle))
}

// Deregister implements foreign.Site.
func (l lists) Deregister(ctx context.Context, _ ...registry.ID) error {
	l.p.g.node.Retract(ctx, l.p.cfg.Service)
	return nil
}

// Keeps implements foreign.Site.
func (l lists) Keeps(registry.Instance) bool { return l.p.g.node.Offered(l.p.cfg.Service) }

// Answered implements foreign.Site.
func (l lists) Answered(context.Context, registry.Instance) map[string]int64 {
	return map[string]int64{"": l.p.answered.Load()}
}

// check tests whether the program answers, on a connection of the pool.
func (p *provided) check(ctx context.Context) error {
	method := helperMethod
	if kind, named, ok := cutCheck(p.cfg.Check); ok {
		method = named
	} else if kind == "tcp" && p.calls.Standing(p.endpoint) > 0 {
		return nil
	}
	if p.calls.Standing(p.endpoint) == 0 {
		p.helper.forget() // another program may listen there now
	}
	_, known := p.helper.now()
	var err error
	switch {
	case method != helperMethod:
		err = callAgain(ctx, p.service, method, &rpc.Raw{})
	case known:
		err = callAgain(ctx, p.bare, method, &rpc.Raw{})
	}
	if err == nil && !known {
		_, err = p.helper.ask(ctx, p.askHelper) // operators see the answer before the first call
	}
	var e *rpc.Error
	switch {
	case err == nil || !errors.As(err, &e):
		return err
	case e.Code == rpc.Unreachable:
		return err
	case e.Code == rpc.Overloaded: // each connection has a call: Keep asks next whether these end
		return fmt.Errorf("each of its %d connections has a call: %w", p.cfg.Concurrency, context.DeadlineExceeded)
	case e.Code == rpc.DeadlineExceeded && p.cfg.Check != "tcp":
		return err
	case e.Code == rpc.ConnectionLost && !p.takesAnother(ctx):
		return err
	}
	return nil // any other answer shows that the program works
}

// takesAnother reports whether the program accepts a new connection now, and keeps it. The system ends the
// connections of a killed process before its port, so a connection may succeed that is reset right after.
func (p *provided) takesAnother(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, p.g.base.Calls.ConnectTimeout)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", p.cfg.Addr)
	if err != nil {
		return false
	}
	defer nc.Close()
	_ = nc.SetReadDeadline(time.Now().Add(resetWithin))
	_, err = nc.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// handle forwards one call to the program.
func (p *provided) handle(ctx context.Context, info *rpc.CallInfo, args *rpc.Raw) (*rpc.Raw, error) {
	if info.OneWay {
		return nil, p.oneWay(ctx, info, args)
	}
	word, end := p.g.words.begin(ctx)
	defer end()
	args.Context = contextText(word, info.Deadline)
	result := &rpc.Raw{}
	if _, err := p.send(ctx, info.Method, args, result); err != nil {
		return nil, p.explain(ctx, err)
	}
	p.answered.Add(1)
	return result, nil
}

// send calls the program in the way of its helper. A connection that has ended before the call may
// have been another program's, so the helper is asked again.
func (p *provided) send(ctx context.Context, method string, args *rpc.Raw, result thrift.TStruct) (helperInfo, error) {
	for again := false; ; again = true {
		if p.calls.Standing(p.endpoint) == 0 { // no end of a connection can tell that the program is another one now
			p.helper.forget()
		}
		helper, err := p.helper.ask(ctx, p.askHelper)
		if err != nil {
			return helper, err
		}
		args.Named, args.Behind = helper.present, ""
		if result == nil && helper.inOrder() {
			args.Behind = helperMethod
		}
		_, err = p.service.Call(ctx, method, args, result)
		if again || !neverSent(err) {
			return helper, err
		}
	}
}

// neverSent reports whether no part of a call can have reached the program. The
// program may run nevertheless.
func neverSent(err error) bool {
	var e *rpc.Error
	return errors.As(err, &e) && e.Code == rpc.ConnectionLost && e.Executed == rpc.NotExecuted
}

// callAgain calls a method without arguments, on another connection when one had ended before.
func callAgain(ctx context.Context, client thrift.TClient, method string, result thrift.TStruct) error {
	_, err := client.Call(ctx, method, &rpc.Raw{}, result)
	if neverSent(err) {
		_, err = client.Call(ctx, method, &rpc.Raw{}, result)
	}
	return err
}

// contextText returns the text of a call's word for the program.
func contextText(word string, deadline time.Time) string {
	if deadline.IsZero() {
		return word
	}
	return word + "." + strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10)
}

// oneWay forwards a one-way call. It returns when the program has finished the call,
// as far as the proxy can know. The caller may be gone by then.
func (p *provided) oneWay(ctx context.Context, info *rpc.CallInfo, args *rpc.Raw) error {
	deadline := oneWayDeadline(info.Deadline, time.Now())
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	word, end := p.g.words.begin(ctx)
	defer end()
	args.Context = contextText(word, deadline)
	helper, err := p.send(ctx, info.Method, args, nil)
	switch {
	case err == nil && helper.inOrder():
		p.answered.Add(1)
		return nil
	case err != nil && rpc.SafeToRetry(err):
		return p.explain(ctx, err)
	}
	_ = run.Sleep(ctx, time.Until(deadline)) // the program may work on the call until then
	return nil
}

// oneWayDeadline bounds how long a one-way call is held for a program that may work
// on it: the caller is not there to end it.
func oneWayDeadline(said, now time.Time) time.Time {
	if said.IsZero() {
		return now.Add(oneWayMost)
	}
	if last := now.Add(oneWayLimit); said.After(last) {
		return last
	}
	return said
}

// explain restates an error of the program for the caller.
func (p *provided) explain(ctx context.Context, err error) error {
	var e *rpc.Error
	if !errors.As(err, &e) {
		return err
	}
	told := &rpc.Error{
		Code: e.Code, Executed: e.Executed, Err: fmt.Errorf("program %s at %s: %w", p.g.name, p.cfg.Addr, e.Err),
	}
	switch {
	case e.Executed == rpc.WasExecuted, e.Code == rpc.UnknownMethod: // the program itself has answered
		p.answered.Add(1)
		told.Err = e.Err
	case e.Code == rpc.ConnectionLost && p.takesAnother(context.WithoutCancel(ctx)):
		told.Code = rpc.HandlerFailed
		told.Err = fmt.Errorf("program %s at %s has closed the connection in the call, and takes others: %w",
			p.g.name, p.cfg.Addr, e.Err)
	}
	return told
}

// cutCheck parses "thrift:METHOD".
func cutCheck(text string) (kind, method string, named bool) { return strings.Cut(text, ":") }
