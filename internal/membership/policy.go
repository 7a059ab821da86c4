package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// policyTag is a tag of the hidden service, on the LAN only: number and beginning of the hash of the
// policy log's newest entry.
const policyTag = "policy"

// obeyTag is a tag of the hidden service: sitepolicy.ObeysNone, or absent.
const obeyTag = "policy.obey"

// policyMark is the beginning of a hash in policyTag, in hexadecimal digits.
const policyMark = 8

// keepAges is how often the ages of items that expire go to disk.
const keepAges = time.Minute

// policySync fetches policies and keeps them.
type policySync struct {
	ahead  chan struct{} // has a value when a process may have announced a newer policy
	unkept chan struct{} // has a value when the log has changed and is not on disk yet
	dirty  atomic.Bool   // the log differs from what is kept on disk
	odd    atomic.Value  // string: what is not believed of the database, as last logged
	began  bool          // with a policy of the last run
	kept   time.Time     // when it was kept last; only remember uses it
	told   string        // the last logged trouble of keeping it; only remember uses it
}

func (s *policySync) wake() {
	select {
	case s.ahead <- struct{}{}:
	default: // it is about to
	}
}

// newPolicy makes the process's part in the policy, with what it kept when it ran before. That is
// checked like what comes by the network.
func (m *Membership) newPolicy() *sitepolicy.Holder {
	saved, unread := state.Read[sitepolicy.Saved](m.cfg.Files, state.Policy)
	var trust rollout.Trust
	if m.cfg.Trust != nil {
		trust = m.cfg.Trust
	}
	h, aside := sitepolicy.New(sitepolicy.Config{Cluster: m.cfg.Cluster, Trust: trust, Saved: saved,
		ObeyNone: m.cfg.ObeyNone})
	number, _ := h.Newest()
	m.policies.began = number > 0
	switch {
	case errors.Is(unread, run.ErrDiskHangs): // state has said so
	case errors.Join(unread, aside) != nil:
		kept, err := m.cfg.Files.Aside(state.Policy)
		if err != nil {
			kept = err.Error()
		}
		m.log.Warn("the kept policy is not believed whole, and is learnt again from others",
			"file", m.cfg.Files.Path(state.Policy), "aside", kept, "err", errors.Join(unread, aside))
	}
	return h
}

// Policy is the policy of the site as this process holds and obeys it.
func (m *Membership) Policy() *sitepolicy.Holder { return m.policy }

// ObeyAgain is what ends the emergency of a process that obeys no policy.
const ObeyAgain = "take policy.obey: none (or SKERRY_POLICY) out, and start the process again"

// ObeyNone returns the listed processes that say that they obey no policy, by registry.Owner.String.
func (m *Membership) ObeyNone() (processes []string) {
	for _, k := range m.list.members() {
		if k.Gone == "" && k.obey == sitepolicy.ObeysNone {
			processes = append(processes, k.Owner.String())
		}
	}
	return processes
}

// AwaitPolicy waits, as long as ctx lives, until this process knows the newest policy that a listed process announces
// on the LAN.
func (m *Membership) AwaitPolicy(ctx context.Context) {
	for {
		number, hash := m.policy.Newest()
		if len(m.list.aheadPolicy(number, hash, nil, 1)) == 0 || run.Sleep(ctx, 10*time.Millisecond) != nil {
			return
		}
	}
}

// NewestPolicy is number and hash of the newest entry of the policy log here.
func (m *Membership) NewestPolicy() (number uint64, hash string) { return m.policy.Newest() }

// LearnPolicies takes in what the database has, with the ages that its own clock gives them.
func (m *Membership) LearnPolicies(stored []policylog.Stored) {
	text := ""
	entries, ages := sitepolicy.FromStore(stored)
	err := m.learnPolicies(Database, ages, entries)
	if err != nil {
		text = err.Error()
	}
	if old, _ := m.policies.odd.Swap(text).(string); err != nil && text != old {
		m.log.Error("entries of the database's policy log are not believed; what is in force stays", "err", err)
	}
}

// learnPolicies takes in entries, and says what follows.
func (m *Membership) learnPolicies(from string, ages map[uint64]time.Duration, entries []policylog.Entry) error {
	news, err := m.policy.Learn(nil, ages, entries...)
	if !news {
		return err
	}
	m.policies.dirty.Store(true)
	select {
	case m.policies.unkept <- struct{}{}:
	default: // it is about to be kept
	}
	s := m.policy.Status()
	if s.Obey == sitepolicy.ObeysNone {
		m.log.Error("the site's policy has changed, and this process obeys none of it, its access lists and limits "+
			"neither", "newest", s.Newest, "from", from, "do", ObeyAgain)
		return err
	}
	m.log.Info("the site's policy has changed", "number", s.Number, "by", s.By, "from", from)
	if s.Because != "" {
		m.log.Error("the newest policy is not in force here; the one before it stays",
			"newest", s.Newest, "in_force", s.Number, "err", s.Because)
	}
	for _, lost := range s.Lost {
		m.log.Error("a part of the policy can't be obeyed here, as this program does not know it; the rest is obeyed",
			"number", s.Number, "key", lost.Key, "err", lost.Text,
			"do", "upgrade this program to a later version of skerry")
	}
	for _, parted := range s.Parted {
		m.log.Warn("two operators changed the policy at once: one change is in force, the other is not",
			"changes", parted)
	}
	return err
}

