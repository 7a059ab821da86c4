package rollout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// State is the state of a release.
type State string

// The states of a release, in order. Switched and RollingBack both lead to
// Draining. The outgoing version, which is drained and stops, is the old one
// after Switched and the new one after RollingBack.
const (
	Prepared    State = "PREPARED"     // open; new versions meet verifiers only
	Ramping     State = "RAMPING"      // a share of the traces meets the new versions
	Switched    State = "SWITCHED"     // all new traces meet the new versions; the old ones stay up for a rollback
	RollingBack State = "ROLLING_BACK" // all new traces meet the old versions again
	Draining    State = "DRAINING"     // waiting for the last trace that can need the outgoing version
	Drained     State = "DRAINED"      // no trace can need it, and it refuses all calls
	Stopped     State = "STOPPED"      // its instances have left: the release is over
)

// Module is one service of a release.
type Module struct {
	Service  string   `json:"service"`
	Old      string   `json:"old"`                // version before the release
	New      string   `json:"new"`                // "" until it is shipped
	Strategy Strategy `json:"strategy,omitempty"` // how this service switches

	// Patience and GiveUp belong to the strategy Waiting. A commit waits up to
	// Patience for a moment in which no live work needs the old version. If none
	// comes, it fails with GiveUp, and switches anyway without.
	Patience time.Duration `json:"patience,omitempty"` // nanoseconds
	GiveUp   bool          `json:"give_up,omitempty"`

	// Yielded and Owners are set while a module with an exclusive strategy
	// changes over. Yielded is the version that has lost its turn. Owners are
	// the processes that ran it then.
	Yielded string  `json:"yielded,omitempty"`
	Owners  []Owner `json:"owners,omitempty"`
}

// Owner is a process that runs a version. Place is where it runs: a process
// there can certify its end.
type Owner struct {
	Process string `json:"process"` // registry.Owner.String()
	Place   string `json:"place,omitempty"`
}

// Release is one release of several services. It is a value: each step returns
// the next Release and the rules that change, and the caller commits both in one
// entry of the log. A step that is not possible now fails with ErrStep, and the
// error names a step that is.
type Release struct {
	Name    string     `json:"name"` // unique in the site; shares are drawn by it: see Share
	By      string     `json:"by"`
	Reason  string     `json:"reason"`
	Opened  time.Time  `json:"opened"`
	Mark    string     `json:"mark"` // mark of the verifiers' requests
	State   State      `json:"state"`
	Share   int        `json:"share"` // per ten thousand, while ramping
	Modules []Module   `json:"modules"`
	Since   Generation `json:"since"` // of the switch or rollback; the drain waits for traces of earlier ones
	Back    bool       `json:"back"`  // rolled back: the new versions are the outgoing ones

	// Settings are values that operators keep in the release, by module and key:
	// for programs that start or check the new versions, and for an operator that
	// continues the release.
	Settings map[string]map[string]string `json:"settings,omitempty"`
}

// ErrStep is wrapped by the error of a step that the release's state does not
// allow.
var ErrStep = errors.New("not possible now")

func (r Release) refuse(step, instead string) error {
	return fmt.Errorf("%s release %s: %w, it is %s; %s", step, r.Name, ErrStep, r.State, instead)
}

// Limits of settings, in bytes. Every process keeps the log.
const (
	maxSetting  = 16 << 10 // one value
	maxSettings = 64 << 10 // all values and keys of a release
)

// Put stores settings of a module in the release. An empty value removes its
// key. A value holds at most 16 KiB, all settings of a release 64 KiB.
func (r Release) Put(module string, values map[string]string) (Release, error) {
	if r.State != Prepared {
		return r, r.refuse("put settings into", "roll back or clean it, and start another")
	}
	if module == "" {
		return r, errors.New("put settings: no module is named")
	}
	next, total := r, 0
	next.Settings = map[string]map[string]string{}
	for name, old := range r.Settings {
		next.Settings[name] = maps.Clone(old)
	}
	if next.Settings[module] == nil {
		next.Settings[module] = map[string]string{}
	}
	for key, value := range values {
		if len(value) > maxSetting {
			return r, fmt.Errorf("put %s of %s: %d bytes, at most %d can be kept for every process; put the path "+
				"of a file", key, module, len(value), maxSetting)
		}
		if next.Settings[module][key] = value; value == "" {
			delete(next.Settings[module], key)
		}
	}
	for _, all := range next.Settings {
		for key, value := range all {
			total += len(key) + len(value)
		}
	}
	if total > maxSettings {
		return r, fmt.Errorf("put settings of %s: all of the release together would take %d bytes, at most %d can be "+
			"kept for every process", module, total, maxSettings)
	}
	return next, nil
}

