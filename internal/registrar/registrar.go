package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// leaveTime bounds how long the end of Run withdraws registrations.
const leaveTime = 2 * time.Second

// Writer writes registrations to the place that lists them.
type Writer interface {
	// Apply makes upsert listed and remove not listed. It is repeated until it returns nil, so it
	// must be idempotent.
	Apply(ctx context.Context, upsert []registry.Instance, remove []registry.ID) error
}

// Registrar keeps the wishes of one owner: the registrations to be listed. It turns wishes into
// calls of a [Writer], combines wishes that come together, and retries every failure for ever, with
// backoff and jitter. Its methods may be called from any goroutine.
type Registrar struct {
	owner  registry.Owner
	writer Writer
	kick   run.Signal // there is work, or a reason to retry at once

	mu      sync.Mutex
	seq     uint64
	wished  map[registry.ID]registry.Instance
	todo    map[registry.ID]uint64 // open wishes, by the number of the wish
	lastErr error                  // of the latest failed try
	done    chan struct{}          // closed and replaced when wishes were carried out
}

// New returns a registrar for the owner's registrations.
func New(owner registry.Owner, writer Writer) *Registrar {
	return &Registrar{
		owner:  owner,
		writer: writer,
		kick:   run.NewSignal(),
		wished: map[registry.ID]registry.Instance{},
		todo:   map[registry.ID]uint64{},
		done:   make(chan struct{}),
	}
}

// Register implements registry.Registry. The owner of the instances becomes the registrar's, and an
// instance without a start has started now.
func (r *Registrar) Register(ctx context.Context, instances ...registry.Instance) error {
	for _, in := range instances {
		if err := in.Check(); err != nil {
			return err
		}
	}
	now := time.Now()
	ids := make([]registry.ID, len(instances))
	seq := r.wish(func(seq uint64) {
		for i, in := range instances {
			in.Owner = r.owner
			id := in.ID()
			if in.Started.IsZero() {
				in.Started = now
				if old, ok := r.wished[id]; ok {
					in.Started = old.Started
				}
			}
			ids[i], r.wished[id], r.todo[id] = id, in, seq
		}
	})
	return r.wait(ctx, "register", seq, ids)
}

// Deregister implements registry.Registry. An ID without an epoch gets the owner's.
func (r *Registrar) Deregister(ctx context.Context, ids ...registry.ID) error {
	ids = slices.Clone(ids)
	seq := r.wish(func(seq uint64) {
		for i := range ids {
			if ids[i].Epoch == 0 {
				ids[i].Epoch = r.owner.Epoch
			}
			if _, ok := r.wished[ids[i]]; ok {
				delete(r.wished, ids[i])
				r.todo[ids[i]] = seq
			}
		}
	})
	return r.wait(ctx, "withdraw", seq, ids)
}

// Wished lists the wished registrations, in the order of Compare.
func (r *Registrar) Wished() []registry.Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]registry.Instance, 0, len(r.wished))
	for _, in := range r.wished {
		out = append(out, in)
	}
	slices.SortFunc(out, registry.Compare)
	return out
}

// Settled reports whether every wish has been carried out, and how many registrations are then
// listed.
func (r *Registrar) Settled() (listed int, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.wished), len(r.todo) == 0
}

// Listed is the number of listed registrations without a newer wish.
func (r *Registrar) Listed() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.wished {
		if _, open := r.todo[id]; !open {
			n++
		}
	}
	return n
}

// Refresh lists everything again. Registries call it when they find registrations missing.
func (r *Registrar) Refresh() {
	r.wish(func(seq uint64) {
		for id := range r.wished {
			r.todo[id] = seq
		}
	})
}

// Reconcile compares the owner's listed registrations with the wishes. It lists missing ones and
// drops listed ones without a wish. Registries need it if their place may come back in an earlier
// state.
func (r *Registrar) Reconcile(listed []registry.ID) {
	r.wish(func(seq uint64) {
		found := make(map[registry.ID]bool, len(listed))
		for _, id := range listed {
			found[id] = true
			if _, ok := r.wished[id]; !ok {
				r.todo[id] = seq
			}
		}
		for id := range r.wished {
			if !found[id] {
				r.todo[id] = seq
			}
		}
	})
}

