package rpc

import (
	"context"
	"errors"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// Future is the result of calls that go on while their caller does something else.
type Future[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// Go runs f, which makes calls, in a goroutine that ends with it. Give f a context with a deadline.
func Go[T any](ctx context.Context, f func(context.Context) (T, error)) *Future[T] {
	p := &Future[T]{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.value, p.err = f(ctx)
	}()
	return p
}

// Done returns a channel that is closed when the result is there.
func (f *Future[T]) Done() <-chan struct{} { return f.done }

// Wait returns the result of f, or the error of ctx when that ends first; f then goes on.
func (f *Future[T]) Wait(ctx context.Context) (T, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// Promise is the answer to a call that its handler gives later, from any goroutine. The first of Set, Fail and
// the end of the call counts.
type Promise[T any] struct {
	once   sync.Once
	settle func(T, error)
}

// Set answers the call. It reports false when the call has its answer, or its caller waits no longer.
func (p *Promise[T]) Set(value T) bool { return p.end(value, nil) }

// Fail answers the call with an error: as it is when the IDL declares it.
func (p *Promise[T]) Fail(err error) bool {
	var none T
	if err == nil {
		err = errors.New("Promise.Fail was called without an error")
	}
	return p.end(none, err)
}

func (p *Promise[T]) end(value T, err error) (first bool) {
	p.once.Do(func() { first = true; p.settle(value, err) })
	return first
}

// AsyncMethod makes a method of which the handler returns before the answer is there. No goroutine waits for it.
// When h returns an error, that is the answer. The other parts are those of ServerStreamMethod.
func AsyncMethod[A thrift.TStruct, T any](
	method string, args func() A, h func(context.Context, A, *Promise[T]) error, result func(T) thrift.TStruct,
) StreamMethod {
	serve := func(ctx context.Context, r *serverCall, id int32, in, out thrift.TProtocol) (bool, thrift.TException) {
		a := args()
		if err := readArgs(ctx, method, id, a, in, out); err != nil {
			return false, err
		}
		later := &laterCall{call: r, id: id, done: make(chan struct{})}
		p := &Promise[T]{settle: func(value T, err error) {
			if err != nil {
				later.answer(emptyOf(result), err)
				return
			}
			later.answer(result(value), nil)
		}}
		later.unbind = context.AfterFunc(ctx, func() { p.Fail(ctx.Err()) })
		if err := h(ctx, a, p); err != nil {
			p.Fail(err)
		}
		if r == nil { // outside of a Server the goroutine waits
			<-later.done
			return later.write(ctx, method, out)
		}
		r.info.streamHead().later = later
		return true, nil
	}
	return StreamMethod{name: method, async: true, serve: serve}
}

// laterCall is a call that its handler answers by a Promise.
type laterCall struct {
	call   *serverCall // nil outside of a Server
	id     int32       // of the message
	unbind func() bool
	done   chan struct{} // closed with the answer

	mu     sync.Mutex
	left   bool // the handler has returned, and no goroutine has the call
	result thrift.TStruct
	err    error
}

// answer takes the answer, once.
func (l *laterCall) answer(result thrift.TStruct, err error) {
	l.mu.Lock()
	l.result, l.err = result, err
	left := l.left
	close(l.done)
	l.mu.Unlock()
	if left {
		l.call.finish(l.conclude())
	}
}

// leave reports whether the answer is not there yet, so that the goroutine that gives it finishes the call.
func (l *laterCall) leave() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = l.result == nil
	return l.left
}

func (l *laterCall) write(ctx context.Context, method string, out thrift.TProtocol) (bool, thrift.TException) {
	l.unbind()
	return writeResult(ctx, method, l.id, out, l.result, l.result, l.err)
}

// conclude sends the answer.
func (l *laterCall) conclude() health.Outcome {
	r := l.call
	h := handlerRun{out: flat.NewWriter(r.encoding, r.conn.s.cfg.Sizes.Frame), started: true}
	defer h.out.Free()
	ok, failed := l.write(&r.ctx, r.info.Method, h.out)
	h.ok = ok
	if failed != nil { // avoids a nil pointer in an interface
		return r.conclude(&h, failed)
	}
	return r.conclude(&h, nil)
}
