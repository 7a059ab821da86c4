package spread

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
)

// order brings a plan to a host, as an operator does.
func (h *host) order(p agent.SignedPlan) {
	h.t.Helper()
	must(h.t, h.agent.Offer(p.Text, p.Signature))
}

// TestArtifactsComeFromNeighbours: a plan that reaches one host is obeyed by all, and each fetches what the plan names
// for it from those that have it: files of many pieces, small ones and empty ones.
func TestArtifactsComeFromNeighbours(t *testing.T) {
	s := newSite(t)
	a := s.host("a", func(h *host) { h.zone = "hall-1" })
	b, c := s.host("b", func(h *host) { h.zone = "hall-1" }), s.host("c")
	d := a.make("auth", builder, 9<<20+5, 100, 0)
	a.order(s.plan(3, operator, map[string]artifact.Digest{"auth": d}, "a", "b", "c"))
	for _, h := range []*host{b, c} {
		eventually(t, h.name+" obeys the plan and has the artifact", func() bool { return h.number() == 3 && h.has(d) })
	}
	eventually(t, "nothing is being fetched any more", func() bool {
		return len(b.report().Fetching)+len(c.report().Fetching) == 0
	})
	left, err := os.ReadDir(filepath.Join(b.dir, "store", "skerry", "ingest"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestMissingEverywhere: status says what is missing and which hosts were asked; it is fetched when one gets it.
func TestMissingEverywhere(t *testing.T) {
	s := newSite(t)
	a, _, c := s.host("a"), s.host("b"), s.host("c")
	apart := s.host("d", func(h *host) { h.site = newSite(t) }) // on another site
	d := apart.make("auth", builder, 5<<20)
	a.order(s.plan(3, operator, map[string]artifact.Digest{"auth": d}, "a"))
	eventually(t, "status says which were asked", func() bool {
		return strings.Contains(strings.Join(a.report().Fetching, "\n"), "auth/v1: fetch "+d.Short()+": asked b, c: ")
	})
	copyStore(t, apart, c)
	eventually(t, "it is fetched from the one that got it", func() bool { return a.has(d) })
}

// copyStore gives a host all that another one has.
func copyStore(t *testing.T, from, to *host) {
	t.Helper()
	must(t, os.CopyFS(to.dir+"/copy", os.DirFS(from.dir+"/store")))
	must(t, os.RemoveAll(to.dir+"/store"))
	must(t, os.Rename(to.dir+"/copy", to.dir+"/store"))
}

// TestUntrustedIsNotFetched: an operator's plan names an artifact that no builder has signed. Not a byte of its files
// is fetched.
func TestUntrustedIsNotFetched(t *testing.T) {
	s := newSite(t)
	a, b := s.host("a"), s.host("b")
	d := a.make("auth", operator, 5<<20)
	a.order(s.plan(3, operator, map[string]artifact.Digest{"auth": d}, "b"))
	eventually(t, "status says why", func() bool {
		return strings.Contains(strings.Join(b.report().Fetching, "\n"), "no trusted signature")
	})
	left, err := os.ReadDir(filepath.Join(b.dir, "store", "skerry", "ingest"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%v was fetched", left)
	}
}

// liar is an agent that answers wrongly. Its piece is the one of an honest agent, changed.
type liar struct {
	agentwire.Agent
	piece    func(content []byte) []byte
	holdings func(map[string]*agentwire.Holding)
	asked    atomic.Int64
}

func (l *liar) Piece(ctx context.Context, d string, offset int64, length int32) ([]byte, error) {
	content, err := l.Agent.Piece(ctx, d, offset, length)
	if err != nil {
		return nil, err
	}
	l.asked.Add(1)
	return l.piece(content), nil
}

func (l *liar) Holdings(ctx context.Context, d []string) (map[string]*agentwire.Holding, error) {
	all, err := l.Agent.Holdings(ctx, d)
	if l.holdings != nil {
		l.holdings(all)
	}
	return all, err
}

func (l *liar) Signatures(ctx context.Context, d string) ([][]byte, error) {
	list, err := l.Agent.Signatures(ctx, d)
	return append([][]byte{nil, []byte("-----BEGIN SSH SIGNATURE-----"), make([]byte, 1<<20)}, list...), err
}

// TestLiars: one neighbour sends wrong content, in each way that there is; everything comes from the other one, and the
// liar is named and left out.
func TestLiars(t *testing.T) {
	for name, piece := range map[string]func([]byte) []byte{
		"other bytes":  func(c []byte) []byte { c[0]++; return c },
		"nothing":      func([]byte) []byte { return []byte{} },
		"too little":   func(c []byte) []byte { return c[:len(c)-1] },
		"more":         func(c []byte) []byte { return append(c, 0) },
		"three as big": func(c []byte) []byte { return append(append(c, c...), c...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			honest, b := s.host("honest"), s.host("b", func(h *host) { h.zone = "hall" })
			d := honest.make("auth", builder, 13<<20)
			l := s.liar(honest, &liar{piece: piece})
			look := s.looker()
			eventually(t, "all are listed", func() bool { return len(look.listed()) == 3 })
			b.order(s.plan(3, operator, map[string]artifact.Digest{"auth": d}, "b"))
			eventually(t, "the artifact is there", func() bool { return b.has(d) })
			if n := l.asked.Load(); n > 4 {
				t.Errorf("the liar was asked for %d pieces", n)
			}
		})
	}
}

// liar offers a hostile agent to the site, near to the hosts of the zone hall, with the blobs of an honest one.
func (s *site) liar(like *host, l *liar) *liar {
	s.t.Helper()
	c := Offering(s.config, "liar")
	c.Service.Zone = "hall"
	l.Agent = newServer(like.agent, artifact.NewFetcher(like.store), 0)
	n := s.open(s.t.Context(), c)
	must(s.t, n.HandleMembers(s.t.Context(), Service, agentwire.NewAgentProcessor(l)))
	return l
}

// TestResume: an agent that ends in the middle of a fetch goes on with the pieces that it has.
func TestResume(t *testing.T) {
	s := newSite(t)
	a, b := s.host("a"), s.host("b")
	d := a.make("auth", builder, 40<<20)
	var gave atomic.Int64
	stops := make(chan struct{})
	l := &liar{piece: func(c []byte) []byte {
		if gave.Add(1) == 6 {
			close(stops)
		}
		if gave.Load() >= 6 {
			<-stops
			return c[:1]
		}
		return c
	}}
	a.stop() // the other one gives the first pieces
	s.liar(a, l)
	b.order(s.plan(3, operator, map[string]artifact.Digest{"auth": d}, "b"))
	<-stops
	b.stop()
	parts, err := filepath.Glob(b.dir + "/store/skerry/ingest/*.pieces")
	must(t, err)
	if len(parts) == 0 {
		t.Fatal("nothing is left of the pieces that came")
	}
	had := gave.Load()
	b.start()
	a.start()
	eventually(t, "the artifact is there", func() bool { return b.has(d) })
	t.Logf("%d pieces came before", had)
}

// TestFloorIsKeptBeforeTheFirstByte: nothing is written when the floor would not stay free.
func TestFloorIsKeptBeforeTheFirstByte(t *testing.T) {
	s := newSite(t)
	a := s.host("a")
	d := a.make("auth", builder, 5<<20)
	tight, err := artifact.Open(t.TempDir(), artifact.Options{Floor: 1 << 60})
	must(t, err)
	builders, err := artifact.ReadSigners(a.dir + "/builders")
	must(t, err)
	look := s.looker()
	eventually(t, "a is listed", func() bool { return len(look.listed()) == 1 })
	f := newFetching(Config{Agent: a.agent, Log: quietLog}, look, nil)
	err = artifact.NewFetcher(tight).Fetch(t.Context(), d, builders, &source{f, func(string) {}})
	if !errors.Is(err, artifact.ErrFull) {
		t.Errorf("%v", err)
	}
	left, err := os.ReadDir(filepath.Join(tight.Dir(), "skerry", "ingest"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%v was written", left)
	}
}

// TestTwoPlansOfOneNumber: when two plans of one number are signed, hosts that have got different ones tell each other,
// and none changes anything until a higher number comes.
func TestTwoPlansOfOneNumber(t *testing.T) {
	s := newSite(t)
	a, b, c := s.host("a"), s.host("b"), s.host("c")
	one := s.signed(3, operator, "plan: 3\ncluster: site\n")
	two := s.signed(3, operator, "plan: 3\ncluster: site\n# two\n")
	must(t, Lock(a, true))
	b.order(one)
	must(t, Lock(a, false))
	_ = a.agent.Offer(two.Text, two.Signature)
	for _, h := range []*host{a, b, c} {
		eventually(t, h.name+" says that there are two", func() bool {
			return strings.Contains(h.report().Problem, "two plans have the number 3")
		})
	}
	latest, err := s.looker().Latest(t.Context(), nil)
	must(t, err)
	if latest.Plan.Number != 3 || len(latest.Conflicts) != 1 {
		t.Errorf("%+v", latest)
	}
	b.stop()
	b.start()
	if _, rival := b.agent.Plan(); rival == nil {
		t.Error("after a start of the agent the conflict is forgotten")
	}
	c.order(s.signed(4, operator, "plan: 4\ncluster: site\n"))
	for _, h := range []*host{a, b, c} {
		eventually(t, h.name+" goes on with plan 4", func() bool { return h.number() == 4 && h.report().Problem == "" })
	}
}

// Lock locks a host.
func Lock(h *host, locks bool) error { return agent.Lock(h.dir+"/a", locks) }

// TestLockHoldsAgainstTheNetwork: a locked host takes no plan of a neighbour or of a command.
func TestLockHoldsAgainstTheNetwork(t *testing.T) {
	s := newSite(t)
	a, b := s.host("a"), s.host("b")
	must(t, Lock(b, true))
	a.order(s.plan(3, operator, nil))
	look := s.looker()
	eventually(t, "both are listed", func() bool { return len(look.listed()) == 2 })
	results, err := look.Offer(t.Context(), s.plan(4, operator, nil))
	must(t, err)
	for _, r := range results {
		if (r.Err != nil) != (r.Host == "b") {
			t.Errorf("%s: %v", r.Host, r.Err)
		}
	}
	eventually(t, "a obeys plan 4", func() bool { return a.number() == 4 })
	if b.number() != 0 {
		t.Error("the locked host has taken a plan")
	}
	must(t, Lock(b, false))
	eventually(t, "b takes it now", func() bool { return b.number() == 4 })
}

// TestConflictIsNoFault: a neighbour passes on a plan in the moment in which an operator offers its rival here. It is
// asked again.
func TestConflictIsNoFault(t *testing.T) {
	s := newSite(t)
	a := s.host("a")
	a.order(s.signed(3, operator, "plan: 3\ncluster: site\n"))
	two := s.signed(3, operator, "plan: 3\ncluster: site\n# two\n")
	_ = a.agent.Offer(two.Text, two.Signature)
	p := newPuller(Config{Agent: a.agent, Log: quietLog}, s.looker())
	p.take(Agent{Host: "b", Process: "b/1/x"}, two.Text, two.Signature)
	if len(p.bad) > 0 {
		t.Errorf("left out: %v", p.bad)
	}
}

// TestFaultsAreForgotten: what neighbours have sent is named a few at a time, and for its time.
func TestFaultsAreForgotten(t *testing.T) {
	f := newFetching(Config{Log: quietLog}, newSite(t).looker(), nil)
	for n := range 1000 {
		f.blame(Agent{Host: "evil", Process: fmt.Sprintf("evil/%d/x", n)}, strings.Repeat("x", 100))
	}
	if text := f.asked(nil); len(text) > 1000 {
		t.Errorf("the text has %d bytes", len(text))
	}
	for process, one := range f.bad {
		one.until = time.Now()
		f.bad[process] = one
	}
	f.neighbours()
	if len(f.bad) > 0 {
		t.Errorf("%d are kept", len(f.bad))
	}
}

// TestFewWaitForLines: a caller that comes when many wait is answered at once.
func TestFewWaitForLines(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "log"), nil, 0o600))
	l := &logs{}
	l.waits.Store(logWaits)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := l.follow(ctx, dir, -1, 10, logWait); err != nil {
		t.Error(err)
	}
	if n := l.waits.Load(); n != logWaits {
		t.Errorf("%d wait afterwards, want %d", n, logWaits)
	}
	must(t, os.Remove(filepath.Join(dir, "log")))
	if _, err := l.page(dir, 0, 10); err != nil || len(l.all) > 0 {
		t.Errorf("a log that is gone: %v, %d are remembered", err, len(l.all))
	}
}
