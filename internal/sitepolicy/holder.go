package sitepolicy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// Config sets a Holder up.
type Config struct {
	Cluster  string
	Trust    rollout.Trust // nil: a site without keys believes every entry
	Saved    Saved         // of the process's last run
	ObeyNone bool          // no policy takes effect; entries are held and passed on
}

// Saved is what a process keeps between its runs.
type Saved struct {
	Records [][]byte                 `json:"records,omitempty"`
	Ages    map[uint64]time.Duration `json:"ages,omitempty"`    // ns that each item had applied
	Entries map[string]time.Duration `json:"entries,omitempty"` // ns since each entry came, by hash
}

// Status is what a process says of its policy.
type Status struct {
	Number  uint64         `json:"number"`             // of the entry in force; 0: none
	Hash    string         `json:"hash,omitempty"`     // of that entry
	By      string         `json:"by,omitempty"`       // its author, by its own account
	Newest  uint64         `json:"newest"`             // number of the entry that wins
	Because string         `json:"because,omitempty"`  // why the newest is not in force
	Obey    string         `json:"obey,omitempty"`     // ObeysNone, or "" for a process that obeys policies
	Lost    []form.Problem `json:"not_obeyed"`         // parts that this process does not understand
	Parted  []string       `json:"conflicts,omitzero"` // entries that lost to others of their number
}

// ObeysNone is the value of Status.Obey of a process with Config.ObeyNone.
const ObeysNone = "none"

// told is why a process with Config.ObeyNone obeys nothing.
const told = "it is told to obey no policy (policy.obey: none in its file, or SKERRY_POLICY=none)"

// Holder holds the policy of one process.
type Holder struct {
	cfg   Config
	begun time.Time
	table atomic.Pointer[policy.Table]

	mu      sync.Mutex
	log     *policylog.Log
	since   map[string]time.Duration // when each entry of the log came, by hash
	ages    policy.Ages
	inForce *policy.Policy // with its plans; nil: none
	status  Status
	next    time.Duration // when another table is due; 0: never
	changed chan struct{}
}

// New returns a holder with what was saved. The error says what of it is not believed.
func New(cfg Config) (*Holder, error) {
	h := &Holder{cfg: cfg, begun: time.Now(), log: policylog.NewLog(cfg.Cluster), since: map[string]time.Duration{},
		ages: policy.Ages{}, changed: make(chan struct{})}
	if cfg.ObeyNone {
		h.status = Status{Because: told, Obey: ObeysNone}
	}
	entries, unread := open(cfg.Saved.Records)
	for hash, age := range cfg.Saved.Entries {
		h.since[hash] = -max(age, 0)
	}
	for id, age := range cfg.Saved.Ages {
		h.ages[id] = -max(age, 0)
	}
	_, err := h.Learn(nil, nil, entries...)
	return h, errors.Join(unread, err)
}

func open(records [][]byte) (entries []policylog.Entry, err error) {
	for _, b := range records {
		r, failed := policylog.ParseRecord(b)
		if failed == nil {
			var e policylog.Entry
			if e, failed = r.Open(); failed == nil {
				entries = append(entries, e)
			}
		}
		err = errors.Join(err, failed)
	}
	return entries, err
}

// now is the time on the holder's clock.
func (h *Holder) now() time.Duration { return time.Since(h.begun) }

// Table returns the table that calls are matched with; nil without a policy.
func (h *Holder) Table() *policy.Table { return h.table.Load() }

// Newest returns number and hash of the entry that wins; 0 and "" for none.
func (h *Holder) Newest() (number uint64, hash string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.log.Newest(); ok {
		return e.Number, e.Hash()
	}
	return 0, ""
}

// Log returns the entries that the process holds.
func (h *Holder) Log() *policylog.Log {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log
}

