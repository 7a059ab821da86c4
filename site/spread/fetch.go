package spread

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

const (
	pieceTime   = time.Minute            // for one piece
	lookTime    = time.Second            // between two looks at what neighbours have
	pauseTime   = 250 * time.Millisecond // after a neighbour that was busy
	patienceFor = 5 * time.Second        // without a piece, until an attempt ends
	againAfter  = 5 * time.Second        // between two attempts
	flying      = 4                      // pieces of one blob that are asked for at a time
	ofOne       = 2                      // of them, of one neighbour
	mostSigs    = 64                     // signatures that are looked at
	namedFaults = 5                      // neighbours with faults, in one text
)

// errNone: no neighbour has it.
var errNone = errors.New("no neighbour has it")

// fetching fetches what the plan names for this host.
type fetching struct {
	c       Config
	a       *agent.Agent
	s       *Site
	fetcher *artifact.Fetcher
	pace    *pace

	mu  sync.Mutex
	bad map[string]fault // by process
}

// fault is what a neighbour has sent in place of what it was asked for. Nothing is asked of it for a while.
type fault struct {
	host, sent string
	until      time.Time
}

func newFetching(c Config, s *Site, f *artifact.Fetcher) *fetching {
	return &fetching{c: c, a: c.Agent, s: s, fetcher: f, pace: &pace{rate: c.Rate},
		bad: map[string]fault{}}
}

// run fetches whatever is missing until ctx ends.
func (f *fetching) run(ctx context.Context) error {
	for {
		changed := f.a.Changed()
		missing := f.a.Missing()
		lines := map[string]string{}
		for _, w := range missing {
			if err := f.fetch(ctx, w, func(line string) {
				lines[nameOf(w)] = line
				f.say(lines)
			}); err != nil && ctx.Err() == nil {
				lines[nameOf(w)] = err.Error()
				f.say(lines)
				continue
			}
			delete(lines, nameOf(w))
		}
		f.say(lines)
		var again <-chan time.Time
		if len(missing) > 0 {
			again = time.After(run.Jitter(againAfter, 0.5))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		}
	}
}

func nameOf(w plan.Wanted) string { return w.Instance.Service + "/" + w.Instance.Version }

func (f *fetching) say(lines map[string]string) {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		all = append(all, name+": "+lines[name])
	}
	f.a.SayFetching(all)
}

