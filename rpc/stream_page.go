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

// Page serves a page of a stream to clients without streams. It runs watch, the handler of the stream, until it
// has sent most items or wait is over, and returns the items: at most 1,000, after at most 30 s. A page without items
// after wait is no error. It is never nil, because other languages take an absent list for a failure.
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
	p := &page[T]{items: []T{}, most: most, full: cancel}
	err := watch(ctx, p)
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
	full  func()
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
	if p.items = append(p.items, item); len(p.items) == p.most {
		p.full()
	}
	return nil
}
