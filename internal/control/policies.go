package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Policies reads and changes the policy of a site.
type Policies struct {
	n  *skerry.Node
	s  *site
	by Operator
}

// PolicyState is the policy log of a site, and what each process obeys of it.
type PolicyState struct {
	Log       *policylog.Log
	Processes []PolicyProcess          // in the order of their names
	Ages      map[uint64]time.Duration // how long each item that expires has applied at most
	Away      error                    // why the database was not read; nil when it was read, or there is none
	Doubt     error                    // what of the log is not believed
	Lost      bool                     // the database lacks the newest entry, which needs no confirmation
}

// PolicyProcess is what one process says of the policy.
type PolicyProcess struct {
	Process string
	Status  sitepolicy.Status
	Err     error // it does not answer, or ErrNoPolicies
	Ended   bool  // it does not answer, and is known to have ended; it is still listed
}

// Away reports whether the process can't be connected: it has ended, its port is closed, its host is gone, or the
// network is cut. A process that is silent on a connection, or refuses it in the handshake, is not away.
func (p PolicyProcess) Away() bool {
	var dial *net.OpError
	switch rpc.CodeOf(p.Err) {
	case rpc.ConnectionLost:
		return p.Ended || !errors.Is(p.Err, rpc.ErrSilent)
	case rpc.Unreachable:
		return p.Ended || errors.As(p.Err, &dial) && dial.Op == "dial"
	}
	return p.Ended
}

// ErrNoPolicies: the process is of a release that knows no policies.
var ErrNoPolicies = errors.New("its release of skerry knows no policies: upgrade it")

var errNoAnswer = errors.New("no answer")

// NewPolicies returns the policy of the node's site. The operator signs changes.
func NewPolicies(n *skerry.Node, by Operator) *Policies {
	if by.Signer == nil {
		by.Signer = n.Membership().Trust().SiteSigner()
	}
	return &Policies{n: n, s: newSite(n), by: by}
}

// PolicySignerOf returns the name of the operator that signed an entry, by the keys that the node trusts now.
func PolicySignerOf(n *skerry.Node, e policylog.Entry) (string, error) {
	return e.SignedBy(n.Membership().Trust())
}

// Current returns the entry that is in force: the newest, unless it needed a confirmation and did not get it. Its
// number is 0 when no policy is in force.
func (s PolicyState) Current() policylog.Entry {
	newest, _ := s.Log.Newest()
	if newest.Confirm == 0 {
		return newest
	}
	applied := time.Since(newest.At) // without an answer the clocks of both hosts count
	for _, p := range s.Processes {
		if p.Err != nil || p.Status.Newest < newest.Number || p.Status.Obey == sitepolicy.ObeysNone {
			continue
		}
		if applied = math.MaxInt64; p.Status.Hash == newest.Hash() {
			return newest
		}
	}
	e, _ := s.Log.Current(applied)
	return e
}

// Look reads the policy log from the database and from all processes. It fails only if it can't find the processes.
func (p *Policies) Look(ctx context.Context) (PolicyState, error) {
	holder := p.s.m.Policy()
	var state PolicyState
	var stored []policylog.Stored
	if db := p.s.m.Database(); db != nil {
		limited, cancel := context.WithTimeout(ctx, siteLimit)
		stored, state.Away = db.Policies().Entries(limited)
		cancel()
		_, state.Doubt = learnStored(holder, stored)
	}
	others, err := p.others(ctx)
	if err != nil {
		return state, err
	}
	said := map[string]PolicyProcess{}
	state.Ages = map[uint64]time.Duration{}
	var mu sync.Mutex
	ask := func(ctx context.Context, peer *membership.Peer) {
		theirs, err := peer.Policies(ctx, holder.Log())
		if rpc.CodeOf(err) == rpc.UnknownMethod {
			err = ErrNoPolicies
		}
		_, doubt := holder.Learn(nil, theirs.Ages, theirs.Entries...)
		mu.Lock()
		defer mu.Unlock()
		state.Doubt = errors.Join(state.Doubt, doubt)
		for id, age := range theirs.Ages {
			state.Ages[id] = max(state.Ages[id], age)
		}
		name := peer.Owner.String()
		said[name] = PolicyProcess{Process: name, Status: theirs.Status, Err: err}
	}
	if len(others) > 0 { // the first one mostly has all of the log
		p.s.m.Each(ctx, others[:1], ask)
		p.s.m.Each(ctx, others[1:], ask)
	}
	for _, k := range others {
		name := k.Owner.String()
		if _, asked := said[name]; !asked {
			said[name] = PolicyProcess{Process: name, Err: errNoAnswer}
		}
	}
	for _, k := range others {
		process := said[k.Owner.String()]
		if process.Err != nil && !errors.Is(process.Err, ErrNoPolicies) {
			process.Ended = p.s.Ended(ctx, process.Process, k.Place)
			said[process.Process] = process
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		state.Processes = append(state.Processes, said[name])
	}
	state.Log = holder.Log()
	if newest, some := state.Log.Newest(); some && p.s.m.Database() != nil && state.Away == nil {
		state.Lost = newest.Confirm == 0 && !holds(stored, newest)
	}
	return state, nil
}

func holds(stored []policylog.Stored, e policylog.Entry) bool {
	return slices.ContainsFunc(stored, func(o policylog.Stored) bool { return o.Hash() == e.Hash() })
}

// learnStored takes in what the database has.
func learnStored(holder *sitepolicy.Holder, stored []policylog.Stored) (bool, error) {
	entries, ages := sitepolicy.FromStore(stored)
	return holder.Learn(nil, ages, entries...)
}

// Learn reads what the database has of the policy log, and waits for the newest policy that a process announces, as
// long as ctx lives. It returns the entry in force, by this process's clock; its number is 0 without one.
func (p *Policies) Learn(ctx context.Context) policylog.Entry {
	holder := p.s.m.Policy()
	if db := p.s.m.Database(); db != nil {
		entries, _ := db.Policies().Entries(ctx) // without them the processes' count
		_, _ = learnStored(holder, entries)
	}
	p.s.m.AwaitPolicy(ctx)
	if holder.Table() == nil {
		return policylog.Entry{}
	}
	e, _ := holder.Log().Find(holder.Status().Hash)
	return e
}

// others are the other processes that may be alive: those that are listed first.
func (p *Policies) others(ctx context.Context) ([]membership.Member, error) {
	all, err := p.s.others(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b membership.Member) int {
		return cmp.Or(cmp.Compare(a.Gone, b.Gone), cmp.Compare(a.Owner.String(), b.Owner.String()))
	})
	return all, nil
}

