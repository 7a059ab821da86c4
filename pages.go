package skerry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

// The bounds of the pages that a subscription asks for.
const (
	pageItems    = 100
	pageLongest  = 10 * time.Second      // that a provider may wait for the first item of a page
	pageShortest = 10 * time.Millisecond // the same, when calls end before
	pagePause    = time.Second           // between empty pages of a provider that does not wait
	streamAgain  = time.Minute           // a stream is tried again: an instance with streams may have come
)

// pages is a link to a provider without streams. It calls the page method that stands for the stream, again and again.
type pages[T any] struct {
	call   func(ctx context.Context, most int, wait time.Duration) ([]T, error) // from the cursor on
	wait   time.Duration
	ctx    context.Context // ends by Close
	close  context.CancelFunc
	moving chan struct{} // closed when a stream is to be tried again
	again  *time.Timer

	items []T          // of the latest page, still to be received
	next  chan page[T] // brings the page that is under way; nil: none is
	stop  context.CancelFunc
	pause run.Backoff
}

type page[T any] struct {
	items []T
	err   error
}

// openPages asks for a page that waits for no item, so that a provider without the method is known at once. timeout is
// that of a call.
func openPages[T any](
	ctx context.Context, timeout time.Duration,
	call func(ctx context.Context, most int, wait time.Duration) ([]T, error),
) (link[T], error) {
	items, err := call(ctx, pageItems, 0)
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		timeout = time.Second // that of package rpc
	}
	p := &pages[T]{call: call, wait: min(timeout/2, pageLongest), items: items, moving: make(chan struct{}),
		pause: run.Backoff{Min: firstPause, Max: pagePause}}
	p.ctx, p.close = context.WithCancel(ctx)
	p.again = time.AfterFunc(run.Jitter(streamAgain, 0.2), func() { close(p.moving) })
	return p, nil
}

// RecvUntil implements link. The cursor must not move while a page is under way, so that none is when it returns
// because of until.
func (p *pages[T]) RecvUntil(ctx context.Context, until <-chan struct{}) (item T, ok bool, err error) {
	select {
	case <-until:
		p.abandon()
		return item, false, nil
	default:
	}
	if p.ctx.Err() != nil {
		return item, false, p.over(p.ctx)
	}
	if len(p.items) == 0 {
		if p.next == nil {
			p.fetch()
		}
		select {
		case got := <-p.next:
			p.next = nil
			p.stop()
			if got.err != nil {
				return item, false, got.err
			}
			p.items = got.items
		case <-until:
			p.abandon()
			return item, false, nil
		case <-ctx.Done():
			return item, false, p.over(ctx)
		}
	}
	item, p.items = p.items[0], p.items[1:]
	return item, true, nil
}

// over is the error of a wait that a context has ended.
func (p *pages[T]) over(ctx context.Context) error {
	code := rpc.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = rpc.DeadlineExceeded
	}
	return &rpc.Error{Code: code, Executed: rpc.MaybeExecuted, Err: fmt.Errorf("wait for a page: %w", ctx.Err())}
}

// fetch begins to ask for the next page with items.
func (p *pages[T]) fetch() {
	ctx, stop := context.WithCancel(p.ctx)
	next := make(chan page[T], 1)
	p.next, p.stop = next, stop
	go func() { // ends with ctx
		items, err := p.full(ctx)
		next <- page[T]{items, err}
	}()
}

// full returns the next page with items, or why there is none.
func (p *pages[T]) full(ctx context.Context) ([]T, error) {
	for {
		began := time.Now()
		items, err := p.call(ctx, pageItems, p.wait)
		switch {
		case rpc.CodeOf(err) == rpc.DeadlineExceeded && ctx.Err() == nil && p.wait > pageShortest:
			p.wait /= 2 // the site's policy may end calls earlier
		case err != nil:
			return nil, err
		case len(items) > 0:
			p.pause.Reset()
			return items, nil
		case time.Since(began) < p.wait/2:
			if err := p.pause.Wait(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// abandon ends a page that is under way. Its items come again.
func (p *pages[T]) abandon() {
	if p.next != nil {
		p.stop()
		<-p.next
		p.next = nil
	}
}

func (p *pages[T]) Moving() <-chan struct{} { return p.moving }

func (p *pages[T]) Instance() string { return "any, by pages" }

func (p *pages[T]) Close() {
	p.again.Stop()
	p.close()
}