// Configured returns the names of the modules that have settings, sorted.
func (r Release) Configured() []string {
	var names []string
	for name, values := range r.Settings {
		if len(values) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Ship adds a module, or replaces the version that this release shipped for it
// before. Only verifiers' requests meet the new version.
func (r Release) Ship(log *Log, m Module) (Release, map[string]Rule, error) {
	if r.State != Prepared {
		return r, nil, r.refuse("ship to", "roll back or clean it, and start another")
	}
	rule, known := log.Rule(m.Service)
	if !known {
		if m.Old == "" {
			return r, nil, fmt.Errorf("ship %s: no rule names its version and none was given as old", m.Service)
		}
		rule = Rule{Version: m.Old}
	}
	m.Old = rule.Version
	if m.New == "" || m.New == m.Old {
		return r, nil, fmt.Errorf("ship %s: the new version %q must differ from %q, which serves now",
			m.Service, m.New, m.Old)
	}
	next := r
	next.Modules = slices.DeleteFunc(slices.Clone(r.Modules), func(o Module) bool { return o.Service == m.Service })
	next.Modules = append(next.Modules, m)
	rule.Marks = maps.Clone(rule.Marks)
	if rule.Marks == nil {
		rule.Marks = map[string]string{}
	}
	rule.Marks[r.Mark] = m.New
	if rule.Strategy, rule.Turn = m.Strategy, ""; m.Strategy.Exclusive() {
		rule.Turn = m.Old
	}
	return next, map[string]Rule{m.Service: rule}, nil
}

// Commit sends a share of the new traces, per ten thousand, to the new versions
// of all modules at once. The share Whole is the switch. A share can only grow;
// Rollback takes it back. at is the generation that the rules will have.
func (r Release) Commit(log *Log, share int, at Generation) (Release, map[string]Rule, error) {
	switch {
	case r.State != Prepared && r.State != Ramping:
		return r, nil, r.refuse("commit", "there is nothing to commit")
	case len(r.Modules) == 0:
		return r, nil, r.refuse("commit", "ship a module first")
	case share <= r.Share || share > Whole:
		return r, nil, fmt.Errorf("commit release %s: share %d is not in %d..%d", r.Name, share, r.Share+1, Whole)
	}
	for _, m := range r.Modules {
		if m.Strategy.Exclusive() && share < Whole {
			return r, nil, fmt.Errorf("commit release %s: versions of %s may not run at once (%s), so there is no "+
				"share of %s %%; commit all", r.Name, m.Service, m.Strategy,
				strconv.FormatFloat(float64(share)/100, 'f', -1, 64))
		}
	}
	next := r
	next.Share, next.State = share, Ramping
	if share == Whole {
		next.State, next.Since = Switched, at
	}
	return next, r.rules(log, func(m Module, rule *Rule) {
		rule.Split = nil
		if share == Whole {
			rule.Version, rule.Marks = m.New, nil
		} else {
			rule.Split = []Share{{Version: m.New, Release: r.Name, PerMyr: share}}
		}
	}), nil
}

// Rollback sends all new traces to the old versions again. at is the generation
// that the rules will have, a new one: a number is never used twice.
func (r Release) Rollback(log *Log, at Generation) (Release, map[string]Rule, error) {
	switch r.State {
	case Prepared, Ramping, Switched:
	case Draining:
		if !r.Back {
			break
		}
		fallthrough
	default:
		return r, nil, r.refuse("roll back", "start a release that ships the old version")
	}
	next := r
	next.State = RollingBack
	next.Since = at
	next.Back = true
	next.Share = 0
	return next, r.rules(log, func(m Module, rule *Rule) {
		rule.Version, rule.Split, rule.Marks = m.Old, nil, nil
	}), nil
}

// Clean begins the drain of the outgoing versions.
func (r Release) Clean() (Release, error) {
	if r.State != Switched && r.State != RollingBack {
		return r, r.refuse("clean", "commit it or roll it back first")
	}
	r.State = Draining
	return r, nil
}

// Retire follows when every drain is over. The outgoing versions then refuse the
// calls that still arrive.
func (r Release) Retire() (Release, []Retirement, error) {
	if r.State != Draining {
		return r, nil, r.refuse("retire the versions of", "clean it first")
	}
	var out []Retirement
	for _, m := range r.Modules {
		out = append(out, Retirement{Service: m.Service, Version: r.Outgoing(m), Floor: r.Since})
	}
	r.State = Drained
	return r, out, nil
}

// Stop ends the release. Another one may then start.
func (r Release) Stop() (Release, error) {
	if r.State != Drained {
		return r, r.refuse("stop", "wait until it is drained")
	}
	r.State = Stopped
	return r, nil
}

// Outgoing returns the version of the module that is drained and stops when the
// release is cleaned.
func (r Release) Outgoing(m Module) string {
	if r.Back {
		return m.New
	}
	return m.Old
}

// Finished reports whether another release may be started.
func (r Release) Finished() bool { return r.State == Stopped }

// rules applies change to a copy of each module's newest rule.
func (r Release) rules(log *Log, change func(Module, *Rule)) map[string]Rule {
	out := map[string]Rule{}
	for _, m := range r.Modules {
		rule, _ := log.Rule(m.Service)
		change(m, &rule)
		out[m.Service] = rule
	}
	return out
}
