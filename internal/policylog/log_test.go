package policylog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/chance"
	"github.com/skerry/skerry/internal/rollout"
)

// keys is a Trust by names: a proof is the name of its signer.
type keys []string

func (k keys) Signer(p rollout.Purpose, text string, proof rollout.Proof) (string, error) {
	name, _, _ := strings.Cut(string(proof.Signature), "|")
	if p == Purpose && slices.Contains(k, name) && string(proof.Signature) == name+"|"+fmt.Sprint(len(text)) {
		return name, nil
	}
	return "", errors.New("no key of mine")
}

func sign(t *testing.T, e Entry, by string) Entry {
	t.Helper()
	e.By = by
	e, err := e.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return e.WithProof(rollout.Proof{Kind: 1, Signature: []byte(by + "|" + fmt.Sprint(len(e.Body())))})
}

func mustMerge(t *testing.T, l *Log, trust rollout.Trust, entries ...Entry) *Log {
	t.Helper()
	l, err := l.Merge(trust, nil, entries...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// world plays a site: processes write on what they hold, lose connections and meet in pairs. At the end all meet. It
// returns the hashes of what each holds to be the policy. merge is Log.Merge, or a wrong one.
func world(t *testing.T, r *rand.Rand, merge func(l *Log, entries ...Entry) *Log) (ends []string, written int) {
	const processes = 4
	logs := make([]*Log, processes)
	for i := range logs {
		logs[i] = NewLog("c")
	}
	meet := func(a, b int) {
		all := slices.Clone(logs[a].Entries())
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		logs[b] = merge(logs[b], all...)
		logs[a] = merge(logs[a], logs[b].Entries()...)
	}
	for range 30 {
		at := r.IntN(processes)
		if r.IntN(3) == 0 {
			e := sign(t, logs[at].Next(fmt.Sprint("policy: 1 #", r.IntN(1000))), []string{"li", "wang"}[r.IntN(2)])
			logs[at], written = merge(logs[at], e), written+1
			continue
		}
		meet(at, (at+1+r.IntN(processes-1))%processes)
	}
	for range 2 {
		for a := range processes {
			for b := range a {
				meet(a, b)
			}
		}
	}
	for _, l := range logs {
		hash := ""
		if e, ok := l.Newest(); ok {
			hash = e.Hash()
		}
		ends = append(ends, hash)
	}
	return ends, written
}

func agree(ends []string) bool { return len(slices.Compact(slices.Clone(ends))) == 1 }

// TestOneWinner: whatever the order in which entries meet, all processes end with the same policy.
func TestOneWinner(t *testing.T) {
	r, conflicts := chance.Rand(t, 41), 0
	for range 200 {
		ends, _ := world(t, r, func(l *Log, entries ...Entry) *Log {
			l, err := l.Merge(keys{"li", "wang"}, nil, entries...)
			if err != nil {
				t.Fatal(err)
			}
			conflicts += len(l.Lost())
			return l
		})
		if !agree(ends) {
			t.Fatalf("processes end with %q", ends)
		}
	}
	if conflicts == 0 {
		t.Error("no two operators ever wrote at once: the search has no strength")
	}
}

// TestSearchFindsWrongWinners: other rules for the winner part the site.
func TestSearchFindsWrongWinners(t *testing.T) {
	by := func(wins func(e, than Entry) bool) func(*Log, ...Entry) *Log {
		return func(l *Log, entries ...Entry) *Log {
			next := &Log{cluster: l.cluster, entries: slices.Clone(l.entries)}
			for _, e := range entries {
				switch {
				case slices.ContainsFunc(next.entries, func(k Entry) bool { return k.Hash() == e.Hash() }):
				case len(next.entries) == 0 || wins(e, next.entries[0]):
					next.entries = slices.Insert(next.entries, 0, e)
				default:
					next.entries = append(next.entries, e)
				}
			}
			return next
		}
	}
	for name, wrong := range map[string]func(e, than Entry) bool{
		"the first to come stays":    func(e, than Entry) bool { return e.Number > than.Number },
		"the last to come wins":      func(e, than Entry) bool { return e.Number >= than.Number },
		"only what follows is taken": func(e, than Entry) bool { return e.Previous == than.Hash() },
		"the hash counts, not number": func(e, than Entry) bool {
			return e.Hash() > than.Hash() && e.Number != than.Number
		},
	} {
		r, parted := chance.Rand(t, 43), false
		for range 200 {
			ends, _ := world(t, r, by(wrong))
			parted = parted || !agree(ends)
		}
		if !parted {
			t.Errorf("%s: the search found nothing", name)
		}
	}
}

func TestOnlyProvenEntries(t *testing.T) {
	trust := keys{"li"}
	one := sign(t, NewLog("c").Next("policy: 1\n"), "li")
	log := mustMerge(t, NewLog("c"), trust, one)
	two := sign(t, log.Next("policy: 1 # two\n"), "wang") // a key that was taken out
	forged := log.Next("policy: 1 # forged\n")
	forged, err := forged.Seal()
	if err != nil {
		t.Fatal(err)
	}
	stolen := one
	stolen.proofs = nil
	moved := forged
	moved.proofs = one.proofs // the proof of another text
	foreign := sign(t, NewLog("other").Next("policy: 1\n"), "li")
	far := log.Next("policy: 1\n")
	far.Number = maxNumber - 1
	far = sign(t, far, "li")
	for name, c := range map[string]struct {
		e    Entry
		want error
	}{"of a removed key": {two, rollout.ErrUnproven}, "without a proof": {forged, rollout.ErrUnproven},
		"with the proof of another": {moved, rollout.ErrUnproven}, "of another cluster": {foreign, ErrForeign},
		"far away": {far, ErrEntry}} {
		next, err := log.Merge(trust, nil, c.e)
		if next != log || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v and no change", name, err, c.want)
		}
	}
	// Replayed: what is known, also without its proof, changes nothing and costs no check.
	if next, err := log.Merge(trust, func() bool { t.Error("a signature was checked"); return true }, one,
		stolen); next != log || err != nil {
		t.Errorf("a replay: %v", err)
	}
	// An entry of a trusted key vouches for the one before it.
	three := sign(t, mustMerge(t, log, keys{"li", "wang"}, two).Next("policy: 1 # three\n"), "li")
	log = mustMerge(t, log, trust, two, three)
	if newest, _ := log.Newest(); newest.Hash() != three.Hash() || len(log.Entries()) != 3 {
		t.Errorf("the log ends with %v and has %d entries", newest, len(log.Entries()))
	}
	busy := sign(t, log.Next("policy: 1\n"), "li")
	if next, err := log.Merge(trust, func() bool { return false }, busy); next != log || err == nil {
		t.Errorf("without a check to spare: %v", err)
	}
}

func TestLostIsNamed(t *testing.T) {
	trust := keys{"li", "wang"}
	log := mustMerge(t, NewLog("c"), trust, sign(t, NewLog("c").Next("policy: 1\n"), "li"))
	a, b := sign(t, log.Next("policy: 1 # a\n"), "li"), sign(t, log.Next("policy: 1 # b\n"), "wang")
	if a.Hash() < b.Hash() {
		a, b = b, a
	}
	both := mustMerge(t, log, trust, b, a)
	if newest, _ := both.Newest(); newest.Hash() != a.Hash() {
		t.Errorf("%v won, want the higher hash", newest)
	}
	lost := both.Lost()
	if len(lost) != 1 || lost[0].Entry.Hash() != b.Hash() || lost[0].To.Hash() != a.Hash() {
		t.Errorf("lost: %+v", lost)
	}
	// The side that wrote more wins, and what it overtakes is named.
	c := sign(t, mustMerge(t, log, trust, b).Next("policy: 1 # c\n"), "wang")
	if lost := mustMerge(t, both, trust, c).Lost(); len(lost) != 1 || lost[0].Entry.Hash() != a.Hash() ||
		lost[0].To.Hash() != b.Hash() {
		t.Errorf("lost: %+v", lost)
	}
	if len(log.Lost()) != 0 {
		t.Error("a log of one line has losers")
	}
}

// TestConfirm: what is not confirmed goes back by itself.
func TestConfirm(t *testing.T) {
	trust := keys{"li"}
	first := NewLog("c").Next("policy: 1 # first\n")
	first.Confirm = time.Minute
	log := mustMerge(t, NewLog("c"), trust, sign(t, first, "li"))
	if e, ok := log.Current(time.Minute); !ok || e.Number != 0 {
		t.Errorf("an unconfirmed first policy goes back to %v", e)
	}
	one := sign(t, log.Next("policy: 1 # one\n"), "li")
	log = mustMerge(t, log, trust, one)
	two := log.Next("policy: 1 # two\n")
	two.Confirm = 10 * time.Minute
	two = sign(t, two, "li")
	waits := mustMerge(t, log, trust, two)
	for applied, want := range map[time.Duration]Entry{
		0: two, 10*time.Minute - 1: two, 10 * time.Minute: one, time.Hour: one,
	} {
		if e, ok := waits.Current(applied); !ok || e.Hash() != want.Hash() {
			t.Errorf("after %v %v is in force, want %v", applied, e, want)
		}
	}
	if e, _ := mustMerge(t, waits, trust, sign(t, waits.Next(two.Text), "li")).Current(time.Hour); e.Number != 4 {
		t.Errorf("after the confirmation %v is in force", e)
	}
	if _, ok := mustMerge(t, NewLog("c"), trust, two).Current(time.Hour); ok {
		t.Error("a newcomer goes back to what it does not know")
	}
}

// TestGoesBackToWhatWasKept: of several policies that needed a confirmation none is one to go back to, neither one that
// was not confirmed nor one that stands in a further entry.
func TestGoesBackToWhatWasKept(t *testing.T) {
	trust := keys{"li"}
	log := NewLog("c")
	add := func(text string, confirm time.Duration) Entry {
		e := log.Next(text)
		e.Confirm = confirm
		e = sign(t, e, "li")
		log = mustMerge(t, log, trust, e)
		return e
	}
	before := func(e Entry) uint64 {
		t.Helper()
		b, ok := log.Before(e)
		if !ok {
			t.Errorf("what was before %v is not known", e)
		}
		return b.Number
	}
	add("policy: 1 # one\n", 0)
	add("policy: 1 # two, nobody confirms it\n", time.Minute)
	three := add("policy: 1 # three\n", time.Minute)
	if e, _ := log.Current(time.Hour); e.Number != 1 {
		t.Errorf("%v is in force after two unconfirmed policies, want 1", e)
	}
	if n := before(add(three.Text, 0)); n != 1 { // the confirmation of three
		t.Errorf("before the confirmation was %d, want 1", n)
	}
	if n := before(add("policy: 1 # five\n", 0)); n != 4 {
		t.Errorf("before five was %d, want 4", n)
	}
}

// TestBounds: a log of many or large entries keeps the newest and its predecessor.
func TestBounds(t *testing.T) {
	trust := keys{"li"}
	log := NewLog("c")
	for range 70 {
		log = mustMerge(t, log, trust, sign(t, log.Next("policy: 1\n"), "li"))
	}
	if n := len(log.Entries()); n != MaxEntries {
		t.Errorf("%d entries are kept", n)
	}
	large := strings.Repeat("#", maxText)
	for range 12 {
		log = mustMerge(t, log, trust, sign(t, log.Next(large), "li"))
	}
	size := 0
	for _, e := range log.Entries() {
		size += len(e.Body())
	}
	if size > maxBytes || len(log.Entries()) < 2 {
		t.Errorf("%d bytes in %d entries are kept", size, len(log.Entries()))
	}
	tooLong := log.Next(large + "#")
	if _, err := tooLong.Seal(); !errors.Is(err, ErrEntry) {
		t.Errorf("a text that is too long: %v", err)
	}
}

func TestBytesAreKept(t *testing.T) {
	e := NewLog("c").Next("policy: 1\r\n# 策略\n")
	e.On, e.Why = []On{{Name: "storm", For: time.Hour, Since: 1}}, "a <b>\nc"
	e = sign(t, e, "li")
	r, err := ParseRecord(e.Record().Marshal())
	if err != nil {
		t.Fatal(err)
	}
	back, err := r.Open()
	if err != nil || back.Hash() != e.Hash() || back.Text != e.Text || back.Why != e.Why || len(back.On) != 1 {
		t.Errorf("read back %+v, %v", back, err)
	}
	if name, err := back.SignedBy(keys{"li"}); name != "li" || err != nil {
		t.Errorf("signed by %q, %v", name, err)
	}
	bad := NewLog("c").Next("policy: 1 # \xff\n")
	if _, err := bad.Seal(); !errors.Is(err, ErrEntry) {
		t.Errorf("a text that is no UTF-8: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("[]\nskerry-policy 1\n{\"cluster\":\"c\",\"number\":1,\"previous\":\"\"}\npolicy: 1\n"))
	f.Add([]byte("null\nskerry-policy 2\n{}\n"))
	f.Add([]byte("[{\"kind\":1,\"signature\":\"AAA=\"}]\nskerry-policy 1\n{\"number\":9007199254740993}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			if !errors.Is(err, ErrEntry) {
				t.Fatalf("error %v", err)
			}
			return
		}
		e, err := r.Open()
		if err != nil {
			if !errors.Is(err, ErrEntry) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := ParseRecord(e.Record().Marshal())
		if err != nil || again.Body != r.Body {
			t.Fatalf("written and read again: %v, %q", err, again.Body)
		}
		l, _ := NewLog(e.Cluster).Merge(nil, nil, e)
		l.Lost()
		l.Current(time.Hour)
		if newest, ok := l.Newest(); ok && e.UnknownNeeds() == nil && newest.Hash() != e.Hash() {
			t.Fatalf("the log ends with %v", newest)
		}
	})
}