// followPolicies fetches policies from processes that announce newer ones. What could not be fetched is asked for
// again after a while, as an announcement is news only once.
func (m *Membership) followPolicies(ctx context.Context) error {
	for {
		var again <-chan time.Time
		number, hash := m.policy.Newest()
		if len(m.list.aheadPolicy(number, hash, nil, 1)) > 0 {
			again = time.After(run.Jitter(policyAgain, 0.5))
		}
		select {
		case <-m.policies.ahead:
			m.fetchPolicies(ctx)
		case <-again:
			m.fetchPolicies(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// How long a process that has just started waits for the newest policy.
const (
	newestLimit     = time.Second     // that others announce, before it begins traces
	keptPolicyLimit = 3 * time.Second // with one of its last run, before it offers services
)

// awaitNewest is AwaitPolicy for newestLimit at most.
func (m *Membership) awaitNewest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, newestLimit)
	defer cancel()
	m.AwaitPolicy(ctx)
}

// AwaitKeptPolicy waits, for 3 s at most, until a process that had a policy when it ran before knows whether that has
// changed since, or that there is no process to tell. Without such a policy it returns at once.
func (m *Membership) AwaitKeptPolicy(ctx context.Context) {
	if !m.policies.began {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keptPolicyLimit)
	defer cancel()
	m.AwaitRules(ctx)
	m.awaitNewest(ctx)
}

// policyAgain is the time between two rounds of questions for a policy that others announce and that was not fetched,
// or is not believed.
const policyAgain = 30 * time.Second

// fetchPolicies asks one process, then a few at a time, until no process is ahead that was not asked. The first one
// mostly has all, and a log may have megabytes, so not all processes of a site ask several at once.
func (m *Membership) fetchPolicies(ctx context.Context) {
	tried := map[registry.Owner]bool{}
	for most, limit := 1, firstPolicy; ctx.Err() == nil; most, limit = askedAhead, peerLimit {
		number, hash := m.policy.Newest()
		few := m.list.aheadPolicy(number, hash, tried, most)
		if len(few) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		round := run.NewGroup(ctx)
		for _, k := range few {
			tried[k.Owner] = limit == peerLimit // the first one may answer within the longer limit
			round.Go(func(ctx context.Context) error {
				if err := m.call(ctx, k, m.fetchPolicy); err != nil && ctx.Err() == nil {
					m.log.Warn("a newer policy was not fetched; other processes and the operator's command bring it",
						"from", k.Owner.String(), "announced", k.policy, "err", err)
				}
				return nil
			})
		}
		_ = round.Wait()
		cancel()
	}
}

// firstPolicy bounds the first question for a newer policy; others are asked then.
const firstPolicy = time.Second

// fetchPolicy learns what another process has and this one lacks.
func (m *Membership) fetchPolicy(ctx context.Context, p *Peer) error {
	theirs, err := p.Policies(ctx, m.policy.Log())
	if err != nil {
		return err
	}
	return m.learnPolicies(p.Owner.String(), theirs.Ages, theirs.Entries)
}

// keepPolicy writes the policy down when it has changed, and now and then what has become of items that expire.
// last says that the process ends.
func (m *Membership) keepPolicy(last bool) {
	s := &m.policies
	aged := last || time.Since(s.kept) > keepAges
	if !s.dirty.Swap(false) && (!aged || len(m.policy.Ages()) == 0) {
		return
	}
	s.kept = time.Now()
	err := m.cfg.Files.Write(state.Policy, m.policy.Saved())
	if err != nil {
		s.dirty.Store(true) // it is tried again
	}
	switch text := fmt.Sprint(err); {
	case err != nil && text != s.told:
		s.told = text
		m.log.Warn("the policy is in force here and not kept: after a restart this process would have to learn it "+
			"again; it is kept as soon as the disk takes it", "file", m.cfg.Files.Path(state.Policy), "err", err)
	case err == nil && s.told != "":
		s.told = ""
		m.log.Info("the policy is kept again", "file", m.cfg.Files.Path(state.Policy))
	}
}

// policyNews is the policyTag of this process, "" without a policy.
func (m *Membership) policyNews() string {
	number, hash := m.policy.Newest()
	if number == 0 {
		return ""
	}
	return fmt.Sprintf("%d %.*s", number, policyMark, hash)
}

// announcedPolicy reads a policyTag.
func announcedPolicy(tag string) (number uint64, mark string) {
	if n, err := fmt.Sscanf(tag, "%d %s", &number, &mark); n != 2 || err != nil || len(mark) != policyMark {
		return 0, ""
	}
	return number, mark
}

// aheadPolicy are up to a few listed members that announce a newer policy than that of number and hash, and were not
// tried yet.
func (l *list) aheadPolicy(number uint64, hash string, tried map[registry.Owner]bool, few int) (out []Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for owner, k := range l.all { // in no order, so that not all ask the same
		theirs, mark := announcedPolicy(k.policy)
		newer := theirs > number || theirs == number && theirs > 0 && mark > hash[:min(len(hash), policyMark)]
		if newer && k.Gone == "" && !tried[owner] {
			if out = append(out, *k); len(out) == few {
				break
			}
		}
	}
	return out
}

// PeerPolicies are the entries of another process's policy log, and what it obeys.
type PeerPolicies struct {
	Entries []policylog.Entry // that were asked for
	Ages    map[uint64]time.Duration
	Number  uint64 // in force there
	Status  sitepolicy.Status
}

// Policies asks for the entries that the process holds and have lacks.
func (p *Peer) Policies(ctx context.Context, have *policylog.Log) (out PeerPolicies, err error) {
	hashes := []string{}
	for _, e := range have.Entries() {
		hashes = append(hashes, e.Hash())
	}
	for page := 0; ; page++ {
		w, err := p.client().Policies(ctx, hashes)
		if err != nil {
			return out, err
		}
		entries, err := openPolicies(w.Records)
		if err != nil {
			return out, err
		}
		out.Entries = append(out.Entries, entries...)
		if page == 0 {
			out.read(w)
		}
		if !w.GetMore() || len(entries) == 0 || page == policylog.MaxEntries {
			return out, nil
		}
		for _, e := range entries {
			hashes = append(hashes, e.Hash())
		}
	}
}

func (o *PeerPolicies) read(w *wire.Policies) {
	o.Number, o.Ages = uint64(max(w.Number, 0)), map[uint64]time.Duration{}
	for id, ms := range w.AgeMs {
		o.Ages[uint64(id)] = time.Duration(min(max(ms, 0), int64(longestAge/time.Millisecond))) * time.Millisecond
	}
	_ = json.Unmarshal([]byte(w.GetStatus()), &o.Status) // of a later version it may be another
}

// longestAge bounds the ages that another process tells.
const longestAge = 1000 * time.Hour

// BringPolicies gives the process entries.
func (p *Peer) BringPolicies(ctx context.Context, entries ...policylog.Entry) (inForce uint64, err error) {
	for _, e := range entries {
		n, err := p.client().BringPolicies(ctx, [][]byte{e.Record().Marshal()})
		if err != nil {
			return 0, refused(err)
		}
		inForce = uint64(max(n, 0))
	}
	return inForce, nil
}

func openPolicies(records [][]byte) (entries []policylog.Entry, err error) {
	if len(records) > 2*policylog.MaxEntries {
		return nil, fmt.Errorf("%w: %d records at once, at most %d are taken", policylog.ErrEntry, len(records),
			2*policylog.MaxEntries)
	}
	for _, b := range records {
		r, err := policylog.ParseRecord(b)
		if err != nil {
			return nil, err
		}
		e, err := r.Open()
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Policies gives a peer what it lacks of the policy log, and says what this process obeys.
func (s *Service) Policies(_ context.Context, have []string) (*wire.Policies, error) {
	known := make(map[string]bool, min(len(have), 2*policylog.MaxEntries))
	for _, hash := range have[:min(len(have), 2*policylog.MaxEntries)] {
		known[hash] = true
	}
	status := s.m.policy.Status()
	text, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	w := &wire.Policies{Records: [][]byte{}, Number: int64(status.Number), Status: new(string(text)),
		AgeMs: map[int64]int64{}}
	for id, age := range s.m.policy.Ages() {
		w.AgeMs[int64(id)] = age.Milliseconds()
	}
	size := 0
	for _, e := range s.m.policy.Log().Entries() {
		if known[e.Hash()] {
			continue
		}
		record := e.Record().Marshal()
		if size += len(record); size > pageBytes && len(w.Records) > 0 {
			w.More = new(true)
			break
		}
		w.Records = append(w.Records, record)
	}
	return w, nil
}

// BringPolicies takes entries that prove themselves, from members.
func (s *Service) BringPolicies(ctx context.Context, records [][]byte) (int64, error) {
	entries, err := openPolicies(records)
	if err == nil {
		err = s.m.learnPolicies(callerOf(ctx).Owner, nil, entries)
	}
	if err != nil {
		s.m.denials.say(ctx, "bringPolicies", err)
		number, hash := s.m.policy.Newest()
		return 0, &wire.RulesRefused{Code: policyRefusal(err), Message: err.Error(), Applied: fmt.Sprint(number),
			Hash: hash}
	}
	return int64(s.m.policy.Status().Number), nil
}

// policyRefusal is the code of wire.RulesRefused for an error about entries of the policy log.
func policyRefusal(err error) string {
	switch {
	case errors.Is(err, rollout.ErrUnproven):
		return "unproven"
	case errors.Is(err, policylog.ErrForeign):
		return "foreign"
	}
	return "entry"
}
