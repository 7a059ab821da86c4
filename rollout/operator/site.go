package operator

import (
	"context"
	"errors"
	"time"

	"github.com/skerry/skerry/rollout"
)

// Signer makes proofs with an operator's key.
type Signer interface {
	Sign(p rollout.Purpose, text string) (rollout.Proof, error)
}

// Store keeps the rule log of a site.
type Store interface {
	// Since returns the committed entries after a generation, oldest first.
	Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error)
	// Append commits an entry that follows the newest one in number and hash.
	// Anything else is refused with rollout.ErrFork or rollout.ErrGap; the
	// newest entry again is no error. Whether an entry was committed whose
	// Append failed otherwise is found out by Since.
	Append(ctx context.Context, e rollout.Entry) error
	// Adopt makes a whole log the one that is kept, after the log here has
	// lost entries, or has parted from it: see rollout.Continues.
	Adopt(ctx context.Context, whole []rollout.Entry) error
}

// Peer is one process of the site, over its internal service.
type Peer interface {
	Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error)
	Learn(ctx context.Context, entries ...rollout.Entry) error
	Promise(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error
	Abandon(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error
	Reject(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error
	Promised(ctx context.Context) (*rollout.Entry, error)
	Report(ctx context.Context, q rollout.Question) (rollout.Report, error)
	Served(ctx context.Context, slow time.Duration, slowOf map[string]time.Duration) ([]Served, error)
	// Sees lists the versions of services that it could call now. It begins
	// to look for those that it has not called yet.
	Sees(ctx context.Context, services []string) (map[string][]string, error)
	Leave(ctx context.Context, service, version string) (bool, error)
}

// Site is where a controller finds the processes.
type Site interface {
	// Members lists every process that may be alive, listed or not.
	Members(ctx context.Context) ([]Member, error)
	// Ended reports whether a process is dead for certain: another process of
	// its host says so. place is where it ran, by its reports; members need
	// none.
	Ended(ctx context.Context, process, place string) bool
	// Instances lists what is registered now.
	Instances(ctx context.Context, service string) ([]Instance, error)
}

// Member is one process on the membership list.
type Member struct {
	Process string // registry.Owner.String()
	Addr    string // where it can be reached, for people
	Peer    Peer
	Gone    string    // how it left the lists; "" while it is listed
	Heard   time.Time // when it was listed last
}

// Instance is one registration of a service.
type Instance struct {
	Process, Service, Version, Addr string
}

// Served is what a process has counted of the calls of one version of a
// service since it began: those that it served, or those that it made to one
// instance.
type Served struct {
	Service, Version string
	Made             bool   // by this process, to Peer
	Peer             string // the instance's address; "" when the call ended before one was chosen
	Count
}

// Count is a number of calls.
type Count struct {
	Calls, Failures int64
	Slow            int64            // took longer than was asked about
	Kinds           map[string]int64 // the failures, by health.Outcome
}

// Errors of a Controller.
var (
	// ErrFrozen: the log can't be read or written now; nothing is committed.
	ErrFrozen = errors.New("the rule log is frozen")
	// ErrRestored: processes have applied what the log does not hold: it was
	// restored from an older copy. See Controller.Adopt.
	ErrRestored = errors.New("processes have applied rules that the log does not hold")
	// ErrParted: the site has several logs, of which none continues the others.
	// See Controller.Adopt.
	ErrParted = errors.New("the rule log has parted")
	// ErrTooOld: a process does not know what the next entry needs of it.
	ErrTooOld = errors.New("processes can't obey the step: skerry is too old there")
	// ErrSilent: a process does not answer and nobody certifies its death.
	ErrSilent = errors.New("processes do not answer")
	// ErrUnseen: a process that calls a service knows no instance of the
	// version that its requests would meet.
	ErrUnseen = errors.New("processes do not know the new version yet")
	// ErrDatabaseKept: some processes keep the log in a database, and the command
	// would have it in the processes.
	ErrDatabaseKept = rollout.ErrDatabaseKept
	// ErrOpen: another release is open.
	ErrOpen = errors.New("a release is open")
	// ErrNoMoment: no moment was found in which nobody needed the old version.
	ErrNoMoment = errors.New("no moment without need")
	// ErrGuard: a new version broke a declared bound.
	ErrGuard = errors.New("the guard turns back")
	// ErrUnjudged: a new version had too few calls to be judged; the ramp
	// stays at its share.
	ErrUnjudged = errors.New("too few calls to judge by")
)