// Put signs an entry, writes it to the database, and brings it to all processes. state is the one that it was made on.
// kept is nil, or why the database does not have it yet. The error wraps policylog.ErrStale when the entry is not made
// on the newest one.
func (p *Policies) Put(ctx context.Context, state PolicyState, e policylog.Entry) (
	put policylog.Entry, kept, err error) {
	e.By = p.by.Name
	e, err = e.Seal()
	if err != nil {
		return e, nil, err
	}
	proof, err := p.by.Signer.Sign(policylog.Purpose, e.Body())
	if err != nil {
		return e, nil, err
	}
	e = e.WithProof(proof)
	if _, err := PolicySignerOf(p.n, e); err != nil {
		return e, nil, fmt.Errorf("the site would not believe it: %w", err)
	}
	newest, _ := p.s.m.Policy().Log().Newest()
	if err := e.Follows(newest); err != nil {
		return e, nil, err
	}
	if db := p.s.m.Database(); db != nil {
		kept = p.store(ctx, db.Policies(), state, e)
		if kept != nil && !errors.Is(kept, registry.ErrUnavailable) && !errors.Is(kept, context.DeadlineExceeded) {
			return e, nil, kept
		}
	}
	if _, err := p.s.m.Policy().Learn(nil, nil, e); err != nil {
		return e, kept, err
	}
	taken, refused := p.bring(ctx, state, e)
	if taken == 0 && (kept != nil || p.s.m.Database() == nil) {
		return e, kept, errors.Join(errors.New("no process has taken it"), refused, kept)
	}
	return e, kept, nil
}

// store writes an entry to the database, with those before it that were written while the database was away.
func (p *Policies) store(ctx context.Context, store policylog.Store, state PolicyState, e policylog.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, siteLimit)
	defer cancel()
	if err := complete(ctx, store, state); err != nil {
		return err
	}
	return store.Append(ctx, e)
}

// Keep writes the entries of the log that the database lacks, as after a restore. Processes with the right to write
// do the same; Keep is for a site in which none has done so.
func (p *Policies) Keep(ctx context.Context, state PolicyState) error {
	ctx, cancel := context.WithTimeout(ctx, siteLimit)
	defer cancel()
	return complete(ctx, p.s.m.Database().Policies(), state)
}

// complete writes the entries of the log that a store lacks, except those that are older than all that it has.
func complete(ctx context.Context, store policylog.Store, state PolicyState) error {
	there, err := store.Entries(ctx)
	if err != nil {
		return err
	}
	lacks := slices.DeleteFunc(slices.Clone(state.Log.Entries()), func(known policylog.Entry) bool {
		return holds(there, known)
	})
	oldest := uint64(0)
	if len(there) > 0 {
		oldest = there[len(there)-1].Number
	}
	lacks = slices.DeleteFunc(lacks, func(known policylog.Entry) bool { return known.Number < oldest })
	if len(lacks) == 0 {
		return nil
	}
	return store.Merge(ctx, lacks...)
}

// bring gives the entry to all processes, and counts those that have taken it, or may have. refused is one process's
// reason.
func (p *Policies) bring(ctx context.Context, state PolicyState, e policylog.Entry) (taken int, refused error) {
	others, err := p.others(ctx)
	if err != nil {
		return 0, err
	}
	entries := []policylog.Entry{e}
	for last := e; last.Confirm > 0; { // a process goes back to the first one that needed no confirmation
		before, known := state.Log.Find(last.Previous)
		if !known {
			break
		}
		entries, last = slices.Insert(entries, 0, before), before
	}
	var mu sync.Mutex
	p.s.m.Each(ctx, others, func(ctx context.Context, peer *membership.Peer) {
		_, err := peer.BringPolicies(ctx, entries...)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil, rpc.CodeOf(err) == rpc.DeadlineExceeded:
			taken++ // a busy process reads a long text for longer than a call lasts; Await says whether it obeys
		default:
			refused = fmt.Errorf("%s: %w", peer.Owner, err)
		}
	})
	return taken, refused
}

// policyPeriod is the time between two questions whether an entry is obeyed.
const policyPeriod = 100 * time.Millisecond

// Await waits until all processes obey an entry, and returns what they say then, or at the end of ctx.
func (p *Policies) Await(ctx context.Context, e policylog.Entry) (PolicyState, error) {
	for {
		asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), siteLimit)
		state, err := p.Look(asked)
		cancel()
		waits := slices.ContainsFunc(state.Processes, func(s PolicyProcess) bool {
			return s.Err == nil && s.Status.Hash != e.Hash() && s.Status.Obey != sitepolicy.ObeysNone
		})
		if err != nil || !waits || run.Sleep(ctx, policyPeriod) != nil {
			return state, err
		}
	}
}
