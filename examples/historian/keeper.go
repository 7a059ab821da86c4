package historian

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/rpc"
)

// Keeper provides the service Historian from memory.
type Keeper struct {
	most int

	mu      sync.Mutex
	points  []*api.Point  // by time, without two of one time: so a time is a cursor
	removed int64         // time of the last point that is not kept any more
	more    chan struct{} // closed when there is a point more
	after   []func()      // to call then
}

// NewKeeper makes a keeper of the last most points.
func NewKeeper(most int) *Keeper { return &Keeper{most: most, more: make(chan struct{})} }

// since returns the points of a range, and what is closed when there are more of any.
func (k *Keeper) since(r *api.Range) (points []*api.Point, more chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Since > 0 && r.Since < k.removed {
		return nil, nil, &api.Gone{Why: "values after that time were removed", Oldest: k.points[0].T}
	}
	byTime := func(p *api.Point, t int64) int { return cmp.Compare(p.T, t) }
	first, _ := slices.BinarySearchFunc(k.points, r.Since+1, byTime)
	for _, p := range k.points[first:] {
		if len(r.Tags) == 0 || slices.Contains(r.Tags, p.Tag) {
			points = append(points, p)
		}
	}
	return points, k.more, nil
}

// add keeps a point. One that comes too late for its time gets the next free one.
func (k *Keeper) add(p *api.Point) {
	if p.T == 0 {
		p.T = time.Now().UnixMilli()
	}
	k.mu.Lock()
	if n := len(k.points); n > 0 {
		p.T = max(p.T, k.points[n-1].T+1)
	}
	k.points = append(k.points, p)
	if len(k.points) > k.most {
		k.removed = k.points[0].T
		k.points = k.points[1:]
	}
	close(k.more)
	k.more = make(chan struct{})
	after := k.after
	k.after = nil
	k.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// Watch is a server stream. It ends without an error when it should move: a follower opens it again elsewhere.
func (k *Keeper) Watch(ctx context.Context, r *api.Range, out rpc.Sender[*api.Point]) error {
	at := api.Range{}
	if r != nil {
		at = *r
	}
	for {
		points, more, err := k.since(&at)
		if err != nil {
			return err
		}
		for _, p := range points {
			if err := out.Send(ctx, p); err != nil {
				return err
			}
			at.Since = p.T
		}
		select {
		case <-more:
		case <-rpc.Moving(ctx):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Upload is a client stream.
func (k *Keeper) Upload(ctx context.Context, tag string, in rpc.Receiver[*api.Point]) (*api.Ack, error) {
	ack := &api.Ack{}
	for p, err := range in.All(ctx) {
		if err != nil {
			return nil, err
		}
		p.Tag = tag
		k.add(p)
		ack.Kept++
	}
	return ack, nil
}

// Talk is a bidi stream.
func (k *Keeper) Talk(ctx context.Context, in rpc.Receiver[*api.Query], out rpc.Sender[*api.Point]) error {
	for q, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		last := &api.Point{Tag: q.Tag}
		points, _, _ := k.since(&api.Range{Tags: []string{q.Tag}}) // no range from the beginning on is gone
		for _, p := range points {
			if p.T <= q.T {
				last = p
			}
		}
		if err := out.Send(ctx, last); err != nil {
			return err
		}
	}
	return nil
}

// After is answered by a promise: no goroutine waits for the value.
func (k *Keeper) After(ctx context.Context, q *api.Query, done *rpc.Promise[*api.Point]) error {
	if ctx.Err() != nil {
		return nil // the caller has left
	}
	points, _, err := k.since(&api.Range{Tags: []string{q.Tag}, Since: q.T})
	if err != nil {
		return err
	}
	if len(points) > 0 {
		done.Set(points[0])
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.after = append(k.after, func() { _ = k.After(ctx, q, done) })
	return nil
}

// Tags is a call.
func (k *Keeper) Tags(context.Context) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	tags := []string{} // other languages take an absent list for a failure
	for _, p := range k.points {
		tags = append(tags, p.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}
