package releases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Operations is the site of a release as one operator controls it. Every step changes the
// rule log once, for all processes, and returns the resulting release. Errors of refused
// steps wrap rollout.ErrStep.
type Operations interface {
	// State asks all processes. Its result includes those that did not answer.
	State(ctx context.Context) (Site, error)

	// Connect tries to connect to a listed address.
	Connect(ctx context.Context, addr string) error

	Start(ctx context.Context, reason string) (rollout.Release, error)
	Put(ctx context.Context, module string, values map[string]string) (rollout.Release, error)
	Ship(ctx context.Context, m rollout.Module) (rollout.Release, error)
	// Commit sends growing shares to the new versions; see operator.Controller.Ramp.
	Commit(ctx context.Context, shares []int, every time.Duration, g operator.Guard,
		tell func(operator.Progress)) (rollout.Release, error)
	Rollback(ctx context.Context) (rollout.Release, error)

	// Clean waits until no process can need the outgoing versions, retires them
	// and ends the release. It calls tell when the holders have changed, or with
	// what the last step waits for in note.
	Clean(ctx context.Context, tell func(holders []Holder, note string)) (rollout.Release, error)
	// Holders asks all processes once which of them hold back the outgoing versions.
	Holders(ctx context.Context) ([]Holder, error)
	// Copies counts the copies of calls to the release's new versions, which the site's policy makes.
	Copies(ctx context.Context, r rollout.Release, g operator.Guard) (list []operator.Watched, silent int, err error)
	// Refresh completes an interrupted step, or with discard none. It brings
	// every reachable process up to date.
	Refresh(ctx context.Context, discard bool) error
	// Adopt makes the log whole again; see operator.Controller.Adopt.
	Adopt(ctx context.Context, keep string) error
	// Vouch makes entries count that no trusted key has signed.
	Vouch(ctx context.Context) error
	// Hands are the agents of the site that start and stop versions; nil: the operator does it.
	Hands() Hands
	// Policy returns the site's policy in force; its number is 0 without one.
	Policy(ctx context.Context) Policy
	// Acknowledge records that an operator has seen the steps that the
	// envelope's key has signed.
	Acknowledge(ctx context.Context, seen ...rollout.Position) error
}

// Site is the state of the site by the answers of all processes.
type Site struct {
	operator.Status
	Instances []discovery.Entry // of the site's services
	Signers   []Signer          // of Status.Trail
}

// restored reports whether the log lacks entries that processes have applied, or has forked.
func (s Site) restored() bool {
	return errors.Is(s.Err, operator.ErrRestored) || errors.Is(s.Err, operator.ErrForked)
}

// tooOld reports whether this command can't read the log to its end.
func (s Site) tooOld() bool { return errors.Is(s.Err, rollout.ErrNeeds) }

// unanswered reports whether no process answers: the state is the database's.
func (s Site) unanswered() bool { return len(s.Members) == 0 }

// Signer is the operator that has signed an entry. Err is the reason why no signature counts.
type Signer struct {
	Name string
	Err  error
}

// Process is one member of the site as it is shown.
type Process struct {
	Name    string             `json:"name"` // host/pid/epoch
	Addr    string             `json:"addr"`
	Applied rollout.Generation `json:"applied"` // generation of its rules
	Hash    string             `json:"-"`
	Silent  time.Duration      `json:"-"`                 // since its last answer; 0: it answers
	Why     string             `json:"why,omitempty"`     // of the silence
	Lacks   []string           `json:"lacks,omitempty"`   // needs of the next entry that this process does not know
	Runs    []string           `json:"runs,omitempty"`    // service/version that it offers
	Ended   bool               `json:"ended,omitempty"`   // the process does not answer and is certainly dead
	Orphans map[string]int64   `json:"orphans,omitempty"` // calls outside any trace, by place of origin
}

// processes returns the members as they are shown.
func (s Site) processes() []Process {
	all := make([]Process, len(s.Members))
	for i, m := range s.Members {
		all[i] = s.shown(m)
	}
	return all
}

// shown returns a member as it is shown.
func (s Site) shown(m operator.MemberStatus) Process {
	p := Process{Name: m.Process, Addr: m.Addr, Applied: m.Applied, Hash: m.Hash, Why: m.Silent, Ended: m.Ended,
		Orphans: m.Orphans, Runs: s.offers(m.Process), Lacks: m.Lacks}
	if len(m.Lacks) > 0 {
		p.Why = fmt.Sprintf("the next generation needs %q: upgrade skerry there", m.Lacks)
	}
	if len(m.Waits) > 0 {
		p.Why = "waits for its turn to run " + strings.Join(m.Waits, ", ")
	}
	if m.Ended {
		p.Why = "it has ended: a process of its host says so"
	}
	if m.Silent != "" {
		p.Silent = max(time.Millisecond, time.Since(m.Heard))
	}
	return p
}