// Changed returns a channel that is closed when entries were learnt, or another table is in force.
func (h *Holder) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// Status returns what the process obeys, and what it does not.
func (h *Holder) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	s.Lost = slices.Clone(s.Lost)
	for _, l := range h.log.Lost() {
		s.Parted = append(s.Parted, l.Entry.String()+" of "+l.Entry.By+" lost to "+l.To.String()+" of "+l.To.By)
	}
	return s
}

// Ages returns for how long each item that expires has applied here, and since when the newest entry waits for its
// confirmation, for another process that learns it from this one.
func (h *Holder) Ages() map[uint64]time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	out := make(map[uint64]time.Duration, len(h.ages))
	for id, since := range h.ages {
		out[id] = now - since
	}
	if e, ok := h.log.Newest(); ok && e.Confirm > 0 {
		out[confirmID(e)] = now - h.since[e.Hash()]
	}
	return out
}

// confirmID is the key of an entry that waits for its confirmation, among the ages of items.
func confirmID(e policylog.Entry) uint64 { return rollout.SeedOf("confirm\x00" + e.Hash()) }

// FromStore returns the entries of a store, and for Holder.Learn since when each of them that is to be confirmed waits
// for that: it was written when its time began. One that another store had before is older than its age here.
func FromStore(stored []policylog.Stored) (entries []policylog.Entry, ages map[uint64]time.Duration) {
	ages = map[uint64]time.Duration{}
	for _, s := range stored {
		entries = append(entries, s.Entry)
		if s.Confirm > 0 {
			ages[confirmID(s.Entry)] = s.Age
		}
	}
	return entries, ages
}

// Stored returns the entries with the times since they came, for a store that has lost them.
func (h *Holder) Stored() []policylog.Stored {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	var out []policylog.Stored
	for _, e := range h.log.Entries() {
		out = append(out, policylog.Stored{Entry: e, Age: now - h.since[e.Hash()]})
	}
	return out
}

// Saved returns what the process keeps for its next run.
func (h *Holder) Saved() Saved {
	s := Saved{Ages: h.Ages(), Entries: map[string]time.Duration{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for _, e := range h.log.Entries() {
		s.Records = append(s.Records, e.Record().Marshal())
		s.Entries[e.Hash()] = now - h.since[e.Hash()]
	}
	return s
}

// Learn takes in entries, in any order, and reports whether the log has changed. ages are those of the process that
// they came from, nil for none. afford is called before each check of a signature and may refuse it; nil allows all.
// The error says what is not believed; the rest is learnt.
func (h *Holder) Learn(afford func() bool, ages map[uint64]time.Duration, entries ...policylog.Entry) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	log, err := h.log.Merge(h.cfg.Trust, afford, entries...)
	news := log != h.log
	if news {
		h.log = log
		h.enforce(ages)
		h.notify()
	}
	return news, err
}

func (h *Holder) notify() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// Run puts tables in force when something expires, until ctx ends.
func (h *Holder) Run(ctx context.Context) error {
	for {
		changed, due := h.due()
		var timer <-chan time.Time
		stop := func() bool { return true }
		if due > 0 {
			t := time.NewTimer(max(due-h.now(), 0))
			timer, stop = t.C, t.Stop
		}
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-changed:
			stop()
		case <-timer:
			h.mu.Lock()
			h.enforce(nil)
			h.notify()
			h.mu.Unlock()
		}
	}
}

func (h *Holder) due() (changed <-chan struct{}, at time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed, h.next
}

// enforce puts the entry in force that the log says. ages are another process's, or nil.
func (h *Holder) enforce(theirs map[uint64]time.Duration) {
	now := h.now()
	h.remember(now, theirs)
	newest, ok := h.log.Newest()
	if !ok {
		return
	}
	if h.cfg.ObeyNone {
		h.status.Newest = newest.Number
		return
	}
	h.status.Newest, h.status.Because = newest.Number, ""
	waited := now - h.since[newest.Hash()]
	if current, known := h.log.Current(waited); known {
		h.obey(current, newest, now, theirs)
	} else {
		h.status.Because = "it was not confirmed, and the policy before it is not known here"
	}
	h.next = 0
	if t := h.table.Load(); t != nil {
		h.next = t.Next()
	}
	if newest.Confirm > 0 && waited < newest.Confirm {
		if end := h.since[newest.Hash()] + newest.Confirm; h.next == 0 || end < h.next {
			h.next = end
		}
	}
}