// Retry ends the pause after a failure. Registries call it when their place can be reached again.
func (r *Registrar) Retry() {
	r.kick.Set()
}

// Run carries out wishes until ctx ends. Then it withdraws the listed registrations, within two
// seconds, and returns nil.
func (r *Registrar) Run(ctx context.Context) error {
	r.Refresh()
	var pause run.Backoff
	for {
		select {
		case <-r.kick: // this step carries out all earlier wishes
		default:
		}
		var retry <-chan time.Time
		if err := r.step(ctx); err != nil {
			retry = time.After(pause.Next())
		} else {
			pause.Reset()
		}
		select {
		case <-ctx.Done():
			return r.leave(ctx)
		case <-r.kick:
		case <-retry:
		}
	}
}

func (r *Registrar) wish(change func(seq uint64)) uint64 {
	r.mu.Lock()
	r.seq++
	seq := r.seq
	change(seq)
	r.mu.Unlock()
	r.Retry()
	return seq
}

// step carries out the open wishes in one call of the writer.
func (r *Registrar) step(ctx context.Context) error {
	r.mu.Lock()
	tried := make(map[registry.ID]uint64, len(r.todo))
	var put []registry.Instance
	var drop []registry.ID
	for id, seq := range r.todo {
		tried[id] = seq
		if in, ok := r.wished[id]; ok {
			put = append(put, in)
		} else {
			drop = append(drop, id)
		}
	}
	r.mu.Unlock()
	if len(tried) == 0 || ctx.Err() != nil {
		return nil
	}
	slices.SortFunc(put, registry.Compare)
	slices.SortFunc(drop, registry.ID.Compare)
	err := r.writer.Apply(ctx, put, drop)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastErr = err
	if err != nil {
		return err
	}
	for id, seq := range tried {
		if r.todo[id] == seq { // otherwise there is a newer wish
			delete(r.todo, id)
		}
	}
	close(r.done)
	r.done = make(chan struct{})
	return nil
}

// wait returns when the wishes of number seq have been carried out.
func (r *Registrar) wait(ctx context.Context, verb string, seq uint64, ids []registry.ID) error {
	for {
		r.mu.Lock()
		done := r.done
		left := slices.ContainsFunc(ids,
			func(id registry.ID) bool { return r.todo[id] >= seq }) // it also waits for a newer wish
		r.mu.Unlock()
		if !left {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			r.mu.Lock()
			last := r.lastErr
			r.mu.Unlock()
			return pending(verb, ids, last, ctx)
		}
	}
}

func pending(verb string, ids []registry.ID, last error, ctx context.Context) error {
	if last == nil {
		last = context.Cause(ctx)
	}
	what := "nothing"
	if len(ids) > 0 {
		what = ids[0].String()
	}
	if len(ids) > 1 {
		what = fmt.Sprintf("%s and %d more", what, len(ids)-1)
	}
	return fmt.Errorf("%s %s: %w: %w", verb, what, registry.ErrPending, last)
}

// leave withdraws all registrations that may be listed. The wishes stay, for another Run.
func (r *Registrar) leave(ctx context.Context) error {
	ids := make([]registry.ID, 0)
	for _, in := range r.Wished() {
		ids = append(ids, in.ID())
	}
	r.mu.Lock()
	for id := range r.todo { // an open withdrawal
		if _, ok := r.wished[id]; !ok {
			ids = append(ids, id)
		}
	}
	r.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	pause := run.Backoff{Max: 500 * time.Millisecond}
	for {
		err := r.writer.Apply(ctx, nil, ids)
		if err == nil || errors.Is(err, registry.ErrInvalid) || pause.Wait(ctx) != nil {
			return nil // others notice the end of the lease, or the silence
		}
	}
}
