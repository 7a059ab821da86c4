package registrar_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/registrar"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// place is a Writer that records calls and can refuse or be slow.
type place struct {
	mu     sync.Mutex
	err    error
	slow   time.Duration
	listed map[registry.ID]registry.Instance
	tries  []time.Time
	put    int // instances, of all calls
}

func (p *place) Apply(ctx context.Context, put []registry.Instance, drop []registry.ID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries = append(p.tries, time.Now())
	if p.slow > 0 {
		if err := run.Sleep(ctx, p.slow); err != nil {
			return err
		}
	}
	if p.err != nil {
		return p.err
	}
	if p.listed == nil {
		p.listed = map[registry.ID]registry.Instance{}
	}
	p.put += len(put)
	for _, in := range put {
		p.listed[in.ID()] = in
	}
	for _, id := range drop {
		delete(p.listed, id)
	}
	return nil
}

func (p *place) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *place) has(id registry.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.listed[id]
	return ok
}

var (
	self = registry.Owner{Host: "node", PID: 7, Epoch: 1}
	auth = registry.Instance{Service: "auth", Version: "v1", Host: "192.0.2.1", Port: 7000, Owner: self}
	proc = registry.Instance{Service: "proc", Version: "v1", Host: "192.0.2.1", Port: 7001, Owner: self}
)

// withRegistrar runs a registrar in a bubble; stop ends its Run and waits.
func withRegistrar(t *testing.T, f func(t *testing.T, r *registrar.Registrar, p *place, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		p := &place{}
		r := registrar.New(self, p)
		ctx, cancel := context.WithCancel(t.Context())
		g := run.NewGroup(ctx)
		g.Go(r.Run)
		synctest.Wait() // it waits for the first wish
		stop := func() {
			cancel()
			if err := g.Wait(); err != nil {
				t.Errorf("Run: %v", err)
			}
		}
		defer stop()
		f(t, r, p, stop)
	})
}

// TestRegistrarNeverGivesUp: after an outage of any length, the wishes are listed within the
// longest pause.
func TestRegistrarNeverGivesUp(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, _ func()) {
		down := errors.New("down")
		p.fail(down)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := r.Register(ctx, auth)
		if !errors.Is(err, registry.ErrPending) || !errors.Is(err, down) {
			t.Errorf("Register: %v; want ErrPending and why", err)
		}
		time.Sleep(100 * time.Hour)
		p.fail(nil)
		time.Sleep(5 * time.Second)
		if !p.has(auth.ID()) {
			t.Error("not listed 5 s after an outage of 100 h")
		}
		for i, try := range p.tries[1:] {
			if gap := try.Sub(p.tries[i]); gap > 5*time.Second || gap < 25*time.Millisecond {
				t.Fatalf("tries %v apart", gap)
			}
		}
	})
}

func TestRegistrarRetryEndsThePause(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, _ func()) {
		p.fail(errors.New("down"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = r.Register(ctx, auth) // ErrPending, as tested above
		p.fail(nil)
		r.Retry()
		synctest.Wait()
		if !p.has(auth.ID()) {
			t.Error("Retry did not try at once")
		}
	})
}

// TestRegistrarGathers: wishes that come during a slow call go into the next one together, only the
// newest of each.
func TestRegistrarGathers(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, _ func()) {
		p.slow = time.Second
		g := run.NewGroup(t.Context())
		for _, weight := range []int{1, 2, 3, 4} {
			g.Go(func(ctx context.Context) error {
				in := auth
				in.Weight = weight
				return r.Register(ctx, in, proc)
			})
			synctest.Wait()
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := len(p.tries); n != 2 || p.listed[auth.ID()].Weight != 4 {
			t.Errorf("%d calls, weight %d; want 2 calls and the last weight", n, p.listed[auth.ID()].Weight)
		}
	})
}

func TestRegistrarReconcile(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, _ func()) {
		if err := r.Register(t.Context(), auth, proc); err != nil {
			t.Fatal(err)
		}
		old := auth
		old.Version = "v0"
		p.listed = map[registry.ID]registry.Instance{old.ID(): old, proc.ID(): proc}
		put := p.put
		r.Reconcile([]registry.ID{old.ID(), proc.ID()})
		synctest.Wait()
		if !p.has(auth.ID()) || p.has(old.ID()) || !p.has(proc.ID()) || p.put != put+1 {
			t.Errorf("listed %v after %d writes; want auth/v1 again, auth/v0 gone, proc untouched", p.listed, p.put-put)
		}
		if n, settled := r.Settled(); n != 2 || !settled {
			t.Errorf("Settled: %d, %v", n, settled)
		}
	})
}

// TestRegistrarListed counts listed registrations without an open wish.
func TestRegistrarListed(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, _ func()) {
		stands := func(when string, want int) {
			t.Helper()
			if n := r.Listed(); n != want {
				t.Errorf("%s: %d are listed, want %d", when, n, want)
			}
		}
		stands("at first", 0)
		if err := r.Register(t.Context(), auth); err != nil {
			t.Fatal(err)
		}
		stands("with one", 1)
		p.fail(errors.New("down"))
		hurry, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.Register(hurry, proc); err == nil {
			t.Fatal("registered while the place is down")
		}
		stands("with another that waits", 1)
		r.Refresh()
		stands("when all are listed again", 0)
		p.fail(nil)
		time.Sleep(time.Minute)
		stands("in the end", 2)
	})
}