// remember notes when entries came, and forgets those that are gone. An entry that was to be confirmed and is new here
// has waited as long as it did where it was learnt: a process that comes late does not obey what the site has left.
// Of an entry that it knows already no other process can end the time.
func (h *Holder) remember(now time.Duration, theirs map[uint64]time.Duration) {
	since := make(map[string]time.Duration, len(h.log.Entries()))
	for _, e := range h.log.Entries() {
		at, known := h.since[e.Hash()]
		if !known {
			at = now
			if e.Confirm > 0 {
				at -= max(theirs[confirmID(e)], 0)
			}
		}
		since[e.Hash()] = at
	}
	h.since = since
}

// obey puts an entry in force, or what of it, and of those before it, is understood.
func (h *Holder) obey(e, newest policylog.Entry, now time.Duration, theirs map[uint64]time.Duration) {
	if e.Number == 0 { // back to no policy
		h.inForce, h.status = nil, Status{Newest: newest.Number, Because: "it was not confirmed"}
		h.table.Store(nil)
		return
	}
	if e.Number != newest.Number {
		h.status.Because = "it was not confirmed"
	}
	if h.status.Hash != e.Hash() {
		p, of, lost, because := h.understand(e)
		if p == nil {
			h.status.Because = because
			if h.inForce == nil {
				return
			}
			// What is in force goes on.
		} else {
			if because != "" {
				h.status.Because = because
			}
			h.inForce = p
			h.status.Number = of.Number
			h.status.Hash = of.Hash()
			h.status.By = of.By
			h.status.Lost = lost
		}
	}
	h.ages = h.ages.At(h.inForce, now)
	if theirs != nil {
		ages := policy.Ages{}
		for id, age := range theirs {
			ages[id] = now - max(age, 0)
		}
		h.ages = h.ages.Older(h.inForce, ages)
	}
	h.table.Store(policy.Compile(h.inForce, h.ages, now))
}

// understand reads an entry. When it can't be obeyed at all, it reads those before it, one by one; when a part of its
// access lists can't, it takes these from them. of is the entry that was read.
func (h *Holder) understand(e policylog.Entry) (p *policy.Policy, of policylog.Entry, lost []form.Problem,
	because string) {
	for ok := true; ok && e.Number > 0; e, ok = h.log.Before(e) {
		read, left, err := h.read(e)
		if err != nil {
			if because == "" {
				because = err.Error()
			}
			continue
		}
		switch {
		case p == nil:
			p, of, lost = read, e, left
		default:
			p = form.KeepAccess(p, read, lost)
		}
		if !lostAccess(left) {
			return p, of, lost, because
		}
	}
	if p != nil && h.inForce != nil {
		p = form.KeepAccess(p, h.inForce, lost)
	}
	return p, of, lost, because
}

func lostAccess(lost []form.Problem) bool { return slices.ContainsFunc(lost, form.Problem.LosesAccess) }

func (h *Holder) read(e policylog.Entry) (*policy.Policy, []form.Problem, error) {
	if lacks := e.UnknownNeeds(); len(lacks) > 0 {
		return nil, nil, errors.New("this version of skerry can't obey it: upgrade skerry here")
	}
	p, lost, err := form.Understand([]byte(e.Text))
	if err != nil {
		return nil, nil, err
	}
	for _, on := range e.On {
		p.On = append(p.On, policy.On(on))
	}
	EachFallback(p, func(i *policy.Item) { i.Thrift = e.Replies[ReplyID(i)] })
	return p, lost, nil
}
