package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// Signer signs texts with an operator's key.
type Signer interface {
	Sign(p rollout.Purpose, text string) (rollout.Proof, error)
}

// Store keeps the rule log of a site.
type Store interface {
	// Since returns the committed entries after a generation, oldest first.
	Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error)
	// Append commits an entry that follows the newest one in number and hash.
	// It refuses others with rollout.ErrFork or rollout.ErrGap. The newest
	// entry again is accepted without effect. After any other error, Since
	// shows whether the entry was committed.
	Append(ctx context.Context, e rollout.Entry) error
	// Adopt replaces the stored log by a whole one, after the store has lost
	// entries or its log has forked: see rollout.Continues.
	Adopt(ctx context.Context, whole []rollout.Entry) error
}

// Peer is one process of the site, reached by its internal service.
type Peer interface {
	Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error)
	Learn(ctx context.Context, entries ...rollout.Entry) error
	Promise(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error
	Abandon(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error
	Reject(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error
	Promised(ctx context.Context) (*rollout.Entry, error)
	Report(ctx context.Context, q rollout.Question) (rollout.Report, error)
	Served(ctx context.Context, slow time.Duration, slowOf map[string]time.Duration) ([]Served, error)
	// Sees returns the versions of each service that the process can call now.
	// The process starts to look for services that it has not called yet.
	Sees(ctx context.Context, services []string) (map[string][]string, error)
	Leave(ctx context.Context, service, version string) (bool, error)
	// CutStreams ends the process's streams of a version that a release has told to move.
	CutStreams(ctx context.Context, service, version string) (int, error)
}

// Site lists the processes and instances for a controller.
type Site interface {
	// Members returns every process that may be alive, also processes that have
	// left the lists.
	Members(ctx context.Context) ([]Member, error)
	// Ended reports whether a process is dead for certain, because another
	// process on its host says so. place is Report.Place of the process. It may
	// be empty for a member.
	Ended(ctx context.Context, process, place string) bool
	// Instances returns the registered instances of a service.
	Instances(ctx context.Context, service string) ([]Instance, error)
}

// Member is one process on the membership list.
type Member struct {
	Process string // registry.Owner.String()
	Addr    string // its address, for display
	Peer    Peer
	Gone    string    // how it has left the lists; "" while it is listed
	Heard   time.Time // when it was last in a list
}

// Instance is one registration of a service.
type Instance struct {
	Process, Service, Version, Addr string
}

// Served holds a process's counts, since its start, for one version of a
// service: the calls that it served, or those that it made to one instance.
type Served struct {
	Service, Version string
	Made             bool   // calls that this process made to Peer
	Peer             string // the instance's address; "" if the call ended before one was chosen
	Count
	Copies Count // calls that belong to copies of calls, by the site's policy
}

// Count holds numbers of calls.
type Count struct {
	Calls, Failures int64
	Slow            int64            // took longer than the question's limit
	Kinds           map[string]int64 // failures by health.Outcome
	Denied          int64            // copies that ended at a call that a copy may not make; not counted as failures
}

// Errors of a Controller.
var (
	// ErrFrozen: the log can't be read or written now. No step is committed.
	ErrFrozen = errors.New("the rule log is frozen")
	// ErrRestored: processes have applied entries that the log lacks, because it
	// was restored from an older copy. See Controller.Adopt.
	ErrRestored = errors.New("processes have applied rules that the log does not hold")
	// ErrForked: the site has several logs, and none continues the others. It
	// wraps rollout.ErrFork. See Controller.Adopt.
	ErrForked = fmt.Errorf("%w", rollout.ErrFork)
	// ErrTooOld: a process does not understand the needs of the next entry.
	ErrTooOld = errors.New("processes can't obey the step: skerry is too old there")
	// ErrSilent: a process does not answer, and its death is not certified.
	ErrSilent = errors.New("processes do not answer")
	// ErrUnseen: a process that calls a service knows no instance of the
	// version that its requests would meet.
	ErrUnseen = errors.New("processes do not know the new version yet")
	// ErrDatabaseKept: some processes keep the log in a database, but the
	// command asks the processes to keep it.
	ErrDatabaseKept = rollout.ErrDatabaseKept
	// ErrOpen: another release is open.
	ErrOpen = errors.New("a release is open")
	// ErrNoMoment: within the patience of the modules, live work always needed
	// the old version. The text of an error goes on with that time.
	ErrNoMoment = errors.New("work always needed the old version within the patience")
	// ErrGuard: a new version broke a bound.
	ErrGuard = errors.New("the guard turns back")
	// ErrUnjudged: a new version had too few calls to be judged. The release
	// stays at its share.
	ErrUnjudged = errors.New("too few calls to judge by")
)
