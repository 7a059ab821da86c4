package rollout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Rule decides which version of one service a trace meets. In a log it is
// immutable.
type Rule struct {
	Version  string            `json:"version"`            // for traces that no share and no mark sends elsewhere
	Split    []Share           `json:"split,omitempty"`    // shares that go to other versions
	Marks    map[string]string `json:"marks,omitempty"`    // verifier's mark → version; only versions that run
	Strategy Strategy          `json:"strategy,omitempty"` // how this service switches

	// Turn is the only version that may run now, for a Strategy that is
	// Exclusive. "" means that one version is stopping and the next may not
	// start yet.
	Turn string `json:"turn,omitempty"`
}

// Share sends a part of the traces to a version, by their seeds. The decision
// hashes the seed with the release's name, so all services of one release decide
// alike. A trace that has the version keeps it when the share grows.
type Share struct {
	Version string `json:"version"`
	Release string `json:"release"`
	PerMyr  int    `json:"per_myr"` // of ten thousand
}

// Whole is the PerMyr of all traces.
const Whole = 10_000

// Strategy is how a service changes its version.
type Strategy string

// The strategies.
const (
	Concurrent Strategy = ""         // old and new run side by side
	Blocking   Strategy = "blocking" // new traces wait until the old version has stopped and the new one is up
	Waiting    Strategy = "waiting"  // as Blocking, but the switch is made when no work needs the old version
)

// Exclusive reports whether versions of the service may never run at once.
func (s Strategy) Exclusive() bool { return s != Concurrent }

// ErrRule is wrapped by the errors of Rule.Check.
var ErrRule = errors.New("invalid rule")

// Check returns the first fault of the rule, as an error that wraps ErrRule. Its
// text names service.
func (r Rule) Check(service string) error {
	if r.Version == "" {
		return fmt.Errorf("%w for %s: no version", ErrRule, service)
	}
	total := 0
	for _, s := range r.Split {
		if s.Version == "" || s.Release == "" {
			return fmt.Errorf("%w for %s: a share needs a version and a release", ErrRule, service)
		}
		if s.PerMyr < 0 || s.PerMyr > Whole {
			return fmt.Errorf("%w for %s: share %d of %s is not in 0..%d", ErrRule, service, s.PerMyr, s.Version, Whole)
		}
		total += s.PerMyr
	}
	if total > Whole {
		return fmt.Errorf("%w for %s: the shares add up to %d of %d", ErrRule, service, total, Whole)
	}
	if len(r.Split) > 1 {
		return fmt.Errorf("%w for %s: %d shares; one release at a time may split a service",
			ErrRule, service, len(r.Split))
	}
	for mark, v := range r.Marks {
		if mark == "" || len(mark) > maxMark || v == "" {
			return fmt.Errorf("%w for %s: mark %.80q for version %q: neither may be empty, a mark has at most %d bytes",
				ErrRule, service, mark, v, maxMark)
		}
	}
	if !slices.Contains([]Strategy{Concurrent, Blocking, Waiting}, r.Strategy) {
		return fmt.Errorf("%w for %s: strategy %q; known are concurrent (empty), blocking, waiting",
			ErrRule, service, r.Strategy)
	}
	switch {
	case r.Strategy.Exclusive() && len(r.Split) > 0:
		return fmt.Errorf("%w for %s: its versions may not run at once (%s), so none can have a share",
			ErrRule, service, r.Strategy)
	case r.Turn != "" && !r.Strategy.Exclusive():
		return fmt.Errorf("%w for %s: %s has the turn, but its versions may run at once", ErrRule, service, r.Turn)
	}
	return nil
}

// version returns the version that a trace with the token meets.
func (r *Rule) version(t Token) string {
	if t.Mark != "" {
		if v, ok := r.Marks[t.Mark]; ok {
			return v
		}
	}
	for i := range r.Split {
		if s := &r.Split[i]; int(bucket(t.Seed, s.Release)) < s.PerMyr {
			return s.Version
		}
	}
	return r.Version
}

// bucket returns a number in 0..Whole-1 for a seed in a release, evenly
// distributed.
func bucket(seed uint64, release string) uint64 { return mix(seed^SeedOf(release)) % Whole }

// Versions returns all versions that a trace may meet by the rule, sorted.
func (r Rule) Versions() []string {
	set := map[string]bool{r.Version: true}
	for _, s := range r.Split {
		set[s.Version] = true
	}
	for _, v := range r.Marks {
		set[v] = true
	}
	return slices.Sorted(maps.Keys(set))
}
