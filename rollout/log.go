package rollout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
)

// Errors of Log.Apply, Resolve and Admit.
var (
	// ErrGap: an entry between the log's end and this one is missing; fetch it first.
	ErrGap = errors.New("entries of the rule log are missing")
	// ErrFork: the entry does not continue this log: two writers, or a restored backup.
	ErrFork = errors.New("the rule log has forked")
	// ErrOtherLog: the token reads an entry that this log does not hold: the logs
	// of two processes have parted, or the token is damaged.
	ErrOtherLog = errors.New("the token reads a rule log that is not the one here")
	// ErrStale: the token reads a generation that is not known here yet; fetch the rules, never guess.
	ErrStale = errors.New("rules of the token's generation are not known here")
	// ErrRetired: the token reads a generation that the version no longer serves.
	ErrRetired = errors.New("the version no longer serves the token's generation")
	// ErrExpired: the token reads a generation that was replaced so long ago
	// that no trace may read it any more; see Expire.
	ErrExpired = errors.New("the trace has outlived the longest age that it may have after a release")
	// ErrWrongVersion: by the rules the token belongs to another version.
	ErrWrongVersion = errors.New("the token belongs to another version")
	// errTurn: two versions of the service may never run at once, and it is not this one's turn.
	errTurn = errors.New("it is not the version's turn to run")
)

// Errors of a process's part in releases; see package participant.
var (
	// ErrPromised: another entry with the same number was accepted before.
	ErrPromised = errors.New("another change has been promised for the same generation")
)

// Log is the rules up to one generation: an immutable value, whose chains are
// shared with its predecessors. The zero Log is empty.
type Log struct {
	cluster string
	last    Generation
	hash    string
	marks   []position          // every entry, in order
	chains  map[string]chain    // by service
	floors  map[pair]Generation // by service and version
	session *Release            // newest; nil before the first
	expired Generation          // tokens before it are refused here: see Expire
	outside Generation          // the same, of callers from outside: see ExpireOutside
}

// position is an entry as tokens name it.
type position struct {
	generation Generation
	mark       uint32
}

type pair struct{ service, version string }

// chain is the history of one service's rule, oldest first.
type chain []link

type link struct {
	from Generation
	rule *Rule
}

// NewLog is the empty log of a cluster: it takes entries of that cluster only.
func NewLog(cluster string) *Log { return &Log{cluster: cluster} }

// Last is the newest generation of the log, Hash its entry's hash.
func (l *Log) Last() Generation { return l.last }

// Hash identifies the log's content: two processes with equal hashes have
// applied the same rules.
func (l *Log) Hash() string { return l.hash }

// Tip is the newest entry; its zero value for the empty log.
func (l *Log) Tip() Position { return Position{l.last, l.hash} }

// Apply returns the log with one more entry. Applying the newest entry again
// changes nothing; an older entry, one that skips a number (ErrGap), and one
// that does not follow from this log (ErrFork) are refused.
func (l *Log) Apply(e Entry) (*Log, error) {
	if e.Generation == l.last && e.Hash() == l.hash {
		return l, nil
	}
	if err := e.Follows(l.last, l.hash); err != nil {
		return l, err
	}
	if err := e.CheckNeeds(); err != nil {
		return l, err
	}
	if l.hash != "" && e.Cluster != l.cluster {
		return l, fmt.Errorf("generation %v: %w %q, the log of %q", e.Generation, ErrForeign, e.Cluster, l.cluster)
	}
	hash := e.Hash()
	next := &Log{cluster: e.Cluster, last: e.Generation, hash: hash, marks: append(l.marks[:len(l.marks):len(l.marks)], position{e.Generation, mark(hash)}),
		chains: maps.Clone(l.chains), floors: maps.Clone(l.floors), session: l.session, expired: l.expired, outside: l.outside}
	if e.Session != nil {
		next.session = e.Session
	}
	if next.chains == nil {
		next.chains, next.floors = map[string]chain{}, map[pair]Generation{}
	}
	for service, rule := range e.Rules {
		if err := rule.Check(service); err != nil {
			return l, fmt.Errorf("generation %v: %w", e.Generation, err)
		}
		old := next.chains[service]
		next.chains[service] = append(old[:len(old):len(old)], link{e.Generation, &rule})
	}
	for _, r := range e.Retire {
		key := pair{r.Service, r.Version}
		if next.floors[key].Before(r.Floor) {
			next.floors[key] = r.Floor
		}
	}
	return next, nil
}

