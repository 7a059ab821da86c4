package operator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// ring is a Trust that uses the operators' names as keys.
type ring struct {
	mu    sync.Mutex
	names map[string]bool
}

func trusting(names ...string) *ring {
	r := &ring{names: map[string]bool{}}
	for _, n := range names {
		r.names[n] = true
	}
	return r
}

func (r *ring) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.names, name)
}

func mac(name string, p rollout.Purpose, text string) []byte {
	h := hmac.New(sha256.New, []byte(name))
	fmt.Fprintf(h, "%s\x00%s", p, text)
	return h.Sum(nil)
}

func (r *ring) Signer(p rollout.Purpose, text string, proof rollout.Proof) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name := string(proof.Key); r.names[name] && bytes.Equal(proof.Signature, mac(name, p, text)) {
		return name, nil
	}
	return "", fmt.Errorf("%q is not trusted here, or has not signed this", proof.Key)
}

// hand signs with an operator's key while the key's agent is there.
type hand struct {
	name string
	mu   sync.Mutex
	left int // signatures until the agent is gone; negative: no limit
	for_ []rollout.Purpose
}

var errAgentGone = errors.New("the agent has gone")

func (h *hand) Sign(p rollout.Purpose, text string) (rollout.Proof, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left == 0 {
		return rollout.Proof{}, errAgentGone
	}
	h.left--
	h.for_ = append(h.for_, p)
	return rollout.Proof{Kind: rollout.SSHProof, Signature: mac(h.name, p, text), Key: []byte(h.name)}, nil
}

func byHand(name string) *hand { return &hand{name: name, left: -1} }

// signedSite is a site of cluster "shop". Its processes and operators trust the
// keys of a ring.
type signedSite struct {
	*world
	ring *ring
	db   *Memory // nil: the processes keep the log
}

func newSignedSite(database bool, names ...string) *signedSite {
	s := &signedSite{ring: trusting(names...)}
	s.world = guarded(3, "shop", s.ring)
	if database {
		s.db = &Memory{}
	}
	for i, v := range []string{"v1", "v1", "v2"} {
		s.instances = append(s.instances, Instance{Process: s.members[i].Process, Service: "auth", Version: v, Addr: v})
		s.proc(i).MayCall("auth")
	}
	return s
}

func (s *signedSite) controller(h *hand) *Controller {
	c := Config{Site: s.world, Cluster: "shop", Trust: s.ring, By: "unsigned"}
	if h != nil {
		c.Signer, c.By = h, h.name
	}
	if c.Store = s.db; s.db == nil {
		c.Store = &Ballot{Site: s.world, Signer: c.Signer}
	}
	return New(c)
}

// at checks that all processes have applied the hash and hold no promise.
func (s *signedSite) at(t *testing.T, hash string) {
	t.Helper()
	for i := range s.members {
		if p := s.proc(i); p.Log().Hash() != hash || p.Agent.Promised() != nil {
			t.Errorf("process %d is at %v, and has promised %v", i, p.Log().Last(), p.Agent.Promised())
		}
	}
}

func eachKind(t *testing.T, f func(t *testing.T, database bool)) {
	for _, database := range []bool{false, true} {
		t.Run(fmt.Sprintf("database %v", database), func(t *testing.T) { f(t, database) })
	}
}

