package main

import (
	"context"
	"slices"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/operator"
)

// releases is the site that a release is about, in the hands of one operator.
// Every step changes its log once, for everybody, and returns the session as
// it is then; refused steps wrap rollout.ErrStep.
type releases interface {
	// State asks everybody what there is. What did not answer is in it too.
	State(ctx context.Context) (siteState, error)

	// Connect tries an address that is listed.
	Connect(ctx context.Context, addr string) error

	Start(ctx context.Context, reason string) (rollout.Release, error)
	Put(ctx context.Context, module string, values map[string]string) (rollout.Release, error)
	Ship(ctx context.Context, m rollout.Module) (rollout.Release, error)
	// Commit sends growing shares to the new versions: see operator.Controller.Ramp.
	Commit(ctx context.Context, shares []int, every time.Duration, g operator.Guard,
		tell func(operator.Progress)) (rollout.Release, error)
	Rollback(ctx context.Context) (rollout.Release, error)

	// Clean waits until nobody can need the versions that go, retires them and
	// ends the session. tell is called when there is something new to show:
	// who holds them back, or in note what the last step waits for.
	Clean(ctx context.Context, tell func(holders []holder, note string)) (rollout.Release, error)
	// Holders asks everybody once who holds the versions back that go.
	Holders(ctx context.Context) ([]holder, error)
	// Refresh completes what was left half-way, or gives it up, and brings
	// every process that can be reached up to date.
	Refresh(ctx context.Context, discard bool) error
	// Adopt makes the log whole again: see operator.Controller.Adopt.
	Adopt(ctx context.Context, keep string) error
	// Vouch takes over entries that no trusted key has signed.
	Vouch(ctx context.Context) error
	// Acknowledge says that an operator has looked at what the envelope's key
	// has signed.
	Acknowledge(ctx context.Context, seen []rollout.Position) error
}

// siteState is what the site looks like to one who asks everybody.
type siteState struct {
	Entries   []rollout.Entry   // the newest log, oldest first
	Instances []discovery.Entry // of the site's services
	Processes []process
	Pending   []rollout.Entry   // promised by some, and not committed
	Frozen    string            // why nothing can be committed now; "" when it can
	Signers   []signer          // of the entries
	Lines     []operator.Branch // the logs, when the log has parted
	Restored  bool              // because the log lacks what processes have applied
	TooOld    bool              // because this command can't read the log to its end
	Nobody    bool              // no process is there: what is known is what the database holds
	Spread    bool              // the processes keep the log, no database does
}

// signer is whose key has signed an entry; err says why none counts.
type signer struct {
	name string
	err  error
}

// process is one member of the site.
type process struct {
	Name    string             `json:"name"` // host/pid/epoch
	Addr    string             `json:"addr"`
	Applied rollout.Generation `json:"applied"` // rules that it goes by
	Hash    string             `json:"-"`
	Silent  time.Duration      `json:"-"`                 // since it was last heard; 0: it answers
	Why     string             `json:"why,omitempty"`     // of the silence
	Forked  bool               `json:"fork,omitempty"`    // its rules contradict the log
	Lacks   []string           `json:"lacks,omitempty"`   // what the next entry needs of skerry there, and it does not know
	Runs    []string           `json:"runs,omitempty"`    // service/version that it offers
	Ended   bool               `json:"ended,omitempty"`   // it does not answer, and is dead for certain
	Orphans map[string]int64   `json:"orphans,omitempty"` // calls outside any trace, by where they came in or were made
}

// holder is a reason why a version can't go yet.
type holder struct {
	Service string `json:"service"`
	rollout.Blocker
	Since time.Time `json:"since,omitzero"` // for how long already, as far as is known
}

// log is the rules that the entries make.
func (s siteState) log() (*rollout.Log, error) {
	l := &rollout.Log{}
	for _, e := range s.Entries {
		next, err := l.Apply(e)
		if err != nil {
			return l, err
		}
		l = next
	}
	return l, nil
}

// whole refuses steps while the log is not the one that the processes go by.
func (s siteState) whole() error {
	if s.TooOld {
		return problemf("FROZEN: %s", s.Frozen)
	}
	if s.Nobody {
		return unreachablef("no process of the site answers, so nothing is released; start them, and see skerry ls and " +
			"skerry doctor")
	}
	if !s.Restored {
		return nil
	}
	return problemf("FROZEN: %s\nNext: %s", s.Frozen, s.adopting())
}

// adopting is the command that makes the log whole again.
func (s siteState) adopting() string {
	if len(s.Lines) > 1 {
		return "skerry release adopt --keep HASH, of the log that is to go on"
	}
	return "skerry release adopt"
}

// strays reports whether a process goes by a log that has parted from the one
// with the given end.
func (s siteState) strays(process, tip string) bool {
	return slices.ContainsFunc(s.Lines,
		func(l operator.Branch) bool { return l.Tip.Hash != tip && slices.Contains(l.Members, process) })
}

// session is the newest release; open tells whether it goes on.
func (s siteState) session() (r rollout.Release, open bool) {
	for _, e := range slices.Backward(s.Entries) {
		if e.Session != nil {
			return *e.Session, !e.Session.Finished()
		}
	}
	return rollout.Release{}, false
}

// up counts the instances of a version that can be called.
func (s siteState) up(service, version string) (addrs []string) {
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

// orphans counts the calls that belonged to no trace.
func (s siteState) orphans() (n int64) {
	for _, p := range s.Processes {
		for _, calls := range p.Orphans {
			n += calls
		}
	}
	return n
}

// offers are the services and versions that a process has registered.
func (s siteState) offers(process string) (out []string) {
	for _, in := range s.Instances {
		if name := title(in.Service, in.Version); in.Owner == process && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// offered are the services that are listed with a version.
func (s siteState) offered() []string {
	var out []string
	for _, in := range s.Instances {
		if in.Version != "" && !slices.Contains(out, in.Service) {
			out = append(out, in.Service)
		}
	}
	slices.Sort(out)
	return out
}

// unruled are the services of which several versions run, and no rule speaks.
func (s siteState) unruled() []string {
	log, err := s.log()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(s.offered(), func(service string) bool {
		_, known := log.Rule(service)
		return known || len(s.running(service)) < 2
	})
}

// running are the versions of a service that are listed.
func (s siteState) running(service string) []string {
	var out []string
	for _, in := range s.Instances {
		if in.Service == service && in.Version != "" && !slices.Contains(out, in.Version) {
			out = append(out, in.Version)
		}
	}
	slices.Sort(out)
	return out
}
