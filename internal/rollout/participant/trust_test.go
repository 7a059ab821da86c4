package participant

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// keyring is a Trust by names. It trusts the keys that it holds now, and counts
// its checks.
type keyring struct {
	keys   map[string]ed25519.PublicKey
	checks int
}

func (k *keyring) Signer(p rollout.Purpose, text string, proof rollout.Proof) (string, error) {
	k.checks++
	name := string(proof.Key)
	if pub := k.keys[name]; proof.Kind != rollout.SSHProof || pub == nil ||
		!ed25519.Verify(pub, []byte(string(p)+"\x00"+text), proof.Signature) {
		return "", fmt.Errorf("no key of the ring has signed it, %q says that it has", name)
	}
	return name, nil
}

// operator is an operator's name, which determines its key.
type operator string

func (o operator) key() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%-32s", string(o)))[:ed25519.SeedSize])
}

func (o operator) Sign(p rollout.Purpose, text string) (rollout.Proof, error) {
	return rollout.Proof{Kind: rollout.SSHProof, Signature: ed25519.Sign(o.key(), []byte(string(p)+"\x00"+text)),
		Key: []byte(o)}, nil
}

// entry returns e signed by the operator.
func (o operator) entry(t *testing.T, e rollout.Entry) rollout.Entry {
	t.Helper()
	e, err := e.Seal()
	if err != nil {
		t.Fatal(err)
	}
	proof, _ := o.Sign(rollout.ForRelease, e.Body())
	return e.WithProof(proof)
}

// asks returns the operator's signed request to a process.
func (o operator) asks(verb func(rollout.Entry, string) string, e rollout.Entry, command string) rollout.Undertaking {
	proof, _ := o.Sign(rollout.ForPromise, verb(e, command))
	return rollout.Undertaking{Command: command, Proof: proof}
}

func trusting(names ...operator) *keyring {
	k := &keyring{keys: map[string]ed25519.PublicKey{}}
	for _, o := range names {
		k.keys[string(o)] = o.key().Public().(ed25519.PublicKey)
	}
	return k
}

const ann, bob, eve = operator("ann"), operator("bob"), operator("eve")