// Replay is the log that the entries make; with an error, that of the entries
// before the first which can't be applied.
func Replay(entries []Entry) (log *Log, err error) {
	log = &Log{}
	for _, e := range entries {
		if log, err = log.Apply(e); err != nil {
			return log, err
		}
	}
	return log, nil
}

// Continues reports whether a whole log may take the place of the entries that
// are kept: it begins with them all, or ends the log that they make. common is the number of entries that both have.
func Continues(kept, whole []Entry) (common int, err error) {
	for common < min(len(kept), len(whole)) && kept[common].Hash() == whole[common].Hash() {
		common++
	}
	if common == len(kept) {
		return common, nil
	}
	tip := kept[len(kept)-1].Position()
	if slices.ContainsFunc(whole[common:], func(e Entry) bool { return slices.Contains(e.Ends, tip) }) {
		return common, nil
	}
	return common, fmt.Errorf("%v is not ended by the log that is to follow: %w", tip, ErrFork)
}

// Follows checks that the entry continues a log that ends with the generation
// last, whose entry has the given hash: nil, ErrGap or ErrFork. A later
// timeline may begin anywhere above what it continues, but it must say what
// that is.
func (e Entry) Follows(last Generation, hash string) error {
	want := Generation{last.Timeline, last.N + 1}
	switch {
	case e.Generation.N >= maxNumber || e.Generation.Timeline > last.Timeline+maxJump || e.Generation.N > last.N+maxJump && e.Generation.Timeline != last.Timeline:
		return fmt.Errorf("generation %v after %v: %w: the number is too far away", e.Generation, last, ErrEntry)
	case e.Generation.Timeline > last.Timeline && e.Previous == hash && e.Generation.N > last.N:
		return nil
	case e.Generation.Timeline != last.Timeline:
		return fmt.Errorf("generation %v does not continue %v: %w", e.Generation, last, ErrFork)
	case want.Before(e.Generation):
		return fmt.Errorf("generation %v after %v: %w", e.Generation, last, ErrGap)
	case e.Generation.Before(want) || e.Previous != hash:
		return fmt.Errorf("generation %v (after %s) on %v (%s): %w", e.Generation, short(e.Previous), last, short(hash), ErrFork)
	}
	return nil
}

func short(hash string) string {
	if hash == "" {
		return "nothing"
	}
	return hash[:min(8, len(hash))]
}

// at finds the rule of a service in a generation, nil before its first.
func (c chain) at(g Generation) *Rule {
	if n := len(c); n > 0 && !g.Before(c[n-1].from) {
		return c[n-1].rule // nearly every token reads the newest rule
	}
	i := sort.Search(len(c), func(i int) bool { return g.Before(c[i].from) })
	if i == 0 {
		return nil
	}
	return c[i-1].rule
}

// Resolve is the version of the service that the token's trace meets. ok is
// false when no rule speaks of the service: any version will do, as it has
// only one. A token from before the service's first rule meets the version
// that this rule found serving: it may outlive the coming of a second one.
// ErrStale means that the rules must be fetched before the question can be
// answered, ErrOtherLog that the token reads rules which this log never held.
func (l *Log) Resolve(service string, t Token) (version string, ok bool, err error) {
	version, _, ok, err = l.Route(service, t)
	return version, ok, err
}

// Route is Resolve, and says how the service switches to that version.
func (l *Log) Route(service string, t Token) (version string, by Strategy, ok bool, err error) {
	if err := l.reads(t); err != nil {
		return "", "", false, err
	}
	version, by, ok = l.chains[service].route(t)
	return version, by, ok, nil
}

// reads checks that this log holds the very rules that the token reads.
func (l *Log) reads(t Token) error {
	switch {
	case l.last.Before(t.Generation):
		return ErrStale
	case t.Generation.Before(l.expired):
		return ErrExpired
	case !l.holds(t):
		return ErrOtherLog
	}
	return nil
}

// holds reports whether the log holds the entry that the token names. The
// empty log is the beginning of every one.
func (l *Log) holds(t Token) bool {
	if n := len(l.marks); n > 0 && l.marks[n-1].generation == t.Generation {
		return l.marks[n-1].mark == t.Entry // nearly every token reads the newest rules
	}
	if t.Generation == (Generation{}) {
		return t.Entry == 0
	}
	i, found := slices.BinarySearchFunc(l.marks, t.Generation, func(p position, g Generation) int { return p.generation.Compare(g) })
	return found && l.marks[i].mark == t.Entry
}

// Token is a token that reads the newest rules of the log.
func (l *Log) Token(seed uint64, mark string) Token {
	t := Token{Generation: l.last, Seed: seed, Mark: mark}
	if n := len(l.marks); n > 0 {
		t.Entry = l.marks[n-1].mark
	}
	return t
}

