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
	"sync/atomic"
	"time"
)

// Overflow is the method name for calls of a service and version that have no cell of their own.
const Overflow = "*"

const (
	sinkTimeout = 5 * time.Second // for one Write
	idlePeriods = 20              // after so many periods without a call a cell may be evicted
)

// Config sets up a Recorder. The zero value counts and writes nowhere.
type Config struct {
	Sinks    []Sink        // receivers of rows; none = only Rows and Visit show them
	Period   time.Duration // time between two writes; 0 means 30 s
	MaxBytes int           // memory of keys with their own counts; 0 means 16 MiB, some 6,000 keys
	Logger   *slog.Logger  // nil means slog.Default()
}

// Recorder counts the calls of a process. Create it with [NewRecorder]; its
// methods may be called from any goroutine. A nil *Recorder counts nothing.
type Recorder struct {
	cfg   Config
	log   *slog.Logger
	start time.Time

	bytes atomic.Int64 // that cells take

	mu      sync.RWMutex
	cells   map[Key]*Cell
	shared  map[Key]*Cell // method "*": for keys without a cell. Services and versions are never counted together.
	leaving []*Cell       // evicted: read once more, for calls that were running

	flushMu sync.Mutex // one flush at a time
	outlets []*outlet
}

// outlet is one sink and the counts that it has not taken yet.
type outlet struct {
	sink    Sink
	from    time.Time // begin of the pending counts
	pending map[Key]*counts
	failing bool
}

// NewRecorder makes a recorder. It writes to its sinks only while Run runs.
func NewRecorder(cfg Config) *Recorder {
	cfg.Period = cmp.Or(cfg.Period, 30*time.Second)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 16<<20)
	r := &Recorder{cfg: cfg, log: cfg.Logger, start: time.Now(), cells: map[Key]*Cell{}, shared: map[Key]*Cell{}}
	if r.log == nil {
		r.log = slog.Default()
	}
	for _, s := range cfg.Sinks {
		r.outlets = append(r.outlets, &outlet{sink: s, from: r.start, pending: map[Key]*counts{}})
	}
	return r
}

// Cell returns the cell of a key, and makes a new one if needed. Past MaxBytes, cells of keys that
// have been idle for 20 periods are evicted. If there are none, the key shares the cell of its
// side, service and version with method "*". The recorder keeps copies of the key's strings.
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
	if r.bytes.Load() >= int64(r.cfg.MaxBytes) {
		r.evict()
	}
	if r.bytes.Load() >= int64(r.cfg.MaxBytes) {
		return r.sharedCell(k)
	}
	c = &Cell{key: k.clone(), bytes: &r.bytes, block: blockBytes * int64(2+len(r.outlets))}
	r.bytes.Add(c.size())
	r.cells[c.key] = c
	return c
}

// sharedCell is the cell of a side, service and version, for methods and peers without a cell of
// their own.
func (r *Recorder) sharedCell(k Key) *Cell {
	k = k.shared()
	if r.shared[k] == nil {
		k = k.clone()
		r.shared[k] = &Cell{key: k}
	}
	return r.shared[k]
}

// evict removes every idle cell. A caller that still holds one counts into the service's shared
// cell.
func (r *Recorder) evict() {
	for k, c := range r.cells {
		if c.idle < idlePeriods {
			continue
		}
		delete(r.cells, k)
		r.bytes.Add(-c.size())
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

// flush moves the counts into every outlet and offers them to the sinks.
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
	sum := int64(0)
	for _, c := range r.cells {
		r.drain(c)
		sum += c.size()
	}
	r.bytes.Store(sum) // a new sum, because evicted cells have gone on counting
	for _, c := range r.shared {
		r.drain(c)
	}
	for _, c := range r.leaving {
		r.drain(c)
	}
	r.leaving = nil
}

// drain moves one cell's new counts into every outlet.
func (r *Recorder) drain(c *Cell) {
	d := c.take()
	if d.empty() {
		c.idle++
		return
	}
	c.idle = 0
	for _, o := range r.outlets {
		o.of(c.key, r.cfg.MaxBytes/pendingBytes).merge(&d)
	}
}

// pendingBytes is about the memory of a key that waits for a sink.
const pendingBytes = 2 << 10

// of are the pending counts of a key. After a long failure of the sink at most most keys are kept
// apart; the others are counted as past MaxBytes.
func (o *outlet) of(k Key, most int) *counts {
	if c := o.pending[k]; c != nil {
		return c
	}
	if len(o.pending) >= most {
		k = k.shared()
	}
	if o.pending[k] == nil {
		o.pending[k] = &counts{}
	}
	return o.pending[k]
}

// write offers all pending counts to the sink, and forgets them when the sink has taken them.
func (o *outlet) write(ctx context.Context, now time.Time) (err error) {
	if len(o.pending) == 0 {
		o.from = now
		return nil
	}
	rows := make([]Row, 0, len(o.pending))
	for k, c := range o.pending {
		rows = append(rows, c.row(k, o.from, now))
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(a.Key.Compare(b.Key), a.From.Compare(b.From)) })
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

// Visit calls f for every key that has counted a call, with all counts since the recorder was made,
// sorted by [Key.Compare]. within returns how many of the calls that [Row.Timed] counts took at most a given time; it
// is valid until f returns.
func (r *Recorder) Visit(f func(row Row, within func(time.Duration) int64)) {
	r.visit(f, func(c *Cell) *Cell { return c })
}

// VisitCopies does the same with the calls of [Cell.RecordCopy].
func (r *Recorder) VisitCopies(f func(row Row, within func(time.Duration) int64)) {
	r.visit(f, func(c *Cell) *Cell { return c.copies.Load() })
}

func (r *Recorder) visit(f func(row Row, within func(time.Duration) int64), of func(*Cell) *Cell) {
	if r == nil {
		return
	}
	r.mu.RLock()
	cells := slices.AppendSeq(make([]*Cell, 0, len(r.cells)), maps.Values(r.cells))
	cells = slices.AppendSeq(cells, maps.Values(r.shared))
	r.mu.RUnlock()
	slices.SortFunc(cells, func(a, b *Cell) int { return a.key.Compare(b.key) })
	now := time.Now()
	for _, c := range cells {
		if c = of(c); c == nil {
			continue
		}
		all := r.total(c)
		if !all.empty() {
			f(all.row(c.key, r.start, now), all.hist.within)
		}
	}
}

// total reads a cell without changing the counts of the next period.
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
	for o := range c.outcomes { // after the histogram, so that the histogram never has more calls
		all.outcomes[o] = c.outcomes[o].Load()
	}
	return all
}

// Rows are the counts since the recorder was made, one row for each key, sorted by [Key.Compare].
// They are live values, independent of the periods of sinks.
func (r *Recorder) Rows() []Row {
	var rows []Row
	r.Visit(func(row Row, _ func(time.Duration) int64) { rows = append(rows, row) })
	return rows
}
