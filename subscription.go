package skerry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc"
)

// Subscription receives the items of a server stream, and opens the stream again where it left off when it is
// lost or has to move: see [Follow]. One goroutine at a time may receive; Close may be called from any.
type Subscription[T any] struct {
	name    string // of the method, for logs
	open    func(context.Context) (link[T], error)
	advance func(T) // moves the cursor behind an item
	log     *slog.Logger
	ctx     context.Context
	close   context.CancelFunc

	now      link[T]         // the open stream; nil: none
	next     chan opened[T]  // brings the stream that is being opened; nil: none is
	move     <-chan struct{} // closed when the stream is to be opened elsewhere
	again    <-chan struct{} // closed when the next opening may begin; nil: it may
	since    time.Time       // of the latest opening
	backoff  run.Backoff
	lost     bool  // the loss of the stream is logged
	failures int   // in a row
	err      error // why the subscription has ended
}

// link is an open stream. *rpc.ServerStream is one.
type link[T any] interface {
	RecvUntil(ctx context.Context, until <-chan struct{}) (item T, ok bool, err error)
	Moving() <-chan struct{}
	Instance() string
	Close()
}

type opened[T any] struct {
	link[T]
	err error
}

// Follow subscribes to a server stream of a service, for as long as ctx lives. newResult is the generated
// constructor of the method's result. cursor writes into args where the stream goes on behind an item; the
// provider must begin behind that place. Then every item comes once and in order:
//
//	sub := skerry.Follow(ctx, node, "historian", "watch", args, api.NewHistorianWatchResult,
//		func(p *api.Point, a *api.HistorianWatchArgs) { a.R.Since = p.T })
//	for p, err := range sub.All(ctx) { … }
//
// Follow opens nothing yet, and takes over args. The stream is opened by the first Recv, and again, after a pause
// with jitter, when its connection or instance is lost, or no instance can be reached. When the instance leaves or
// a release has switched the service, it is opened at the new place first, and the old stream is closed then; each
// version's items are followed by those of the next.
//
// Each opening is a trace of its own with a seed in common, so that a ramp moves the subscription once. With the
// context of a handler, all openings belong to the handler's trace, and the subscription ends with the handler.
//
// With page, which skerry gen makes of a page method (HistorianWatchPage), the subscription goes on by pages where no
// instance has streams, such as a program of another language. It returns up to most items behind the cursor, and waits
// for the first one. Each page is a trace of its own.
func Follow[A thrift.TStruct, T any, R rpc.ResultOf[T]](
	ctx context.Context, n *Node, service, method string, args A, newResult func() R, cursor func(item T, args A),
	page ...func(ctx context.Context, client thrift.TClient, args A, most int, wait time.Duration) ([]T, error),
) *Subscription[T] {
	name := service + "." + method
	client, begin := n.Client(service), n.openings(ctx, "follow "+name)
	timeout := n.ServiceOptions(service).Timeout
	open := func(ctx context.Context) (link[T], error) {
		ctx, end := begin(ctx)
		defer end() // the provider counts the work from its acceptance on
		st, err := rpc.OpenServerStream(ctx, client, method, args, rpc.ResultOf[T](newResult()))
		if err != nil {
			return nil, err
		}
		return st, nil
	}
	return subscribe(ctx, name, n.log, func(item T) { cursor(item, args) }, func(ctx context.Context) (link[T], error) {
		l, err := open(ctx)
		if len(page) == 0 || rpc.CodeOf(err) != rpc.Unsupported {
			return l, err
		}
		by, byErr := openPages(ctx, timeout, func(ctx context.Context, most int, wait time.Duration) ([]T, error) {
			ctx, end := begin(ctx)
			defer end()
			return page[0](ctx, client, args, most, wait)
		})
		if rpc.CodeOf(byErr) == rpc.UnknownMethod {
			return nil, err // neither has it
		}
		return by, byErr
	})
}

func subscribe[T any](
	ctx context.Context, name string, log *slog.Logger, advance func(T), open func(context.Context) (link[T], error),
) *Subscription[T] {
	s := &Subscription[T]{name: name, log: log, advance: advance, open: open, backoff: run.Backoff{Min: firstPause}}
	s.ctx, s.close = context.WithCancel(ctx)
	return s
}

// quietFailures is how many failures in a row are logged: fewer are those of any restart.
const quietFailures = 3

// firstPause bounds the pause before the first new opening, so that all followers of an instance don't come at once.
const firstPause = 20 * time.Millisecond

// openings returns what begins the trace of each opening.
func (n *Node) openings(ctx context.Context, job string) func(context.Context) (context.Context, func()) {
	seed, mark := rand.Uint64(), ""
	if t := participant.TraceFrom(ctx); t != nil {
		if !t.Job() {
			return func(ctx context.Context) (context.Context, func()) { return ctx, func() {} }
		}
		seed, mark = t.Token().Seed, t.Token().Mark
	}
	return func(ctx context.Context) (context.Context, func()) {
		n.rules.Await(ctx)
		ctx = rpc.WithTrace(ctx, tracecontext.NextSpan(""), "")
		t := n.rules.Follow(job, seed, mark)
		return t.Context(ctx), t.End
	}
}

// Recv waits for the next item until ctx ends, which does not end the subscription. It returns io.EOF when the
// provider has ended the stream, an exception that the IDL declares as it is, or an *rpc.Error that another opening
// would not change. Each of them ends the subscription.
func (s *Subscription[T]) Recv(ctx context.Context) (T, error) {
	for {
		item, ok, err := s.step(ctx)
		if ok || err != nil {
			return item, err
		}
	}
}