// TokenAt is Token for the rules of an earlier generation of the log.
func (l *Log) TokenAt(g Generation, seed uint64, mark string) Token {
	t := Token{Generation: g, Seed: seed, Mark: mark}
	if i, found := slices.BinarySearchFunc(l.marks, g, func(p position, g Generation) int { return p.generation.Compare(g) }); found {
		t.Entry = l.marks[i].mark
	}
	return t
}

// route is Log.Route among the rules of one service.
func (c chain) route(t Token) (version string, by Strategy, ok bool) {
	if len(c) == 0 {
		return "", "", false
	}
	rule := c.at(t.Generation)
	if rule == nil {
		return c[0].rule.Version, c[0].rule.Strategy, true
	}
	version, by = rule.version(t), rule.Strategy
	if version != rule.Version {
		by = Concurrent // a verifier's, and not committed: there is nothing to wait for
	}
	return version, by, true
}

// Admit is the callee's question: may this version of the service execute a
// call with the token? It returns nil, ErrStale (fetch first), ErrOtherLog,
// ErrRetired, ErrExpired, ErrWrongVersion or errTurn.
func (l *Log) Admit(service, version string, t Token) error {
	if err := l.reads(t); err != nil {
		return err
	}
	if len(l.floors) > 0 && t.Generation.Before(l.floors[pair{service, version}]) {
		return ErrRetired
	}
	c := l.chains[service]
	if want, _, ok := c.route(t); ok && want != version {
		return ErrWrongVersion
	}
	return c.turn(service, version)
}

// CheckTurn is nil when the version may run now, and errTurn when the newest rules
// give the turn to another version, or to nobody.
func (l *Log) CheckTurn(service, version string) error {
	return l.chains[service].turn(service, version)
}

func (c chain) turn(service, version string) error {
	if len(c) == 0 {
		return nil
	}
	rule := c[len(c)-1].rule
	switch {
	case !rule.Strategy.Exclusive() || rule.Turn == version:
		return nil
	case rule.Turn == "":
		return fmt.Errorf("%w: another version of %s is still stopping", errTurn, service)
	}
	return fmt.Errorf("%w: %s of %s has it", errTurn, rule.Turn, service)
}

// Expire returns the log that refuses tokens before a generation.
func (l *Log) Expire(g Generation) *Log {
	if !l.expired.Before(g) {
		return l
	}
	next := *l
	next.expired = g
	return &next
}

// ExpireOutside is Expire for tokens of callers from outside.
func (l *Log) ExpireOutside(g Generation) *Log {
	if !l.outside.Before(g) {
		return l
	}
	next := *l
	next.outside = g
	return &next
}

// Expired is the least generation that is read here, ExpiredOutside the same
// for callers that have not shown that they are of the site.
func (l *Log) Expired() Generation { return l.expired }

// ExpiredOutside: see Expired.
func (l *Log) ExpiredOutside() Generation { return l.outside }

// AdmitOutside is a further question about the token of a caller that has not
// shown that it is of the site: such traces hold an old version for a while only.
func (l *Log) AdmitOutside(t Token) error {
	if t.Generation.Before(l.outside) {
		return ErrExpired
	}
	return nil
}

// Rule is the newest rule of the service.
func (l *Log) Rule(service string) (Rule, bool) {
	c := l.chains[service]
	if len(c) == 0 {
		return Rule{}, false
	}
	return *c[len(c)-1].rule, true
}

// Session is the newest release, as its last step left it; ok is false before
// the first.
func (l *Log) Session() (r Release, ok bool) {
	if l.session == nil {
		return Release{}, false
	}
	return *l.session, true
}

// First is the version of a service that the log's first rule of it names:
// the one that was found serving.
func (l *Log) First(service string) (version string, ok bool) {
	c := l.chains[service]
	if len(c) == 0 {
		return "", false
	}
	return c[0].rule.Version, true
}

// Services are the services that the log speaks of, sorted.
func (l *Log) Services() []string { return slices.Sorted(maps.Keys(l.chains)) }

// Floor is the least generation that the version still serves; the zero
// Generation when it was never retired.
func (l *Log) Floor(service, version string) Generation { return l.floors[pair{service, version}] }

// Next makes the entry that continues the log on its timeline.
func (l *Log) Next(release string, rules map[string]Rule, retire ...Retirement) Entry {
	return Entry{Cluster: l.cluster, Generation: Generation{l.last.Timeline, l.last.N + 1}, Previous: l.hash, Release: release, Rules: rules, Retire: retire}
}
