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
	// ErrGap: entries between the log's end and this one are missing. Fetch
	// them first.
	ErrGap = errors.New("entries of the rule log are missing")
	// ErrFork: the entry does not continue this log. There were two writers, or
	// a backup was restored.
	ErrFork = errors.New("the rule log has forked")
	// ErrOtherLog: this log does not hold the entry that the token names. The
	// logs of two processes have forked, or the token is damaged.
	ErrOtherLog = errors.New("the token reads a rule log that is not the one here")
	// ErrStale: the token's generation is not known here yet. Fetch the rules
	// before deciding.
	ErrStale = errors.New("rules of the token's generation are not known here")
	// ErrRetired: the version no longer serves the generation of the token.
	ErrRetired = errors.New("the version no longer serves the token's generation")
	// ErrExpired: newer rules have replaced those of the token for longer than a
	// trace may live. See Log.Expire.
	ErrExpired = errors.New("the trace has outlived the longest age that it may have after a release")
	// ErrWrongVersion: by the rules, another version serves the token.
	ErrWrongVersion = errors.New("the token belongs to another version")
	// errTurn: versions of the service may never run at once, and another one
	// has the turn.
	errTurn = errors.New("it is not the version's turn to run")
)

// Errors of a process's part in releases; see package participant.
var (
	// ErrPromised: the process has promised another entry of the same number.
	ErrPromised = errors.New("another change has been promised for the same generation")
)

// Log holds the rules up to one generation. It is immutable, and shares memory
// with the logs that it was made from. The zero Log is empty.
type Log struct {
	cluster string
	last    Generation
	hash    string
	places  []position          // every entry, in order
	chains  map[string]chain    // by service
	floors  map[pair]Generation // by service and version
	session *Release            // newest release; nil before the first
	expired Generation          // tokens of earlier generations are refused: see Expire
	outside Generation          // the same for callers from outside the site: see ExpireOutside
}

// position identifies an entry in the form that tokens have: see Token.Entry.
type position struct {
	generation Generation
	prefix     uint32 // of the entry's hash
}

type pair struct{ service, version string }

// chain is the history of one service's rule, oldest first.
type chain []link

// link is one rule, and the generation that brought it.
type link struct {
	from Generation
	rule *Rule
}

// NewLog returns the empty log of a cluster.
func NewLog(cluster string) *Log { return &Log{cluster: cluster} }

// Last returns the newest generation of the log.
func (l *Log) Last() Generation { return l.last }

// Hash returns the hash of the newest entry, "" for the empty log. Two
// processes with equal hashes have applied the same rules.
func (l *Log) Hash() string { return l.hash }

// Tip returns the position of the newest entry, the zero Position for the empty
// log.
func (l *Log) Tip() Position { return Position{l.last, l.hash} }

// Apply returns the log with one more entry. Applying the newest entry again
// changes nothing. An entry that skips a number fails with ErrGap. An earlier
// entry fails with ErrFork, as does one that does not name the hash of the
// newest. Other errors wrap ErrNeeds, ErrForeign, ErrEntry or ErrRule.
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
	next := &Log{
		cluster: e.Cluster,
		last:    e.Generation,
		hash:    hash,
		places:  append(l.places[:len(l.places):len(l.places)], position{e.Generation, hashPrefix(hash)}),
		chains:  maps.Clone(l.chains),
		floors:  maps.Clone(l.floors),
		session: l.session,
		expired: l.expired,
		outside: l.outside,
	}
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

// Replay returns the log that the entries make. On an error it returns the log
// of the entries before the one that failed.
func Replay(entries []Entry) (log *Log, err error) {
	log = &Log{}
	for _, e := range entries {
		if log, err = log.Apply(e); err != nil {
			return log, err
		}
	}
	return log, nil
}

// Continues checks that a whole log may replace the kept entries. It may if it
// begins with all of them, or if one of its entries ends their log (Entry.Ends).
// Otherwise the error wraps ErrFork. common is the number of leading entries
// that both logs have.
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
	return common, fmt.Errorf("the new log neither continues nor ends the kept one, up to %v: %w", tip, ErrFork)
}

// Follows checks that the entry continues a log that ends with the generation
// last and the given hash. Its errors wrap ErrGap, ErrFork or ErrEntry. The
// first entry of a later timeline may skip numbers, up to a limit.
func (e Entry) Follows(last Generation, hash string) error {
	want := Generation{last.Timeline, last.N + 1}
	switch {
	case e.Generation.N >= maxNumber || e.Generation.Timeline > last.Timeline+maxJump ||
		e.Generation.N > last.N+maxJump && e.Generation.Timeline != last.Timeline:
		return fmt.Errorf("generation %v after %v: %w: it skips too many numbers", e.Generation, last, ErrEntry)
	case e.Generation.Timeline > last.Timeline && e.Previous == hash && e.Generation.N > last.N:
		return nil
	case e.Generation.Timeline != last.Timeline:
		return fmt.Errorf("generation %v does not continue %v: %w", e.Generation, last, ErrFork)
	case want.Before(e.Generation):
		return fmt.Errorf("generation %v after %v: %w", e.Generation, last, ErrGap)
	case e.Generation.Before(want) || e.Previous != hash:
		return fmt.Errorf("generation %v (after %s) on %v (%s): %w",
			e.Generation, short(e.Previous), last, short(hash), ErrFork)
	}
	return nil
}

