package rpc

import (
	"context"
	"errors"
	"time"
)

// The bounds of a page, because clients choose both numbers.
const (
	pageItems = 1000
	pageWait  = 30 * time.Second
)

// pageRest is how long a page waits for another item after the last one. Items that the handler sends together are
// on one page, and a single item is hardly delayed.
const pageRest = 20 * time.Millisecond

// Page serves a page of a stream to clients without streams. It runs watch, the handler of the stream. The page ends
// with its item number most, when no item follows the last one within 20 ms, or when wait is over. It has at most
// 1,000 items and takes at most 30 s. A page without items after wait is no error. The list is never nil, because
// other languages take an absent list for a failure.
func Page[T any](
	ctx context.Context, most int, wait time.Duration, watch func(context.Context, Sender[T]) error,
) ([]T, error) {
	if most <= 0 {
		return []T{}, nil
	}
	most = min(most, pageItems)
	parent := ctx
	ctx, cancel := context.WithTimeout(parent, min(wait, pageWait))
	defer cancel()
	p := &page[T]{items: []T{}, most: most, over: cancel}
	err := watch(ctx, p)
	if p.rest != nil {
		p.rest.Stop()
	}
	ended := errors.Is(err, errPageFull) || errors.Is(err, ctx.Err()) && parent.Err() == nil
	if ended || len(p.items) == most {
		err = nil
	}
	return p.items, err
}

// page is the Sender of a page.
type page[T any] struct {
	items []T
	most  int
	over  func()
	rest  *time.Timer // since the last item; nil: there is none yet
}

// errPageFull ends the handler of a page.
var errPageFull = errors.New("the page is full")

func (p *page[T]) Send(ctx context.Context, item T) error {
	if len(p.items) == p.most {
		return errPageFull
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.items = append(p.items, item)
	switch {
	case len(p.items) == p.most:
		p.over()
	case p.rest == nil:
		p.rest = time.AfterFunc(pageRest, p.over)
	default:
		p.rest.Reset(pageRest)
	}
	return nil
}