// fetch fetches one artifact, unless the plan changes and does not name it any more.
func (f *fetching) fetch(ctx context.Context, w plan.Wanted, say func(string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	builders, err := artifact.ReadSigners(f.a.Config().Builders)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() { // ends with the fetch
		for {
			changed := f.a.Changed()
			if !slices.ContainsFunc(f.a.Missing(), func(m plan.Wanted) bool { return m.Artifact == w.Artifact }) {
				cancel(errors.New("the plan does not name it any more, or a bundle has brought it"))
				return
			}
			select {
			case <-changed:
			case <-ended:
				return
			}
		}
	}()
	begun := time.Now()
	if err := f.fetcher.Fetch(ctx, w.Artifact, builders, &source{f, say}); err != nil {
		return err
	}
	f.c.Log.Info("an artifact was fetched from neighbours", "artifact", nameOf(w), "digest", w.Artifact,
		"took", time.Since(begun))
	return nil
}

// blame leaves a neighbour out for a while.
func (f *fetching) blame(a Agent, what string) {
	f.mu.Lock()
	f.bad[a.Process] = fault{a.Host, what, time.Now().Add(badTime)}
	f.mu.Unlock()
	f.c.Log.Warn("a neighbour has sent other content than it was asked for; it is left out for a while", "from", a.Host,
		"process", a.Process, "sent", what, "for", badTime)
}

// neighbours are those that may be asked, those of the own zone first.
func (f *fetching) neighbours() (all []Agent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, zone := time.Now(), f.s.zone()
	maps.DeleteFunc(f.bad, func(_ string, one fault) bool { return !now.Before(one.until) })
	for _, a := range f.s.neighbours() {
		if _, bad := f.bad[a.Process]; !bad {
			all = append(all, a)
		}
	}
	all = some(all, len(all))
	slices.SortStableFunc(all, func(a, b Agent) int { return far(a, zone) - far(b, zone) })
	return all
}

func far(a Agent, zone string) int {
	if a.Zone == zone {
		return 0
	}
	return 1
}

// asked says which neighbours were asked, and what was wrong with others.
func (f *fetching) asked(all []Agent) string {
	var hosts []string
	for _, a := range all {
		hosts = append(hosts, a.Host)
	}
	slices.Sort(hosts)
	text := "asked " + strings.Join(hosts[:min(len(hosts), 20)], ", ")
	if len(hosts) == 0 {
		text = "no neighbour to ask"
	}
	if len(hosts) > 20 {
		text += fmt.Sprintf(" and %d others", len(hosts)-20)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, process := range slices.Sorted(maps.Keys(f.bad)) {
		if i == namedFaults {
			break
		}
		text += "; " + f.bad[process].host + " has sent " + f.bad[process].sent
	}
	return text
}

// source implements artifact.Neighbours by the neighbours.
type source struct {
	*fetching
	say func(string)
}

// Signatures implements artifact.Neighbours.
func (f *source) Signatures(ctx context.Context, d artifact.Digest) (all [][]byte, err error) {
	neighbours := f.neighbours()
	var mu sync.Mutex
	f.s.each(ctx, neighbours, askTime, func(ctx context.Context, _ int, c *agentwire.AgentClient) error {
		list, err := c.Signatures(ctx, string(d))
		mu.Lock()
		defer mu.Unlock()
		for _, s := range list[:min(len(list), 16)] {
			known := slices.ContainsFunc(all, func(k []byte) bool { return bytes.Equal(k, s) })
			if !known && len(all) < mostSigs && len(s) < 8<<10 {
				all = append(all, s)
			}
		}
		return err
	})
	return all, ctx.Err()
}

// holdings asks neighbours what they have of a blob.
func (f *source) holdings(ctx context.Context, d artifact.Digest, all []Agent) []*agentwire.Holding {
	list := make([]*agentwire.Holding, len(all))
	f.s.each(ctx, all, askTime, func(ctx context.Context, i int, c *agentwire.AgentClient) error {
		told, err := c.Holdings(ctx, []string{string(d)})
		if err == nil {
			list[i] = told[string(d)]
		}
		return err
	})
	return list
}

// Small implements artifact.Neighbours.
func (f *source) Small(ctx context.Context, d artifact.Digest, most int64) ([]byte, error) {
	all := f.neighbours()
	for i, h := range f.holdings(ctx, d, all) {
		if h == nil || !h.Whole || h.GetSize() < 1 || h.GetSize() > most {
			continue
		}
		content, err := f.whole(ctx, all[i], d, h.GetSize())
		if err != nil {
			continue // another one has it, too, or the next attempt
		}
		sum := sha256.Sum256(content)
		if "sha256:"+hex.EncodeToString(sum[:]) != string(d) {
			f.blame(all[i], "a wrong manifest")
			continue
		}
		return content, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("%s: %w", f.asked(all), errNone)
}

// whole reads a small blob of one neighbour.
func (f *source) whole(ctx context.Context, from Agent, d artifact.Digest, size int64) (content []byte, err error) {
	for int64(len(content)) < size {
		length := min(artifact.PieceSize, size-int64(len(content)))
		piece, err := f.piece(ctx, from, d, int64(len(content)), int(length))
		if err != nil {
			return nil, err
		}
		content = append(content, piece...)
	}
	return content, nil
}

// piece asks one neighbour for bytes of a blob.
func (f *source) piece(ctx context.Context, from Agent, d artifact.Digest, offset int64, length int) (
	content []byte, err error) {
	err = f.s.ask(ctx, from, pieceTime, func(ctx context.Context, c *agentwire.AgentClient) error {
		content, err = c.Piece(ctx, string(d), offset, int32(length))
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(content) != length {
		f.blame(from, fmt.Sprintf("a piece of %d bytes in place of %d", len(content), length))
		return nil, fmt.Errorf("%s: %w", from.Host, artifact.ErrDamaged)
	}
	return content, f.pace.wait(ctx, length)
}

// filling is the work at one blob.
type filling struct {
	*source
	p      *artifact.Part
	pieces int
	came   chan flight // pieces that were asked for, and what became of them

	agents   []Agent
	givers   []giver
	asked    map[string]int       // by process: pieces under way
	rests    map[string]time.Time // by process: it is busy until then
	flights  int
	progress time.Time // of the last piece
	looked   time.Time
}

// flight is a piece that was asked for.
type flight struct {
	piece int
	from  Agent
	err   error
}

// Fill implements artifact.Neighbours.
func (f *source) Fill(ctx context.Context, p *artifact.Part) error {
	here, lacks := p.Progress()
	w := &filling{source: f, p: p, pieces: here + lacks, came: make(chan flight), asked: map[string]int{},
		rests: map[string]time.Time{}, progress: time.Now()}
	ctx, cancel := context.WithCancel(ctx)
	err := w.run(ctx)
	cancel()
	for w.flights > 0 {
		w.land(<-w.came)
	}
	return err
}

func (w *filling) run(ctx context.Context) error {
	for {
		here, lacks := w.p.Progress()
		if lacks == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if w.pieces > 1 {
			w.say(fmt.Sprintf("%d of %d MiB of %s", here*artifact.PieceSize>>20, w.pieces*artifact.PieceSize>>20,
				w.p.Digest().Short()))
		}
		if time.Since(w.looked) >= lookTime {
			w.look(ctx)
		}
		if w.launch(ctx) {
			continue
		}
		if w.flights == 0 && time.Since(w.progress) > patienceFor {
			return fmt.Errorf("%s: %w", w.fetching.asked(w.agents), errNone)
		}
		select {
		case one := <-w.came:
			if err := w.land(one); err != nil {
				return err
			}
		case <-time.After(run.Jitter(pauseTime, 0.5)):
		case <-ctx.Done():
		}
	}
}

// look asks the neighbours what they have.
func (w *filling) look(ctx context.Context) {
	w.agents = w.neighbours()
	w.givers = make([]giver, len(w.agents))
	zone := w.s.zone()
	for i, h := range w.holdings(ctx, w.p.Digest(), w.agents) {
		w.givers[i].near = w.agents[i].Zone == zone
		if h != nil {
			w.givers[i].holding = holding{whole: h.Whole, here: h.Pieces, underWay: h.UnderWay}
		}
	}
	w.looked = time.Now()
}

// launch asks for one more piece, if one can be asked for.
func (w *filling) launch(ctx context.Context) bool {
	if w.flights >= flying {
		return false
	}
	now := time.Now()
	for i, a := range w.agents {
		w.givers[i].free = w.asked[a.Process] < ofOne && now.After(w.rests[a.Process])
	}
	piece, from := pick(w.p.Lacking(), w.pieces, w.givers, now.Sub(w.progress) > 2*lookTime)
	if piece < 0 || !w.p.Take(piece) {
		return false
	}
	one := flight{piece: piece, from: w.agents[from]}
	w.flights++
	w.asked[one.from.Process]++
	offset, length := w.p.Place(piece)
	go func() { // joined by Fill, which takes what came
		content, err := w.piece(ctx, one.from, w.p.Digest(), offset, length)
		if err == nil {
			err = w.p.Put(one.piece, content)
			if errors.Is(err, artifact.ErrDamaged) {
				w.blame(one.from, fmt.Sprintf("a wrong piece %d of %s", one.piece, w.p.Digest().Short()))
			}
		}
		one.err = err
		w.came <- one
	}()
	return true
}

// land notes what became of a piece. Its error is one of this host.
func (w *filling) land(one flight) error {
	w.flights--
	w.asked[one.from.Process]--
	if one.err == nil {
		w.progress = time.Now()
		return nil
	}
	w.p.Drop(one.piece)
	w.rests[one.from.Process] = time.Now().Add(run.Jitter(pauseTime, 0.5))
	var refused *RefusedError
	switch {
	case errors.As(one.err, &refused) && refused.Busy:
		w.progress = time.Now() // it has it
	case errors.Is(one.err, artifact.ErrDamaged):
		w.looked = time.Time{} // without it
	case errors.Is(one.err, artifact.ErrFull):
		return one.err
	default:
		w.rests[one.from.Process] = time.Now().Add(patienceFor)
	}
	return nil
}