// guarded returns an agent of cluster "shop" that trusts the ring.
func guarded(t *testing.T, k *keyring, saved Saved, save func(Saved) error) *Agent {
	t.Helper()
	a, err := New(Config{Process: "host/1/a", Cluster: "shop", Trust: k, Saved: saved, Save: save})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signedChain returns entries of auth v1, v2 …, one signed by each operator.
func signedChain(t *testing.T, by ...operator) (entries []rollout.Entry) {
	t.Helper()
	log := rollout.NewLog("shop")
	for i, o := range by {
		e := o.entry(t, log.Next("r", map[string]rollout.Rule{"auth": {Version: fmt.Sprint("v", i+1)}}))
		entries, log = append(entries, e), mustApply(t, log, e)
	}
	return entries
}

// branch returns further entries that follow others, with other content.
func branch(t *testing.T, after []rollout.Entry, name string, by ...operator) (entries []rollout.Entry) {
	t.Helper()
	log, err := rollout.Replay(after)
	if err != nil {
		t.Fatal(err)
	}
	if len(after) == 0 {
		log = rollout.NewLog("shop")
	}
	for i, o := range by {
		e := o.entry(t, log.Next("r", map[string]rollout.Rule{"auth": {Version: fmt.Sprint(name, i+1)}}))
		entries, log = append(entries, e), mustApply(t, log, e)
	}
	return entries
}

// ending returns the entry that continues one log and ends entries of others.
func ending(t *testing.T, kept []rollout.Entry, ended ...rollout.Entry) rollout.Entry {
	t.Helper()
	log, err := rollout.Replay(kept)
	if err != nil {
		t.Fatal(err)
	}
	e := log.Next("adopt", nil)
	e.Generation = rollout.Generation{Timeline: e.Generation.Timeline + 1, N: e.Generation.N + uint64(len(ended))}
	for _, x := range ended {
		e.Ends = append(e.Ends, x.Position())
	}
	return e
}

func tipOf(entries []rollout.Entry) string { return entries[len(entries)-1].Hash() }

func TestARemovedKeyAddsNothingAndItsPastStays(t *testing.T) {
	ring := trusting(ann, bob)
	entries := signedChain(t, ann, bob, bob, ann)
	a := guarded(t, ring, Saved{}, nil)
	if err := a.Learn(entries[:3]...); err != nil {
		t.Fatal(err)
	}
	delete(ring.keys, "bob")
	more := branch(t, entries[:3], "b", bob)
	if err := a.Learn(more...); !errors.Is(err, rollout.ErrUnproven) || a.Log().Hash() != tipOf(entries[:3]) {
		t.Errorf("bob's key was removed, and he goes on: %v, at %v", err, a.Log().Last())
	}
	if err := a.Learn(entries[3]); err != nil || a.Log().Hash() != tipOf(entries) {
		t.Errorf("ann goes on where bob stopped: %v, at %v", err, a.Log().Last())
	}
}

func TestANewcomerStopsBeforeARemovedKey(t *testing.T) {
	ring := trusting(ann)
	entries := signedChain(t, ann, bob, bob)
	a := guarded(t, ring, Saved{}, nil)
	if err := a.Learn(entries...); !errors.Is(err, rollout.ErrUnproven) || a.Log().Hash() != entries[0].Hash() {
		t.Fatalf("%v, at %v; want it to stop behind the entry of ann", err, a.Log().Last())
	}
	if n, err := rollout.Vouched(ring, entries, nil); n != 1 || !errors.Is(err, rollout.ErrUnproven) {
		t.Errorf("%d of the entries are vouched for, %v", n, err)
	}
	vouch := branch(t, entries, "v", ann)
	if err := a.Learn(vouch...); !errors.Is(err, rollout.ErrGap) || a.Log().Hash() != entries[0].Hash() {
		t.Errorf("only the newest: %v", err)
	}
	whole := slices.Concat(entries, vouch)
	if err := a.Learn(whole...); err != nil || a.Log().Hash() != tipOf(whole) {
		t.Errorf("ann vouches: %v, at %v", err, a.Log().Last())
	}
}

// An entry is accepted only unchanged and at the place that its writer gave it.
// A signature for one purpose is invalid for another.
func TestAnEntryFitsOnePlace(t *testing.T) {
	known := signedChain(t, ann)
	good := branch(t, known, "b", ann)[0]
	other := branch(t, known, "c", ann)[0]
	change := func(f func(*rollout.Entry)) rollout.Entry {
		e, err := good.Record().Open()
		if err != nil {
			t.Fatal(err)
		}
		f(&e)
		return ann.entry(t, e)
	}
	with := func(proofs ...rollout.Proof) rollout.Entry {
		e := good.WithoutProofs()
		for _, p := range proofs {
			e = e.WithProof(p)
		}
		return e
	}
	altered := good.Record()
	altered.Body = strings.Replace(altered.Body, `"b1"`, `"b2"`, 1)
	byte1, err := altered.Open()
	if err != nil || byte1.Hash() == good.Hash() {
		t.Fatal(err)
	}
	promise := ann.asks(rollout.Entry.PromiseText, good, "x").Proof
	wrongKind := good.Proofs()[0]
	wrongKind.Kind = 7
	for name, tc := range map[string]struct {
		e    rollout.Entry
		want error
	}{
		"another cluster": {change(func(e *rollout.Entry) { e.Cluster = "shop-test" }),
			rollout.ErrForeign},
		"another timeline, not after this": {change(func(e *rollout.Entry) {
			e.Generation.Timeline++
			e.Previous = "feed"
		}), rollout.ErrFork},
		"a number left out":          {change(func(e *rollout.Entry) { e.Generation.N++ }), rollout.ErrGap},
		"a number used again":        {change(func(e *rollout.Entry) { e.Generation.N-- }), rollout.ErrFork},
		"another parent":             {change(func(e *rollout.Entry) { e.Previous = "feed" }), rollout.ErrFork},
		"one byte altered":           {byte1, rollout.ErrUnproven},
		"no proof":                   {good.WithoutProofs(), rollout.ErrUnproven},
		"the proof of a promise":     {with(promise), rollout.ErrUnproven},
		"the proof of another entry": {with(other.Proofs()...), rollout.ErrUnproven},
		"a proof of another kind":    {with(wrongKind), rollout.ErrUnproven},
		"a stranger's proof":         {eve.entry(t, good.WithoutProofs()), rollout.ErrUnproven},
	} {
		a := guarded(t, trusting(ann), Saved{}, nil)
		if err := a.Learn(known...); err != nil {
			t.Fatal(err)
		}
		if err := a.Learn(tc.e); !errors.Is(err, tc.want) || a.Log().Hash() != tipOf(known) {
			t.Errorf("%s: %v, at %v; want %v", name, err, a.Log().Last(), tc.want)
		}
	}
	a := guarded(t, trusting(ann), Saved{}, nil)
	for name, u := range map[string]rollout.Undertaking{
		"the proof of the commit":        {Command: "x", Proof: good.Proofs()[0]},
		"the promise of another entry":   ann.asks(rollout.Entry.PromiseText, other, "x"),
		"the word to take it back":       ann.asks(rollout.Entry.AbandonText, good, "x"),
		"the promise to another command": {Command: "y", Proof: promise},
		"a stranger's":                   eve.asks(rollout.Entry.PromiseText, good, "x"),
		"none":                           {Command: "x"},
	} {
		if err := errors.Join(a.Learn(known...), a.Promise(good, u)); !errors.Is(err, rollout.ErrUnproven) ||
			a.Promised() != nil {
			t.Errorf("a promise by %s: %v", name, err)
		}
	}
	if err := errors.Join(a.Promise(good, ann.asks(rollout.Entry.PromiseText, good, "x")),
		a.Learn(with(promise, good.Proofs()[0]))); err != nil || a.Log().Hash() != good.Hash() {
		t.Errorf("the right words: %v", err)
	}
}

// A request to promise must not suffice to commit: else any process that was
// asked could commit the entry later.
func TestWhoIsAskedToPromiseCannotCommit(t *testing.T) {
	ring, e := trusting(ann), signedChain(t, ann)[0]
	var kept Saved
	a := guarded(t, ring, Saved{}, func(s Saved) error { kept = s; return nil })
	u := ann.asks(rollout.Entry.PromiseText, e, "x")
	if err := a.Promise(e, u); err != nil { // a command that sends the proof too early
		t.Fatal(err)
	}
	victim := guarded(t, ring, Saved{}, nil)
	saved, err := kept.Promise.Open()
	if err != nil || kept.Promise.Body != e.Body() {
		t.Fatal(err)
	}
	for name, has := range map[string]rollout.Entry{"promised": *a.Promised(), "saved": saved,
		"with the words": saved.WithProof(u.Proof)} {
		if err := victim.Learn(has); !errors.Is(err, rollout.ErrUnproven) || victim.Log().Hash() != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(a.Promised().Proofs())+len(kept.Promise.Proofs) > 0 {
		t.Error("the process holds a proof of what is not committed")
	}
	again := guarded(t, ring, kept, nil)
	if p := again.Promised(); p == nil || p.Hash() != e.Hash() {
		t.Errorf("after a restart it has promised %v", p)
	}
}

func TestAPromiseIsTakenBackByItsOwnCommand(t *testing.T) {
	ring, e := trusting(ann, bob), signedChain(t, ann)[0]
	rival := ann.entry(t, rollout.NewLog("shop").Next("rival", nil))
	a := guarded(t, ring, Saved{}, nil)
	if err := a.Promise(e, ann.asks(rollout.Entry.PromiseText, e, "x")); err != nil {
		t.Fatal(err)
	}
	for name, u := range map[string]rollout.Undertaking{
		"the promise's own words":            ann.asks(rollout.Entry.PromiseText, e, "x"),
		"another command's word with its id": {Command: "x", Proof: bob.asks(rollout.Entry.AbandonText, e, "y").Proof},
		"the word for all with its id":       {Command: "x", Proof: bob.asks(rollout.Entry.AbandonText, e, "").Proof},
		"a word of another entry":            ann.asks(rollout.Entry.AbandonText, rival, "x"),
		"a stranger's":                       eve.asks(rollout.Entry.AbandonText, e, "x"),
	} {
		if err := a.Abandon(e, u); !errors.Is(err, rollout.ErrUnproven) || a.Promised() == nil {
			t.Errorf("%s: %v, promised %v", name, err, a.Promised())
		}
	}
	if err := a.Abandon(e, bob.asks(rollout.Entry.AbandonText, e, "y")); err != nil || a.Promised() == nil {
		t.Errorf("a command that has not asked for it: %v, promised %v", err, a.Promised())
	}
	if err := a.Reject(rival, ann.asks(rollout.Entry.PromiseText, rival, "")); !errors.Is(err, rollout.ErrUnproven) ||
		len(a.kept.barred) > 0 {
		t.Errorf("barred by the words of a promise: %v", err)
	}
	if err := a.Abandon(e, ann.asks(rollout.Entry.AbandonText, e, "x")); err != nil || a.Promised() != nil {
		t.Errorf("%v, promised %v", err, a.Promised())
	}
}

// written returns an entry as another version of skerry may write it.
func written(t *testing.T, by operator, body string) rollout.Entry {
	t.Helper()
	e, err := rollout.Record{Body: "skerry-entry 1\n" + body}.Open()
	if err != nil {
		t.Fatal(err)
	}
	proof, _ := by.Sign(rollout.ForRelease, e.Body())
	return e.WithProof(proof)
}

func TestWhatAReaderDoesNotKnowSurvives(t *testing.T) {
	ring := trusting(ann)
	e := written(t, ann,
		`{ "since":"2031", "cluster":"shop","generation":{"Timeline":0,"N":1,"Era":{"of":["ß<&>\u2028"," \u0001"]}},
	"previous":"", "release":"r","rules":{"auth":{"version":"v1","weight":2.50}}, "zones":[1,2,{}], "last":null }`)
	var file []byte
	a := guarded(t, ring, Saved{}, func(s Saved) (err error) { file, err = json.Marshal(s); return err })
	if err := a.Learn(e); err != nil {
		t.Fatal(err)
	}
	two := branch(t, []rollout.Entry{e}, "b", ann)[0]
	if err := a.Learn(two); err != nil {
		t.Fatal(err)
	}
	var saved Saved
	if err := json.Unmarshal(file, &saved); err != nil {
		t.Fatal(err)
	}
	again := guarded(t, ring, saved, nil)
	for i, got := range again.Since(rollout.Generation{}) {
		want := []rollout.Entry{e, two}[i]
		r, err := rollout.ParseRecord(got.Record().Marshal())
		if err != nil || r.Body != want.Body() || got.Hash() != want.Hash() {
			t.Errorf("entry %d came back as %q, %v", i, r.Body, err)
		}
		if sent, err := r.Open(); err != nil || sent.Hash() != want.Hash() {
			t.Errorf("entry %d as it is sent: %v", i, err)
		} else if who, err := sent.SignedBy(ring); who != "ann" {
			t.Errorf("entry %d is signed by %q, %v", i, who, err)
		}
	}
	if rule, _ := again.Log().Rule("auth"); again.Log().Hash() != two.Hash() || rule.Version != "b1" {
		t.Errorf("%v, %+v", again.Log().Last(), rule)
	}
}

func TestNothingIsAppliedFromWhatIsNotUnderstood(t *testing.T) {
	ring, entries := trusting(ann), signedChain(t, ann, ann)
	needs := func(by operator) rollout.Entry {
		log, _ := rollout.Replay(entries)
		e := log.Next("r", map[string]rollout.Rule{"auth": {Version: "v9"}})
		e.Needs = []string{"teleport"}
		return by.entry(t, e)
	}
	future := needs(ann)
	a := guarded(t, ring, Saved{}, nil)
	if err := a.Learn(slices.Concat(entries, []rollout.Entry{needs(eve)})...); !errors.Is(err, rollout.ErrUnproven) ||
		a.Report(rollout.Question{}).Lacks != nil {
		t.Errorf("a stranger says what is needed: %v, %q", err, a.Report(rollout.Question{}).Lacks)
	}
	after := ann.entry(t, rollout.Entry{Cluster: "shop", Generation: rollout.Generation{N: 4}, Previous: future.Hash()})
	a = guarded(t, ring, Saved{}, nil)
	var told []string
	a.cfg.OnTooOld = func(last rollout.Generation, needs []string) {
		told = append(told, last.String()+" "+strings.Join(needs, ","))
	}
	if err := a.Learn(slices.Concat(entries, []rollout.Entry{future, after})...); !errors.Is(err, rollout.ErrNeeds) ||
		a.Log().Hash() != tipOf(entries) {
		t.Errorf("%v, at %v", err, a.Log().Last())
	}
	_ = a.Learn(entries...) // known entries again
	_ = a.Learn(future, after)
	if !slices.Equal(told, []string{"2 teleport"}) {
		t.Errorf("it was told %q", told)
	}
	if r := a.Report(rollout.Question{}); !slices.Equal(r.Lacks, []string{"teleport"}) {
		t.Errorf("it lacks %q", r.Lacks)
	}
	if err := a.Promise(future, ann.asks(rollout.Entry.PromiseText, future, "x")); !errors.Is(err, rollout.ErrNeeds) ||
		a.Promised() != nil {
		t.Errorf("promised, and not understood: %v", err)
	}
	strange := ending(t, entries[:1], entries[1])
	strange.Needs = []string{"teleport"}
	strange = ann.entry(t, strange)
	if err := a.Promise(strange, ann.asks(rollout.Entry.PromiseText, strange, "x")); !errors.Is(err,
		rollout.ErrNeeds) || a.Promised() != nil {
		t.Errorf("promised an end, and not understood: %v", err)
	}
	if _, err := (rollout.Record{Body: "skerry-entry 2\n{}"}).Open(); !errors.Is(err, rollout.ErrNeeds) {
		t.Errorf("a format to come: %v", err)
	}
	defer func(old []string) { rollout.KnownNeeds = old }(rollout.KnownNeeds)
	rollout.KnownNeeds = []string{"teleport"}
	if err := a.Learn(future, after); err != nil || a.Report(rollout.Question{}).Lacks != nil ||
		a.Log().Hash() != after.Hash() {
		t.Errorf("upgraded: %v, lacks %q", err, a.Report(rollout.Question{}).Lacks)
	}
}

// An entry that is not understood vouches for nothing, and an entry that is not
// vouched for applies none before it.
func TestAnEntryThatIsNotUnderstoodVouchesForNothing(t *testing.T) {
	entries := signedChain(t, ann, eve)
	e := ann.entry(t, rollout.Entry{Cluster: "shop", Generation: rollout.Generation{N: 3}, Previous: tipOf(entries),
		Needs: []string{"teleport"}})
	a := guarded(t, trusting(ann), Saved{}, nil)
	if err := a.Learn(slices.Concat(entries, []rollout.Entry{e})...); !errors.Is(err, rollout.ErrNeeds) ||
		a.Log().Hash() != entries[0].Hash() {
		t.Errorf("%v, at %v", err, a.Log().Last())
	}
}

func TestAnAlteredFileIsPutAside(t *testing.T) {
	ring, entries := trusting(ann), signedChain(t, ann, ann, ann)
	var kept Saved
	if err := guarded(t, ring, Saved{}, func(s Saved) error { kept = s; return nil }).Learn(entries...); err != nil {
		t.Fatal(err)
	}
	alter := func(i int) func(*Saved) {
		return func(s *Saved) { s.Records[i].Body = strings.Replace(s.Records[i].Body, `"v`, `"w`, 1) }
	}
	for name, tc := range map[string]struct {
		change func(*Saved)
		left   int
	}{
		"the first entry":        {alter(0), 0},
		"one in the middle":      {alter(1), 1},
		"the last":               {alter(2), 2},
		"no JSON":                {func(s *Saved) { s.Records[1].Body += "}" }, 1},
		"the last is cut off":    {func(s *Saved) { s.Records = s.Records[:2] }, 1},
		"all are cut off":        {func(s *Saved) { s.Records = nil }, 0},
		"one is cut out":         {func(s *Saved) { s.Records = slices.Delete(s.Records, 1, 2) }, 1},
		"two have changed place": {func(s *Saved) { s.Records[0], s.Records[1] = s.Records[1], s.Records[0] }, 0},
		"the tip":                {func(s *Saved) { s.Tip = "feed" }, 2},
		"a signature":            {func(s *Saved) { s.Records[2].Proofs[0].Signature = make([]byte, 64) }, 2},
		"a proof is taken out":   {func(s *Saved) { s.Records[2].Proofs = nil }, 2},
	} {
		var s Saved
		text, _ := json.Marshal(kept)
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		tc.change(&s)
		a, aside := New(Config{Process: "p", Cluster: "shop", Trust: ring, Saved: s})
		if aside == nil || len(a.Since(rollout.Generation{})) != tc.left {
			t.Errorf("%s: %d entries are left, want %d; put aside: %v", name, len(a.Since(rollout.Generation{})),
				tc.left, aside)
		}
		if err := a.Learn(entries...); err != nil || a.Log().Hash() != tipOf(entries) {
			t.Errorf("%s: learnt again: %v", name, err)
		}
	}
}

func TestWhatWasPromisedIsCheckedAfterARestart(t *testing.T) {
	ring, e := trusting(ann, bob), signedChain(t, ann)[0]
	rival := bob.entry(t, rollout.NewLog("shop").Next("rival", nil))
	var kept Saved
	a := guarded(t, ring, Saved{}, func(s Saved) error { kept = s; return nil })
	if err := errors.Join(a.Reject(rival, ann.asks(rollout.Entry.RejectText, rival, "")),
		a.Promise(e, ann.asks(rollout.Entry.PromiseText, e, "x")),
		a.Promise(e, bob.asks(rollout.Entry.PromiseText, e, "y"))); err != nil {
		t.Fatal(err)
	}
	open := func(k *keyring, change func(*Saved)) (*Agent, error) {
		s := kept
		s.For = slices.Clone(s.For)
		change(&s)
		return New(Config{Process: "p", Cluster: "shop", Trust: k, Saved: s})
	}
	a, aside := open(trusting(ann), func(*Saved) {})
	if aside == nil || a.Promised() == nil || len(a.kept.askedBy) != 1 {
		t.Errorf("bob's key was removed: promised %v for %d, %v", a.Promised(), len(a.kept.askedBy), aside)
	}
	for name, tc := range map[string]struct {
		ring   *keyring
		change func(*Saved)
	}{
		"both keys were removed":       {trusting(eve), func(*Saved) {}},
		"no operator has asked for it": {ring, func(s *Saved) { s.For = nil }},
		"no entry":                     {ring, func(s *Saved) { s.Promise = &rollout.Record{Body: "x"} }},
		"another entry":                {ring, func(s *Saved) { s.Promise = new(rival.Record()) }},
		"an entry of another site": {ring, func(s *Saved) {
			s.Promise = new(ann.entry(t, rollout.Entry{Cluster: "x", Generation: rollout.Generation{N: 1}}).Record())
		}},
	} {
		a, aside := open(tc.ring, tc.change)
		if aside == nil || a.Promised() != nil || !slices.Equal(a.kept.barred, []string{rival.Hash()}) {
			t.Errorf("%s: promised %v, barred %q, put aside: %v", name, a.Promised(), a.kept.barred, aside)
		}
	}
}

// Entries from an untrusted sender cost no more signature checks than granted.
func TestChecksOfSignaturesAreBounded(t *testing.T) {
	ring := trusting(ann)
	entries := signedChain(t, ann)
	junk := make([]rollout.Proof, 8) // the most that are allowed
	var forged []rollout.Entry
	log, _ := rollout.Replay(entries)
	for range 20 {
		e := log.Next("r", nil).WithoutProofs()
		for _, p := range junk {
			e = e.WithProof(p)
		}
		forged, log = append(forged, e), mustApply(t, log, e)
	}
	takeover := ending(t, nil, entries[0])
	takeover.Generation, takeover.Cluster = rollout.Generation{Timeline: 1, N: 1}, "shop"
	takeover = takeover.WithoutProofs().WithProof(junk[0])
	for name, brought := range map[string][]rollout.Entry{"a chain": forged, "the end of the log here": {takeover}} {
		for granted := range 12 {
			a := guarded(t, ring, Saved{}, nil)
			if err := a.Learn(entries...); err != nil {
				t.Fatal(err)
			}
			ring.checks = 0
			left := granted
			err := a.LearnWithin(func() bool { left--; return left >= 0 }, brought...)
			if err == nil || ring.checks > granted || a.Log().Hash() != tipOf(entries) {
				t.Errorf("%s: %d checks, %d were granted; %v", name, ring.checks, granted, err)
			}
		}
	}
	more := branch(t, entries, "b", ann, ann)
	a := guarded(t, ring, Saved{}, nil)
	if err := a.Learn(entries...); err != nil {
		t.Fatal(err)
	}
	if err := a.LearnWithin(func() bool { return false }, more...); err == nil ||
		!strings.Contains(err.Error(), "too many signatures") || a.Log().Hash() != tipOf(entries) {
		t.Errorf("nothing was granted: %v", err)
	}
	ring.checks = 0
	if err := a.LearnWithin(affordAll, more...); err != nil || ring.checks != 1 {
		t.Errorf("%v after %d checks, the newest signature is enough", err, ring.checks)
	}
	ring.checks = 0
	if err := a.LearnWithin(affordAll, slices.Concat(entries, more)...); err != nil || ring.checks > 0 {
		t.Errorf("%v after %d checks of what is known", err, ring.checks)
	}
}

// An entry that arrives twice is applied once.
func TestAnEntryThatComesTwice(t *testing.T) {
	entries := signedChain(t, ann, ann)
	a := guarded(t, trusting(ann), Saved{}, nil)
	if err := a.Learn(entries[0], entries[0], entries[1], entries[1]); err != nil ||
		len(a.Since(rollout.Generation{})) != 2 {
		t.Errorf("%v, %d entries", err, len(a.Since(rollout.Generation{})))
	}
}

func TestAnEndPutsItsLogInThePlaceOfAnother(t *testing.T) {
	common := signedChain(t, ann)
	kept, lost := slices.Concat(common, branch(t, common, "k", ann, ann)),
		slices.Concat(common, branch(t, common, "l", ann, ann, ann))
	end := ending(t, kept, lost[1:]...)
	adopted := append(slices.Clone(kept), ann.entry(t, end))
	later := slices.Concat(adopted, branch(t, adopted, "m", ann))
	unknown := end
	unknown.Needs = []string{"teleport"}
	foreign := end
	foreign.Cluster = "shop-test"
	for name, tc := range map[string]struct {
		has, gets []rollout.Entry
		want      error // nil: it ends with what it was sent
	}{
		"the whole log":                 {lost, adopted, nil},
		"from where the two part":       {lost, adopted[1:], nil},
		"from before that, and further": {lost, later, nil},
		"to one that lags behind":       {lost[:2], adopted, nil},
		"to one that lags, from there":  {lost[:3], adopted[1:], nil},
		"to one that has the common":    {common, adopted, nil},
		"to one that goes on":           {kept, adopted[3:], nil},
		"to one that has nothing":       {nil, adopted, nil},
		"twice":                         {adopted, adopted, nil},
		"only its last entry":           {lost, adopted[3:], rollout.ErrGap},
		"it does not name the log here": {slices.Concat(lost, branch(t, lost, "x", ann)), adopted, rollout.ErrFork},
		"unsigned":                      {lost, append(slices.Clone(kept), end.WithoutProofs()), rollout.ErrUnproven},
		"by a stranger":                 {lost, append(slices.Clone(kept), eve.entry(t, end)), rollout.ErrUnproven},
		"by a removed key":              {lost, append(slices.Clone(kept), bob.entry(t, end)), rollout.ErrUnproven},
		"with the proof of another": {lost,
			append(slices.Clone(kept), end.WithoutProofs().WithProof(kept[1].Proofs()[0])), rollout.ErrUnproven},
		"of another cluster":   {lost, append(slices.Clone(kept), ann.entry(t, foreign)), rollout.ErrForeign},
		"it is not understood": {lost, append(slices.Clone(kept), ann.entry(t, unknown)), rollout.ErrNeeds},
		"entries are left out": {lost, []rollout.Entry{adopted[0], adopted[1], adopted[3]}, rollout.ErrFork},
	} {
		ring := trusting(ann, bob)
		a := guarded(t, ring, Saved{}, nil)
		if err := a.Learn(tc.has...); err != nil {
			t.Fatal(err)
		}
		delete(ring.keys, "bob")
		before := a.Log().Hash()
		err := a.Learn(tc.gets...)
		want := before
		if tc.want == nil {
			want = tipOf(tc.gets)
		}
		if !errors.Is(err, tc.want) || a.Log().Hash() != want {
			t.Errorf("%s: %v, at %v; want %v", name, err, a.Log().Last(), tc.want)
		}
		if again, err := rollout.Replay(a.Since(rollout.Generation{})); err != nil || again.Hash() != a.Log().Hash() {
			t.Errorf("%s: what it passes on is not what it has applied: %v", name, err)
		}
	}
}

// Tokens of the ended log are refused. Tokens of the common part are accepted.
func TestTokensOfALogThatHasEnded(t *testing.T) {
	common := signedChain(t, ann)
	kept, lost := slices.Concat(common, branch(t, common, "k", ann)),
		slices.Concat(common, branch(t, common, "l", ann, ann))
	a := guarded(t, trusting(ann), Saved{}, nil)
	if err := a.Learn(lost...); err != nil {
		t.Fatal(err)
	}
	old, first, empty := a.Log().Token(1, ""), a.Log().TokenAt(common[0].Generation, 1, ""), rollout.Token{Seed: 1}
	a.Expire(common[0].Generation)
	if err := a.Learn(append(slices.Clone(kept), ann.entry(t, ending(t, kept, lost[1:]...)))...); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		token rollout.Token
		want  error
	}{{old, rollout.ErrOtherLog}, {a.Log().Token(1, ""), nil}, {first, nil}, {empty, rollout.ErrExpired},
		{rollout.Token{Generation: kept[1].Generation, Entry: tokenMark(t, lost[:2])}, rollout.ErrOtherLog}} {
		if _, _, err := a.Log().Resolve("auth", tc.token); !errors.Is(err, tc.want) {
			t.Errorf("generation %v, entry %08x: %v, want %v", tc.token.Generation, tc.token.Entry, err, tc.want)
		}
	}
}

// tokenMark returns the mark that tokens carry of a log's last entry.
func tokenMark(t *testing.T, entries []rollout.Entry) uint32 {
	t.Helper()
	log, err := rollout.Replay(entries)
	if err != nil {
		t.Fatal(err)
	}
	return log.Token(0, "").Entry
}

func affordAll() bool { return true }

// A process promises the end of its own log like any other next entry.
func TestAnEndIsPromisedAndCommitted(t *testing.T) {
	common := signedChain(t, ann)
	kept, lost := slices.Concat(common, branch(t, common, "k", ann)), slices.Concat(common, branch(t, common, "l", ann))
	end := ann.entry(t, ending(t, kept, lost[1:]...))
	var saved Saved
	a := guarded(t, trusting(ann), Saved{}, func(s Saved) error { saved = s; return nil })
	if err := errors.Join(a.Learn(lost...), a.Promise(end, ann.asks(rollout.Entry.PromiseText, end, "x"))); err != nil {
		t.Fatal(err)
	}
	a = guarded(t, trusting(ann), saved, nil)
	next := branch(t, lost, "n", ann)[0]
	if err := a.Promise(next, ann.asks(rollout.Entry.PromiseText, next, "y")); !errors.Is(err, rollout.ErrPromised) {
		t.Errorf("the log goes on that it has promised to end: %v", err)
	}
	if err := a.Learn(append(slices.Clone(kept), end)...); err != nil || a.Log().Hash() != end.Hash() ||
		a.Promised() != nil {
		t.Errorf("%v, at %v, promised %v", err, a.Log().Last(), a.Promised())
	}
	a = guarded(t, trusting(ann), Saved{}, nil)
	if err := errors.Join(a.Learn(lost...), a.Promise(next, ann.asks(rollout.Entry.PromiseText, next, "y")),
		a.Promise(end, ann.asks(rollout.Entry.PromiseText, end, "x"))); err != nil {
		t.Errorf("what was left half-way stands in the way of adopt: %v", err)
	}
}

// Entries that no trusted key vouches for are refused before they are replayed.
func TestWhatStrangersBringIsNotReplayed(t *testing.T) {
	log, entries := rollout.NewLog("shop"), []rollout.Entry(nil)
	for range 300 {
		e := ann.entry(t, log.Next("r", map[string]rollout.Rule{"auth": {Version: "v1"}}))
		entries, log = append(entries, e), mustApply(t, log, e)
	}
	a := guarded(t, trusting(ann), Saved{}, nil)
	if err := a.Learn(entries[:100]...); err != nil {
		t.Fatal(err)
	}
	end := eve.entry(t, ending(t, entries[:99], entries[99]))
	chain := slices.Clone(entries[100:])
	for i := range chain {
		chain[i] = chain[i].WithoutProofs()
	}
	for name, brought := range map[string][]rollout.Entry{"an end": {end}, "a chain": chain} {
		if n := testing.AllocsPerRun(5, func() { _ = a.Learn(brought...) }); n > 5*float64(len(brought))+50 {
			t.Errorf("%s of %d entries takes %.0f allocations", name, len(brought), n)
		}
	}
}