// Holder is a process that holds a version back, with the reason.
type Holder struct {
	Service string `json:"service"`
	rollout.Blocker
	Since time.Time `json:"since,omitzero"` // start of the hold, as far as known
}

// Log returns the log of rules that the trail forms.
func (s Site) Log() (*rollout.Log, error) { return rollout.Replay(s.Trail) }

// Whole returns an error while the log differs from the one that the processes use.
func (s Site) Whole() error {
	if s.tooOld() {
		return problemf("FROZEN: %s", s.Frozen)
	}
	if s.unanswered() {
		return unreachablef("no process of the site answers, so nothing is released; start them, and see " +
			"skerry ls and skerry doctor")
	}
	if !s.restored() {
		return nil
	}
	return problemf("FROZEN: %s\nNext: %s", s.Frozen, s.Adopting())
}

// Adopting returns the command that makes the log whole again.
func (s Site) Adopting() string {
	if len(s.Branches) > 1 {
		return "skerry release adopt --keep HASH, of the log that is to go on"
	}
	return "skerry release adopt"
}

// strays reports whether a process uses a log that has forked from the one that ends with
// tip.
func (s Site) strays(process, tip string) bool {
	return slices.ContainsFunc(s.Branches,
		func(l operator.Branch) bool { return l.Tip.Hash != tip && slices.Contains(l.Members, process) })
}

// Newest returns the newest release; open tells whether it is unfinished.
func (s Site) Newest() (r rollout.Release, open bool) {
	for _, e := range slices.Backward(s.Trail) {
		if e.Session != nil {
			return *e.Session, !e.Session.Finished()
		}
	}
	return rollout.Release{}, false
}

// up returns the addresses of the callable instances of a version.
func (s Site) up(service, version string) (addrs []string) {
	for _, in := range s.Instances {
		if in.Service == service && in.Version == version && isUp(in) {
			addrs = append(addrs, in.Addr)
		}
	}
	return addrs
}

func isUp(in discovery.Entry) bool {
	return (in.State == discovery.OK || in.State == discovery.Warming) && !in.Stale
}

// orphans returns the number of calls that belonged to no trace.
func (s Site) orphans() (n int64) {
	for _, m := range s.Members {
		for _, calls := range m.Orphans {
			n += calls
		}
	}
	return n
}

// offers returns the services and versions that a process has registered.
func (s Site) offers(process string) (out []string) {
	for _, in := range s.Instances {
		if name := Title(in.Service, in.Version); in.Owner == process && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// offered returns the services that are listed with a version.
func (s Site) offered() []string {
	var out []string
	for _, in := range s.Instances {
		if in.Version != "" && !slices.Contains(out, in.Service) {
			out = append(out, in.Service)
		}
	}
	slices.Sort(out)
	return out
}

// unruled returns the services with several running versions and no rule.
func (s Site) unruled() []string {
	log, err := s.Log()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(s.offered(), func(service string) bool {
		_, known := log.Rule(service)
		return known || len(s.Running(service)) < 2
	})
}

// Running returns the listed versions of a service.
func (s Site) Running(service string) []string {
	var out []string
	for _, in := range s.Instances {
		if in.Service == service && in.Version != "" && !slices.Contains(out, in.Version) {
			out = append(out, in.Version)
		}
	}
	slices.Sort(out)
	return out
}

// Open is the open release, or why no step can be made.
func (s Site) Open() (rollout.Release, error) {
	r, open := s.Newest()
	if s.tooOld() {
		return r, problemf("%s", s.Frozen)
	}
	if !open {
		return r, problemf("no release is open; begin one: skerry release start --by NAME --reason WHY")
	}
	return r, nil
}

// stepSession returns the site and its open release, for a step that changes the log. It
// needs one log, which holds all that the processes have applied.
func stepSession(ctx context.Context, to Operations) (Site, rollout.Release, error) {
	s, err := to.State(ctx)
	if err == nil {
		err = s.Whole()
	}
	if err != nil {
		return s, rollout.Release{}, err
	}
	r, err := s.Open()
	return s, r, err
}