func TestStepsAreSigned(t *testing.T) {
	eachKind(t, func(t *testing.T, database bool) {
		ctx, s := t.Context(), newSignedSite(database, "ann")
		c := s.controller(byHand("ann"))
		must(t, "start", c.Start(ctx, "spring", "why", ""))
		must(t, "ship", c.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
		must(t, "commit", c.Commit(ctx, rollout.Whole))
		log, entries, err := c.Log(ctx)
		must(t, "log", err)
		for _, e := range entries {
			if who, err := e.SignedBy(s.ring); who != "ann" || e.Cluster != "shop" {
				t.Errorf("generation %v of %q is signed by %q, %v", e.Generation, e.Cluster, who, err)
			}
		}
		s.at(t, log.Hash())
		if database {
			return
		}
		for _, nobody := range []*hand{nil, byHand("eve")} { // without a database, processes refuse to promise
			if err := s.controller(nobody).Start(ctx, "x", "y", ""); err == nil {
				t.Error("a step that nobody trusted has signed")
			}
			s.at(t, log.Hash())
		}
	})
}

// doubter is a process with an operators file that lacks the signer.
type doubter struct{ Peer }

func (d doubter) Promise(context.Context, rollout.Entry, rollout.Undertaking) error {
	return fmt.Errorf("promise: %w: not of this host's file", rollout.ErrUnproven)
}

// TestAnOperatorWhomOneHostDoesNotKnow: the step fails with the error of that
// process. The process is alive, and must not be skipped like a dead one.
func TestAnOperatorWhomOneHostDoesNotKnow(t *testing.T) {
	s := newSignedSite(false, "ann")
	hash := s.proc(0).Log().Hash()
	s.members[2].Peer = doubter{s.members[2].Peer}
	err := s.controller(byHand("ann")).Start(t.Context(), "spring", "why", "")
	if !errors.Is(err, rollout.ErrUnproven) || errors.Is(err, ErrSilent) ||
		!strings.Contains(fmt.Sprint(err), s.members[2].Process) {
		t.Errorf("%v", err)
	}
	s.members[2].Peer = s.members[2].Peer.(doubter).Peer
	s.at(t, hash)
}

// Steps do not build on an entry that was written into the database without an
// operator's signature.
func TestAnUnsignedTipFreezesSteps(t *testing.T) {
	ctx, s := t.Context(), newSignedSite(true, "ann")
	c := s.controller(byHand("ann"))
	must(t, "start", c.Start(ctx, "spring", "why", ""))
	log, _, err := c.Log(ctx)
	must(t, "log", err)
	for i, proofs := range [][]rollout.Proof{nil,
		{{Kind: rollout.SSHProof, Signature: mac("ann", rollout.ForPromise, "x"), Key: []byte("ann")}}} {
		e, err := log.Next("forged", map[string]rollout.Rule{"auth": {Version: fmt.Sprint("forged", i)}}).Seal()
		must(t, "seal", err)
		for _, p := range proofs {
			e = e.WithProof(p)
		}
		must(t, "write", s.db.Append(ctx, e))
		for i := range s.members {
			if err := s.proc(i).Learn(ctx, e); !errors.Is(err, rollout.ErrUnproven) {
				t.Errorf("process %d: %v", i, err)
			}
		}
		for step, err := range map[string]error{
			"ship": c.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}), "rollback": c.Rollback(ctx),
			"put":   c.PutSettings(ctx, "auth", map[string]string{"a": "b"}),
			"clean": c.Clean(ctx), "refresh": c.Refresh(ctx, false),
		} {
			if !errors.Is(err, rollout.ErrUnproven) || !strings.Contains(err.Error(), "release vouch") {
				t.Errorf("%s: %v", step, err)
			}
		}
		if st := c.Status(ctx); !errors.Is(st.Err, rollout.ErrUnproven) ||
			st.Rules["auth"].Version == fmt.Sprint("forged", i) {
			t.Errorf("status: %v, %v", st.Err, st.Rules)
		}
		if got, _ := s.db.Since(ctx, log.Last()); len(got) != 1 {
			t.Fatalf("%d entries behind what is signed", len(got))
		}
		s.at(t, log.Hash())
		must(t, "vouch", c.Vouch(ctx))
		if log, _, err = c.Log(ctx); err != nil {
			t.Fatal(err)
		}
		s.at(t, log.Hash())
	}
	if err := c.Vouch(ctx); !errors.Is(err, rollout.ErrStep) {
		t.Errorf("vouch for nothing: %v", err)
	}
}

