package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Overflow is the method (and, when even those are too many, the service) under which
// calls are counted that no longer have a cell of their own.
const Overflow = "*"

const (
	sinkTimeout = 5 * time.Second // for one Write
	idlePeriods = 20              // a cell this long without a call may be given up for room
)

// Config sets up a Recorder. The zero value counts and writes nowhere.
type Config struct {
	Sinks    []Sink        // where rows go; none = only Rows and Visit show them
	Period   time.Duration // time between two writes; 0 means 30 s
	MaxCells int           // keys counted apart; 0 means 4096, about 4 KiB each
	Logger   *slog.Logger  // nil means slog.Default()
}

// Recorder counts the calls of a process. Create it with [NewRecorder]; its
// methods may be called from any goroutine. A nil *Recorder counts nothing.
type Recorder struct {
	cfg   Config
	log   *slog.Logger
	start time.Time

	mu      sync.RWMutex
	cells   map[Key]*Cell
	shared  map[Key]*Cell // method "*": what found no room in cells
	leaving []*Cell       // given up: read once more, for calls that were under way

	flushMu sync.Mutex // one flush at a time
	outlets []*outlet
}

// outlet is one sink and what it has not taken yet.
type outlet struct {
	sink    Sink
	from    time.Time // begin of what is pending
	pending map[Key]*counts
	failing bool
}

// NewRecorder makes a recorder. It writes to its sinks only while Run runs.
func NewRecorder(cfg Config) *Recorder {
	cfg.Period = cmp.Or(cfg.Period, 30*time.Second)
	cfg.MaxCells = cmp.Or(cfg.MaxCells, 4096)
	r := &Recorder{cfg: cfg, log: cfg.Logger, start: time.Now(), cells: map[Key]*Cell{}, shared: map[Key]*Cell{}}
	if r.log == nil {
		r.log = slog.Default()
	}
	for _, s := range cfg.Sinks {
		r.outlets = append(r.outlets, &outlet{sink: s, from: r.start, pending: map[Key]*counts{}})
	}
	return r
}

// Cell returns the cell of a key, making it when it is new. Past MaxCells the
// cell of a key that has been idle for 20 periods makes room; when there is
// none, the key shares the cell of its side, service and version with method "*".
func (r *Recorder) Cell(k Key) *Cell {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	c := r.cells[k]
	r.mu.RUnlock()
	if c != nil {
		return c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c = r.cells[k]; c != nil {
		return c
	}
	if len(r.cells) >= r.cfg.MaxCells {
		r.evict()
	}
	if len(r.cells) >= r.cfg.MaxCells {
		return r.sharedCell(k)
	}
	c = &Cell{key: k}
	r.cells[k] = c
	return c
}

// sharedCell is the cell of a side and service for methods and peers that
// have none of their own; past the limit all services share one.
func (r *Recorder) sharedCell(k Key) *Cell {
	k = Key{Side: k.Side, Service: k.Service, Method: Overflow, Version: k.Version}
	if r.shared[k] == nil && len(r.shared) >= r.cfg.MaxCells {
		k.Service, k.Version = Overflow, ""
	}
	if r.shared[k] == nil {
		r.shared[k] = &Cell{key: k}
	}
	return r.shared[k]
}

// evict gives up every idle cell. Whoever still holds one counts on into the
// service's shared cell.
func (r *Recorder) evict() {
	for k, c := range r.cells {
		if c.idle < idlePeriods {
			continue
		}
		delete(r.cells, k)
		c.forward.Store(r.sharedCell(k))
		r.leaving = append(r.leaving, c)
	}
}

// Run writes the rows of every period to the sinks until ctx ends, then once
// more. It returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.flush(ctx)
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// flush moves what was counted into every outlet and offers it to the sinks.
func (r *Recorder) flush(ctx context.Context) {
	r.flushMu.Lock()
	defer r.flushMu.Unlock()
	r.collect()
	now := time.Now()
	for _, o := range r.outlets {
		err := o.write(ctx, now)
		switch {
		case err != nil && !o.failing:
			r.log.Warn("call statistics not written; they are kept and go with the next period",
				"sink", fmt.Sprintf("%T", o.sink), "keys", len(o.pending), "err", err)
		case err == nil && o.failing:
			r.log.Info("call statistics are written again", "sink", fmt.Sprintf("%T", o.sink))
		}
		o.failing = err != nil
	}
}

func (r *Recorder) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.cells {
		r.drain(c)
	}
	for _, c := range r.shared {
		r.drain(c)
	}
	for _, c := range r.leaving {
		r.drain(c)
	}
	r.leaving = nil
}

// drain moves one cell's news into every outlet.
func (r *Recorder) drain(c *Cell) {
	d := c.take()
	if d.empty() {
		c.idle++
		return
	}
	c.idle = 0
	for _, o := range r.outlets {
		if o.pending[c.key] == nil {
			o.pending[c.key] = &counts{}
		}
		o.pending[c.key].merge(&d)
	}
}

// write offers everything pending to the sink and forgets it when taken.
func (o *outlet) write(ctx context.Context, now time.Time) (err error) {
	if len(o.pending) == 0 {
		o.from = now
		return nil
	}
	rows := make([]Row, 0, len(o.pending))
	for k, c := range o.pending {
		rows = append(rows, c.row(k, o.from, now))
	}
	SortRows(rows)
	ctx, cancel := context.WithTimeout(ctx, sinkTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("sink panicked: %v", p))
		}
	}()
	if err := o.sink.Write(ctx, rows); err != nil {
		return err
	}
	clear(o.pending)
	o.from = now
	return nil
}

// Visit calls f for every key that has counted a call, with everything
// counted since the recorder was made, sorted by [CompareKeys]. within tells
// how many calls took at most a given time; it is valid until f returns.
func (r *Recorder) Visit(f func(row Row, within func(time.Duration) int64)) {
	if r == nil {
		return
	}
	r.mu.RLock()
	cells := slices.AppendSeq(make([]*Cell, 0, len(r.cells)), maps.Values(r.cells))
	cells = slices.AppendSeq(cells, maps.Values(r.shared))
	r.mu.RUnlock()
	slices.SortFunc(cells, func(a, b *Cell) int { return CompareKeys(a.key, b.key) })
	now := time.Now()
	for _, c := range cells {
		all := r.total(c)
		if !all.empty() {
			f(all.row(c.key, r.start, now), all.hist.within)
		}
	}
}

// total reads a cell without taking anything from the next period.
func (r *Recorder) total(c *Cell) *counts {
	r.mu.RLock()
	slowest := c.seen.max
	r.mu.RUnlock()
	all := &counts{sum: c.sum.Load(), max: max(slowest, c.max.Load())}
	for octave := range c.hist {
		if block := c.hist[octave].Load(); block != nil {
			for step := range block {
				all.hist.add(octave, step, block[step].Load())
			}
		}
	}
	for o := range c.outcomes { // after the histogram, which so never counts more calls
		all.outcomes[o] = c.outcomes[o].Load()
	}
	return all
}

// Rows is what was counted since the recorder was made, one row for each key,
// sorted by [CompareKeys]: the live view beside the periods that sinks get.
func (r *Recorder) Rows() []Row {
	var rows []Row
	r.Visit(func(row Row, _ func(time.Duration) int64) { rows = append(rows, row) })
	return rows
}