func TestRegistrarLeaves(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, stop func()) {
		if err := r.Register(t.Context(), auth); err != nil {
			t.Fatal(err)
		}
		p.fail(errors.New("down for a second"))
		time.AfterFunc(time.Second, func() { p.fail(nil) })
		stop()
		if p.has(auth.ID()) {
			t.Error("still listed after the end of Run")
		}
	})
}

func TestRegistrarLeavesInTime(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, stop func()) {
		if err := r.Register(t.Context(), auth); err != nil {
			t.Fatal(err)
		}
		p.slow = time.Hour
		begun := time.Now()
		stop()
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("the end of Run took %v; want two seconds", took)
		}
	})
}

// TestRegistrarKeepsStarted: a second registration keeps the start of the first.
func TestRegistrarKeepsStarted(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, _ *place, _ func()) {
		begun := time.Now()
		for range 2 {
			if err := r.Register(t.Context(), auth); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if got := r.Wished()[0].Started; !got.Equal(begun) {
			t.Errorf("started %v after the first registration", got.Sub(begun))
		}
	})
}

func TestRegistrarOwner(t *testing.T) {
	withRegistrar(t, func(t *testing.T, r *registrar.Registrar, p *place, _ func()) {
		nameless := auth
		nameless.Owner = registry.Owner{}
		if err := r.Register(t.Context(), nameless); err != nil {
			t.Fatal(err)
		}
		if !p.has(auth.ID()) {
			t.Errorf("listed %v; want the registrar's owner", p.listed)
		}
		if err := r.Deregister(t.Context(), nameless.ID()); err != nil || p.has(auth.ID()) {
			t.Errorf("Withdraw without an epoch: %v, listed %v", err, p.listed)
		}
	})
}

func TestBoardDepartures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := registrar.NewPublisher("test", true)
		var last registry.Snapshot
		stop := b.Watch("auth", func(s registry.Snapshot) { last = s })
		defer stop()
		gone := func(id registry.ID, kind registry.DepartureKind) registry.Departure {
			return registry.Departure{ID: id, Kind: kind, When: time.Now()}
		}
		two := auth
		two.Version = "v2"
		b.Publish("auth", []registry.Instance{two}, gone(auth.ID(), registry.Expired))
		time.Sleep(time.Minute)
		b.Publish("auth", nil, gone(two.ID(), registry.Deregistered), gone(auth.ID(), registry.Deregistered))
		synctest.Wait()
		kinds := []registry.DepartureKind{}
		for _, d := range last.Gone {
			kinds = append(kinds, d.Kind)
		}
		if !slices.Equal(kinds, []registry.DepartureKind{registry.Deregistered, registry.Deregistered}) ||
			!last.Partial ||
			last.Source != "test" {
			t.Errorf("%+v; want each departure once, as it was told last", last)
		}
		b.Publish("auth", []registry.Instance{auth})
		synctest.Wait()
		if len(last.Gone) != 1 || last.Gone[0].ID != two.ID() {
			t.Errorf("gone: %v; want only what is not listed", last.Gone)
		}
		time.Sleep(11 * time.Minute)
		b.Confirm()
		synctest.Wait()
		if len(last.Gone) != 0 || !last.Read.Equal(time.Now()) {
			t.Errorf("gone %v, read %v ago; want forgotten departures and a fresh list", last.Gone,
				time.Since(last.Read))
		}
	})
}

// TestBoardSkipsButTheNewest: a slow watcher misses lists, never the last one, and gets one call at
// a time.
func TestBoardSkipsButTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := registrar.NewPublisher("test", false)
		calls, weight := 0, 0
		stop := b.Watch("auth", func(s registry.Snapshot) {
			time.Sleep(time.Second)
			calls++
			weight = s.Instances[0].Weight
		})
		for i := range 100 {
			in := auth
			in.Weight = i
			b.Publish("auth", []registry.Instance{in})
		}
		time.Sleep(10 * time.Second)
		stop()
		if calls > 2 || weight != 99 {
			t.Errorf("%d calls, the last with %d; want at most 2 and 99", calls, weight)
		}
	})
}

func TestBoardUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := registrar.NewPublisher("test", false)
		if b.Unread() {
			t.Error("unread without watchers")
		}
		stop := b.Watch("auth", func(registry.Snapshot) {})
		if !b.Unread() {
			t.Error("a new watcher has nothing to read")
		}
		b.Publish("auth", nil)
		stop()
		stop = b.Watch("auth", func(registry.Snapshot) {})
		defer stop()
		if !b.Unread() {
			t.Error("a list that nobody kept fresh counts as read")
		}
		if services, all := b.Watched(); all || !slices.Equal(services, []string{"auth"}) {
			t.Errorf("watched: %v, %v", services, all)
		}
	})
}

func TestTagsAreText(t *testing.T) {
	for _, bad := range []string{"\xff", "a\x00b", "a\nb", "\x1b[2J", "\u009b", "\x7f", "\u202e", "\u2028"} {
		in := auth
		in.Tags = map[string]string{"k": bad}
		if err := in.Check(); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("Check with tag %q: %v; want ErrInvalid", bad, err)
		}
		in = auth
		in.Host = "10.0.0.5" + bad
		if err := in.Check(); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("Check with host %q: %v; want ErrInvalid", in.Host, err)
		}
	}
	in := auth
	in.Tags = map[string]string{"k": "一号厅 “quoted” \\ ü é"}
	if err := in.Check(); err != nil {
		t.Error(err)
	}
}