// bob's key is removed. His steps hold, a new process stops before them, and
// another operator vouches for them.
func TestVouchBehindARemovedKey(t *testing.T) {
	eachKind(t, func(t *testing.T, database bool) {
		ctx, s := t.Context(), newSignedSite(database, "ann", "bob")
		must(t, "start", s.controller(byHand("ann")).Start(ctx, "spring", "why", ""))
		bob := s.controller(byHand("bob"))
		must(t, "ship", bob.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
		must(t, "put", bob.PutSettings(ctx, "auth", map[string]string{"a": "b"}))
		s.ring.remove("bob")
		newcomer, err := participant.New(participant.Config{Process: "host/9/e", Cluster: "shop", Trust: s.ring})
		must(t, "newcomer", err)
		s.members = append(s.members, Member{Process: "host/9/e", Peer: &proc{Agent: newcomer, w: s.world}})
		whole := s.proc(0).Agent.Since(rollout.Generation{})
		if err := newcomer.Learn(whole...); !errors.Is(err, rollout.ErrUnproven) ||
			newcomer.Log().Last() != whole[0].Generation {
			t.Errorf("the newcomer is at %v: %v", newcomer.Log().Last(), err)
		}
		ann := s.controller(byHand("ann"))
		if err := ann.Commit(ctx, 1000); !errors.Is(err, rollout.ErrUnproven) ||
			!strings.Contains(err.Error(), "release vouch") {
			t.Errorf("a step on what bob has signed: %v", err)
		}
		for step, err := range map[string]error{"vouch": bob.Vouch(ctx), "start": bob.Start(ctx, "x", "y", "")} {
			if !errors.Is(err, rollout.ErrUnproven) {
				t.Errorf("%s by the key that was removed: %v", step, err)
			}
		}
		if s.db != nil {
			if all, _ := s.db.Since(ctx, rollout.Generation{}); len(all) != len(whole) {
				t.Error("bob has written into the table, which freezes it")
			}
		}
		must(t, "vouch", ann.Vouch(ctx))
		log, entries, err := ann.Log(ctx)
		must(t, "log", err)
		s.at(t, log.Hash())
		if last := entries[len(entries)-1]; last.By != "ann" || !strings.Contains(last.Step, "vouch") ||
			last.Rules != nil {
			t.Errorf("%+v", last)
		}
		if r, _ := log.Session(); len(r.Modules) != 1 || r.Settings["auth"]["a"] != "b" {
			t.Errorf("bob's steps: %+v", r)
		}
		must(t, "go on", ann.Commit(ctx, 1000))
	})
}

// The key's agent ends in the middle of a step. At every point the log stays
// whole, and the next operator completes the change.
func TestTheAgentGoesAway(t *testing.T) {
	eachKind(t, func(t *testing.T, database bool) {
		for left := range 4 {
			for _, silent := range []bool{false, true} { // a process does not promise, so the step takes back
				ctx, s := t.Context(), newSignedSite(database, "ann", "bob")
				bob := s.controller(byHand("bob"))
				must(t, "start", bob.Start(ctx, "spring", "why", ""))
				must(t, "ship", bob.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
				before := s.proc(0).Log()
				h := byHand("ann")
				h.left = left
				if silent {
					s.proc(2).deafTo = "promise"
				}
				err := s.controller(h).Commit(ctx, 1000)
				needed := 2 // the entry, and the promise
				if database {
					needed = 1
				}
				refused := silent && !database
				if refused {
					needed = 3 // and taking it back
				}
				if failed := left < needed; failed != errors.Is(err, errAgentGone) || err == nil &&
					(failed || refused) {
					t.Errorf("%d signatures, silent %v: %v", left, silent, err)
				}
				s.proc(2).deafTo = ""
				if pending := bob.Status(ctx).Pending; len(pending) > 0 != (refused && left == 2) {
					t.Errorf("%d signatures, silent %v: %d are pending", left, silent, len(pending))
				}
				must(t, "refresh", bob.Refresh(ctx, false))
				log, entries, err := bob.Log(ctx)
				must(t, "log", err)
				s.at(t, log.Hash())
				if n := len(entries) - int(before.Last().N); n > 1 || n == 1 && entries[len(entries)-1].By != "ann" {
					t.Errorf("%d signatures, silent %v: %d entries more", left, silent, n)
				}
				must(t, "go on", bob.Commit(ctx, 5000))
			}
		}
	})
}

// The signer ends while rivals are settled. The next operator can settle the
// rest.
func TestTheAgentGoesAwayWhileRivalsAreSettled(t *testing.T) {
	for left := range 6 {
		for _, discard := range []bool{false, true} {
			ctx, s := t.Context(), newSignedSite(false, "ann", "bob")
			bob := s.controller(byHand("bob"))
			must(t, "start", bob.Start(ctx, "spring", "why", ""))
			log := s.proc(0).Log()
			for i, name := range []string{"ann", "ann", "bob"} {
				e := log.Next("spring", nil)
				e.Cluster, e.Step, e.By = "shop", name+"'s step", name
				u, err := (&Ballot{Signer: byHand(name)}).undertaking(rollout.Entry.PromiseText, e, name)
				must(t, "sign", err)
				must(t, "promise", s.proc(i).Promise(ctx, e, u))
			}
			h := byHand("ann")
			h.left = left
			if err := s.controller(h).Refresh(ctx, discard); err != nil && !errors.Is(err, errAgentGone) {
				t.Errorf("%d signatures: %v", left, err)
			}
			must(t, "refresh", bob.Refresh(ctx, false))
			log, _, err := bob.Log(ctx)
			must(t, "log", err)
			s.at(t, log.Hash())
			must(t, "ship", bob.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
		}
	}
}

// The processes receive the proof of a commit only after all have promised.
func TestNoProcessHasTheProofBeforeAllHavePromised(t *testing.T) {
	ctx, s := t.Context(), newSignedSite(false, "ann")
	c := s.controller(byHand("ann"))
	must(t, "start", c.Start(ctx, "spring", "why", ""))
	seen := 0
	for i, m := range s.members {
		s.members[i].Peer = &watcher{Peer: m.Peer, seen: func(e rollout.Entry) {
			if seen++; len(e.Proofs()) > 0 {
				t.Errorf("%s is asked about an entry with its proof", m.Process)
			}
		}}
	}
	must(t, "ship", c.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
	s.members[2].Peer.(*watcher).Peer.(*proc).deafTo = "promise"
	if err := c.Commit(ctx, 1000); !errors.Is(err, ErrSilent) {
		t.Errorf("%v", err)
	}
	if seen < 6 {
		t.Errorf("%d questions were seen", seen)
	}
}

// watcher records the requests to a process before a commit.
type watcher struct {
	Peer
	seen func(rollout.Entry)
}

var watched sync.Mutex

func (w *watcher) hear(e rollout.Entry) {
	watched.Lock()
	defer watched.Unlock()
	w.seen(e)
}

func (w *watcher) Promise(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	w.hear(e)
	return w.Peer.Promise(ctx, e, by)
}

func (w *watcher) Abandon(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	w.hear(e)
	return w.Peer.Abandon(ctx, e, by)
}

// A log can't continue if no trusted key vouches for its tip, and can be ended.
func TestAdoptIsSigned(t *testing.T) {
	eachKind(t, func(t *testing.T, database bool) {
		ctx, s := t.Context(), newSignedSite(database, "ann", "bob")
		must(t, "start", s.controller(byHand("ann")).Start(ctx, "spring", "why", ""))
		log := s.proc(0).Log()
		var tips []rollout.Entry
		for i, name := range []string{"ann", "bob"} {
			e := log.Next("r", map[string]rollout.Rule{"auth": {Version: name}})
			e.Cluster = "shop"
			e, err := e.Seal()
			must(t, "seal", err)
			e, err = signed(byHand(name), e)
			must(t, "sign", err)
			must(t, "learn", s.proc(i).Learn(ctx, e))
			if i == 0 && database {
				must(t, "append", s.db.Append(ctx, e))
			}
			tips = append(tips, e)
		}
		s.ring.remove("bob")
		ann := s.controller(byHand("ann"))
		if err := ann.Adopt(ctx, tips[1].Hash()); !errors.Is(err, rollout.ErrUnproven) {
			t.Errorf("a log goes on whose tip nobody vouches for: %v", err)
		}
		if err := s.controller(byHand("bob")).Adopt(ctx, tips[0].Hash()); !errors.Is(err, rollout.ErrUnproven) {
			t.Error("bob adopts, and his key was removed")
		}
		for i := range 2 {
			if got := s.proc(i).Log().Hash(); got != tips[i].Hash() {
				t.Errorf("process %d is at %.8s", i, got)
			}
		}
		must(t, "adopt", ann.Adopt(ctx, tips[0].Hash()))
		whole, _, err := ann.Log(ctx)
		must(t, "log", err)
		s.at(t, whole.Hash())
	})
}