func short(hash string) string {
	if hash == "" {
		return "nothing"
	}
	return hash[:min(8, len(hash))]
}

// at returns the service's rule in a generation, nil before the first rule.
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

// Resolve returns the version of the service that a trace with the token meets.
// ok is false when the log has no rule for the service: it has one version only,
// and any instance will do. A token older than the first rule of the service
// meets the version of that rule, which was the only one before. So a trace may
// go on when a second version arrives. ErrStale means that the rules must be
// fetched first, ErrOtherLog that this log does not hold the token's entry, and
// ErrExpired that the token is too old.
func (l *Log) Resolve(service string, t Token) (version string, ok bool, err error) {
	version, _, ok, err = l.Route(service, t)
	return version, ok, err
}

// Route is Resolve, and also returns by, the strategy by which the service
// switches to that version.
func (l *Log) Route(service string, t Token) (version string, by Strategy, ok bool, err error) {
	if err := l.reads(t); err != nil {
		return "", "", false, err
	}
	version, by, ok = l.chains[service].route(t)
	return version, by, ok, nil
}

// reads checks that this log holds the rules that the token reads.
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

// holds reports whether the log holds the entry that the token names. Every log
// holds the empty log.
func (l *Log) holds(t Token) bool {
	if n := len(l.places); n > 0 && l.places[n-1].generation == t.Generation {
		return l.places[n-1].prefix == t.Entry // nearly every token reads the newest rules
	}
	if t.Generation == (Generation{}) {
		return t.Entry == 0
	}
	i, found := slices.BinarySearchFunc(l.places, t.Generation, func(p position, g Generation) int {
		return p.generation.Compare(g)
	})
	return found && l.places[i].prefix == t.Entry
}

// Token returns a token that reads the newest rules of the log.
func (l *Log) Token(seed uint64, mark string) Token {
	t := Token{Generation: l.last, Seed: seed, Mark: mark}
	if n := len(l.places); n > 0 {
		t.Entry = l.places[n-1].prefix
	}
	return t
}

// TokenAt returns a token that reads the rules of an earlier generation of the
// log.
func (l *Log) TokenAt(g Generation, seed uint64, mark string) Token {
	t := Token{Generation: g, Seed: seed, Mark: mark}
	i, found := slices.BinarySearchFunc(l.places, g, func(p position, g Generation) int {
		return p.generation.Compare(g)
	})
	if found {
		t.Entry = l.places[i].prefix
	}
	return t
}

// route is Log.Route within the rules of one service.
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
		by = Concurrent // a verifier's version or a share: no switch to wait for
	}
	return version, by, true
}

// Admit decides for a callee whether this version of the service may execute a
// call with the token. It returns nil, ErrStale (fetch the rules first),
// ErrOtherLog, ErrRetired, ErrExpired, ErrWrongVersion or errTurn.
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

// Expire returns a log that refuses tokens of generations before g.
func (l *Log) Expire(g Generation) *Log {
	if !l.expired.Before(g) {
		return l
	}
	next := *l
	next.expired = g
	return &next
}

// ExpireOutside is Expire for tokens of callers outside the site.
func (l *Log) ExpireOutside(g Generation) *Log {
	if !l.outside.Before(g) {
		return l
	}
	next := *l
	next.outside = g
	return &next
}

// Expired returns the oldest generation that tokens may read here.
func (l *Log) Expired() Generation { return l.expired }

// ExpiredOutside is Expired for callers that have not proved to belong to the
// site.
func (l *Log) ExpiredOutside() Generation { return l.outside }

// AdmitOutside is a second check for the token of a caller that has not proved
// to belong to the site. It returns ErrExpired when the token is too old: such a
// trace may need an old version for a limited time only.
func (l *Log) AdmitOutside(t Token) error {
	if t.Generation.Before(l.outside) {
		return ErrExpired
	}
	return nil
}

// Rule returns the newest rule of the service; ok is false without one.
func (l *Log) Rule(service string) (Rule, bool) {
	c := l.chains[service]
	if len(c) == 0 {
		return Rule{}, false
	}
	return *c[len(c)-1].rule, true
}

// Session returns the newest release after its last step; ok is false before
// the first release.
func (l *Log) Session() (r Release, ok bool) {
	if l.session == nil {
		return Release{}, false
	}
	return *l.session, true
}

// First returns the version that the first rule of the service names. It was the
// only version before that rule.
func (l *Log) First(service string) (version string, ok bool) {
	c := l.chains[service]
	if len(c) == 0 {
		return "", false
	}
	return c[0].rule.Version, true
}

// Services returns the services that have rules, sorted.
func (l *Log) Services() []string { return slices.Sorted(maps.Keys(l.chains)) }

// Floor returns the oldest generation that the version still serves, the zero
// Generation when it was never retired.
func (l *Log) Floor(service, version string) Generation { return l.floors[pair{service, version}] }

// Next returns an entry that continues the log on its timeline, not yet sealed.
func (l *Log) Next(release string, rules map[string]Rule, retire ...Retirement) Entry {
	return Entry{
		Cluster: l.cluster, Generation: Generation{l.last.Timeline, l.last.N + 1}, Previous: l.hash, Release: release,
		Rules: rules, Retire: retire,
	}
}
