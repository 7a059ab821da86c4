package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
)

// Codes of wire.RulesRefused, and what they stand for.
var refusals = map[string]error{
	"gap":      rollout.ErrGap,
	"fork":     rollout.ErrFork,
	"promised": rollout.ErrPromised,
	"database": rollout.ErrDatabaseKept,
	"invalid":  rollout.ErrRule,
	"entry":    rollout.ErrEntry,
	"foreign":  rollout.ErrForeign,
	"unproven": rollout.ErrUnproven,
	"needs":    rollout.ErrNeeds,
}

const (
	pageBytes   = 512 << 10 // records of one answer of log, and at least one
	bringMost   = 4096      // records of one call of bring
	checksASec  = 200       // signatures checked in a second for callers outside the site
	checksBurst = 200
)

// Log gives a peer what it lacks of the rules, a page at a time.
func (s *Service) Log(_ context.Context, after string) (*wire.Records, error) {
	g, err := rollout.ParseGeneration(after)
	if err != nil {
		return nil, err
	}
	page, size := &wire.Records{Records: [][]byte{}}, 0
	for _, e := range s.m.rules.Since(g) {
		record := e.Record().Marshal()
		if size += len(record); size > pageBytes && len(page.Records) > 0 {
			page.More = new(true)
			break
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// Bring takes entries that prove themselves, from any caller. What is known, or
// does not follow, costs no check of a signature; callers that are no members
// share a number of checks. Without keys nothing proves an entry, and only
// members are believed.
func (s *Service) Bring(ctx context.Context, records [][]byte) (string, error) {
	if len(records) > bringMost {
		return "", s.refuse(ctx, "bring", fmt.Errorf("%w: %d records at once, at most %d are taken", rollout.ErrEntry,
			len(records), bringMost))
	}
	member := fromMember(ctx)
	if !member && !s.m.cfg.Trust.Provable() {
		return "", s.refuse(ctx, "bring",
			fmt.Errorf("%w: this process has no key to check it by (skerry key set), so it believes members only",
				rollout.ErrUnproven))
	}
	entries, unread := openRecords(records)
	afford := func() bool { return member || s.m.checks.take(time.Now()) }
	if err := errors.Join(s.m.rules.LearnWithin(afford, entries...), unread); err != nil {
		return "", s.refuse(ctx, "bring", err)
	}
	return s.m.rules.Log().Last().String(), nil
}

// Promise accepts what an operator is about to commit, where no database
// orders the log: two writers would fork it.
func (s *Service) Promise(ctx context.Context, record, undertaking []byte) error {
	if s.m.Database() != nil {
		return s.refuse(ctx, "promise", fmt.Errorf("%s keeps the rules in a database: %w", s.m.rules.Process(),
			rollout.ErrDatabaseKept))
	}
	return s.withEntry(ctx, "promise", record, undertaking, s.m.rules.Promise)
}

// Abandon takes a promise back.
func (s *Service) Abandon(ctx context.Context, record, undertaking []byte) error {
	return s.withEntry(ctx, "abandon", record, undertaking, s.m.rules.Abandon)
}

// Bar gives up what an operator was about to commit.
func (s *Service) Bar(ctx context.Context, record, undertaking []byte) error {
	return s.withEntry(ctx, "bar", record, undertaking, s.m.rules.Reject)
}

func (s *Service) withEntry(ctx context.Context, what string, record, undertaking []byte,
	do func(rollout.Entry, rollout.Undertaking) error) error {
	var by rollout.Undertaking
	entries, err := openRecords([][]byte{record})
	if err == nil {
		if failed := json.Unmarshal(undertaking, &by); failed != nil {
			err = fmt.Errorf("%w: undertaking: %w", rollout.ErrEntry, failed)
		}
	}
	if err == nil {
		err = do(entries[0], by)
	}
	if err != nil {
		return s.refuse(ctx, what, err)
	}
	return nil
}

// Promised is what waits for its commit.
func (s *Service) Promised(context.Context) ([]byte, error) {
	e := s.m.rules.Promised()
	if e == nil {
		return []byte{}, nil
	}
	return e.Record().Marshal(), nil
}

// Report answers a round of a drain, at once when nothing is to be named.
func (s *Service) Report(ctx context.Context, round int64, before string, waitMs int64) ([]byte, error) {
	g, err := rollout.ParseGeneration(before)
	if err != nil {
		return nil, err
	}
	if round < 0 {
		return nil, fmt.Errorf("round %d: a round has a number from 0 on", round)
	}
	if wait := time.Duration(min(max(waitMs, 0), peerLimit.Milliseconds())) * time.Millisecond; wait > 0 {
		ctx, cancel := context.WithTimeout(ctx, wait)
		_ = s.m.rules.AwaitIdle(ctx, g) // in vain: the report says so
		cancel()
	}
	r := s.m.rules.Report(rollout.Question{Round: uint64(round), Until: g})
	r.Place = s.m.identity
	s.m.ages.fill(r.Inflight, time.Now())
	s.openStreams(&r)
	return json.Marshal(r)
}

// Served counts the calls that this process has served and made, of every
// service: those that it served only where the service has versions.
func (s *Service) Served(_ context.Context, slowMs int64, slowMsOf map[string]int64) ([]*wire.Served, error) {
	counts := map[health.Key]*wire.Served{}
	of := func(row *health.Row) (into *wire.Served, limit time.Duration) {
		if row.Version == "" && row.Side == health.Server || Hidden(row.Service) {
			return nil, 0
		}
		k := health.Key{Side: row.Side, Service: row.Service, Version: row.Version}
		if row.Side == health.Client {
			k.Peer = row.Peer
		}
		slow := slowMs
		if own, ok := slowMsOf[row.Service]; ok {
			slow = own
		}
		if counts[k] == nil {
			counts[k] = newServed(k)
		}
		return counts[k], time.Duration(slow) * time.Millisecond
	}
	s.cfg.Stats.Visit(func(row health.Row, within func(time.Duration) int64) {
		if into, limit := of(&row); into != nil {
			into.Slow += max(0, row.Timed()-within(limit))
			into.Calls += judged(&row, into.Kinds, &into.Failures)
		}
	})
	s.cfg.Stats.VisitCopies(func(row health.Row, within func(time.Duration) int64) {
		into, limit := of(&row)
		if into == nil {
			return
		}
		if into.Copies == nil {
			into.Copies = &wire.Copies{Kinds: map[string]int64{}}
		}
		c := into.Copies
		c.Calls += row.Calls()
		c.Slow += max(0, row.Timed()-within(limit))
		judged(&row, c.Kinds, &c.Failures)
		if n := row.Outcomes[health.Denied]; n > 0 {
			c.Kinds[health.Denied.String()] += n
		}
	})
	return slices.AppendSeq(make([]*wire.Served, 0, len(counts)), maps.Values(counts)), nil
}

func newServed(k health.Key) *wire.Served {
	w := &wire.Served{Name: k.Service, Version: &k.Version, Kinds: map[string]int64{}}
	if k.Side == health.Client {
		w.Peer = &k.Peer
	}
	return w
}

// judged returns the number of calls that show how well the callee works, and adds up those that failed.
func judged(row *health.Row, kinds map[string]int64, failures *int64) (calls int64) {
	for o, n := range row.Outcomes {
		kind := health.Outcome(o)
		if n == 0 || !kind.Judges(row.Side) {
			continue
		}
		calls += n
		if kind.Failed() {
			*failures += n
			kinds[kind.String()] += n
		}
	}
	return calls
}

// Sees tells which versions of services this process could call. Those that it
// has not called yet are looked for from now on, as it is about to; see watched.
func (s *Service) Sees(_ context.Context, services []string) (map[string][]string, error) {
	if len(services) > watchedMost {
		return nil, fmt.Errorf("%d services are asked for at once, at most %d are allowed", len(services), watchedMost)
	}
	out := map[string][]string{}
	for _, service := range services {
		if !s.watched.begin(s.cfg.Lists, service) {
			continue
		}
		for _, e := range s.cfg.Lists.Explain(service) {
			if e.State.Here() && e.State != discovery.Drained && !slices.Contains(out[service], e.Version) {
				out[service] = append(out[service], e.Version)
			}
		}
	}
	return out, nil
}

// refuse says by a code what the caller is to do. What no honest process sends
// is said here, too.
func (s *Service) refuse(ctx context.Context, what string, err error) error {
	for _, dishonest := range []error{rollout.ErrUnproven, rollout.ErrForeign, rollout.ErrEntry, rollout.ErrRule} {
		if errors.Is(err, dishonest) {
			s.m.denials.say(ctx, what, err)
			break
		}
	}
	log := s.m.rules.Log()
	r := &wire.RulesRefused{Code: "disk", Message: err.Error(), Applied: log.Last().String(), Hash: log.Hash()}
	for _, code := range slices.Sorted(maps.Keys(refusals)) {
		switch {
		case !errors.Is(err, refusals[code]):
		case r.Code == "disk":
			r.Code = code
		default:
			r.Also = append(r.Also, code)
		}
	}
	return r
}

// refusalError is what another process has refused, by its own words.
type refusalError struct {
	text  string
	known []error
}

func (e *refusalError) Error() string { return e.text }

// Unwrap gives the errors that it stands for.
func (e *refusalError) Unwrap() []error { return e.known }

// refused turns a refusal back into the error that it was.
func refused(err error) error {
	r, ok := errors.AsType[*wire.RulesRefused](err)
	if !ok {
		return err
	}
	e := &refusalError{text: r.Message}
	for _, code := range append([]string{r.Code}, r.Also...) {
		if known := refusals[code]; known != nil {
			e.known = append(e.known, known)
		}
	}
	return e
}