// All returns the items up to the last one, and closes the subscription when the loop is left. Its last error is
// one of Recv, but for io.EOF.
func (s *Subscription[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer s.Close()
		for {
			item, err := s.Recv(ctx)
			if err == io.EOF || !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// Close ends the subscription and its stream. It never waits.
func (s *Subscription[T]) Close() { s.close() }

// step does one thing: it waits for an item, for an opening, or for the time of one. ok is false without an item.
func (s *Subscription[T]) step(ctx context.Context) (item T, ok bool, err error) {
	switch {
	case s.err != nil:
		return item, false, s.err
	case s.next != nil:
		select {
		case o := <-s.next:
			s.next = nil
			return item, false, s.arrived(o)
		case <-ctx.Done():
			return item, false, s.canceled(ctx)
		}
	case s.ctx.Err() != nil && s.now == nil:
		err = s.canceled(s.ctx)
		s.end(err)
		return item, false, err
	case s.now != nil:
		return s.receive(ctx)
	case s.again != nil:
		select {
		case <-s.again:
			s.again = nil
		case <-s.ctx.Done():
		case <-ctx.Done():
			return item, false, s.canceled(ctx)
		}
		return item, false, nil
	}
	s.begin()
	return item, false, nil
}

// begin opens the stream. Until it is open or has failed no item is received, as the cursor must not move.
func (s *Subscription[T]) begin() {
	next := make(chan opened[T], 1)
	s.next = next
	go func() { // ends with the opening, which ends with s.ctx
		l, err := s.open(s.ctx)
		next <- opened[T]{l, err}
	}()
}

// arrived takes the result of an opening.
func (s *Subscription[T]) arrived(o opened[T]) error {
	if o.err == nil {
		if s.now != nil {
			s.now.Close()
		}
		s.failures = 0
		if s.lost {
			s.log.Info("the subscription has its stream again", "method", s.name, "instance", o.Instance())
			s.lost = false
		}
		s.now, s.move, s.since = o.link, o.Moving(), time.Now()
		select {
		case <-s.move: // the process that was asked knows newer rules than this one
			s.move = s.pause()
		default:
		}
		return nil
	}
	if s.now != nil { // it goes on while the new place can't be reached
		s.move = s.pause()
		return nil
	}
	return s.failed(o.err)
}

// receive waits for an item of the open stream.
func (s *Subscription[T]) receive(ctx context.Context) (item T, ok bool, err error) {
	item, ok, err = s.now.RecvUntil(ctx, s.move)
	switch {
	case ok:
		s.backoff.Reset()
		s.advance(item)
		return item, true, nil
	case err == nil:
		s.begin()
		return item, false, nil
	case ctx.Err() != nil && s.ctx.Err() == nil && errors.Is(err, ctx.Err()):
		return item, false, err
	}
	moving := false
	select {
	case <-s.now.Moving():
		moving = true
	default:
	}
	s.now.Close()
	s.now, s.move = nil, nil
	if err == io.EOF && moving { // the handler has ended at a point of its choice
		return item, false, nil
	}
	return item, false, s.failed(err)
}

// end ends the subscription.
func (s *Subscription[T]) end(err error) {
	s.err = err
	s.close()
}

// stable is how long a stream without an item must live for the next opening to be made without a pause.
const stable = 5 * time.Second

// failed decides by the error of a stream or opening whether another opening may help.
func (s *Subscription[T]) failed(err error) error {
	if s.ctx.Err() != nil {
		err = s.canceled(s.ctx)
	}
	if s.ctx.Err() != nil || !passes(err) {
		s.end(err)
		return err
	}
	if !s.since.IsZero() && time.Since(s.since) >= stable {
		s.backoff.Reset()
	}
	if s.failures++; s.failures == quietFailures {
		s.lost = true
		s.log.Warn("the subscription has no stream, and opens it until it has one", "method", s.name, "err", err)
	}
	s.since, s.again = time.Time{}, s.pause()
	return nil
}

// passes reports whether a stream that has failed so may be open again later, maybe at another instance.
func passes(err error) bool {
	var e *rpc.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case rpc.ConnectionLost, rpc.Draining, rpc.Moved, rpc.Unreachable, rpc.NoInstance, rpc.Overloaded, rpc.Limited,
		rpc.LimitExceeded, rpc.BreakerOpen, rpc.UnknownService, rpc.DeadlineExceeded, rpc.SlowReader, rpc.RulesNeeded,
		rpc.RulesForked, rpc.Retired, rpc.Expired, rpc.WrongVersion, rpc.VersionUnavailable:
		return true
	}
	return false
}

// pause returns a channel that is closed after a time that grows with each failure in a row.
func (s *Subscription[T]) pause() <-chan struct{} {
	over := make(chan struct{})
	time.AfterFunc(s.backoff.Next(), func() { close(over) })
	return over
}

// canceled is the error of a wait that a context has ended.
func (s *Subscription[T]) canceled(ctx context.Context) error {
	code := rpc.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = rpc.DeadlineExceeded
	}
	return &rpc.Error{Code: code, Executed: rpc.MaybeExecuted,
		Err: fmt.Errorf("follow %s: %w", s.name, context.Cause(ctx))}
}
