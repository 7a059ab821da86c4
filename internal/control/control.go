package control

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/operator"
)

// Operator signs the steps by which a site's rules change.
type Operator struct {
	Name    string          // for the audit trail
	Signer  operator.Signer // the operator's key; nil: the site's key signs, where no operators are named
	Without []string        // processes, host/pid or hosts that the operator vouches are dead

	Progress func(operator.Progress) // hears what a long step waits for; may be nil
}

// Releases is the operator's side of releases: the steps on the rule log of the
// node's site, in the database or, where there is none, in the processes.
func Releases(n *skerry.Node, o Operator) *operator.Controller {
	site := newSite(n)
	m := n.Membership()
	if o.Signer == nil {
		o.Signer = m.Trust().SiteSigner()
	}
	c := operator.Config{
		Site:     site,
		Store:    &operator.Ballot{Site: site, Signer: o.Signer, Without: o.Without},
		By:       o.Name,
		Without:  o.Without,
		Progress: o.Progress,
		Cluster:  m.Agent().Cluster(),
		Trust:    m.Trust(),
		Signer:   o.Signer,
	}
	if db := m.Database(); db != nil {
		c.Store = db.Rules()
	}
	return operator.New(c)
}

// SignerOf names the operator that has signed an entry of the rule log, by
// the keys that the node trusts now.
func SignerOf(n *skerry.Node, e rollout.Entry) (string, error) {
	return e.SignedBy(n.Membership().Trust())
}

// MemberKeys are the fingerprints of the site's keys that a process verifies
// by; the first one signs.
type MemberKeys struct {
	Process string
	Keys    []string
}

// Keyrings asks every process of the site by which keys it verifies; silent are
// those that do not answer.
func Keyrings(ctx context.Context, n *skerry.Node) (list []MemberKeys, silent []string, err error) {
	var mu sync.Mutex
	err = askMembers(ctx, n, func(ctx context.Context, p *membership.Peer) {
		id, failed := p.Client().WhoAmI(ctx)
		mu.Lock()
		defer mu.Unlock()
		if failed != nil {
			silent = append(silent, p.Owner.String())
			return
		}
		list = append(list, MemberKeys{p.Owner.String(), id.GetKeys()})
	})
	slices.SortFunc(list, func(a, b MemberKeys) int { return cmp.Compare(a.Process, b.Process) })
	slices.Sort(silent)
	return list, silent, err
}

// askMembers asks every other process of the site that may be alive, all at once.
func askMembers(ctx context.Context, n *skerry.Node, ask func(context.Context, *membership.Peer)) error {
	all, err := newSite(n).members(ctx)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(all, func(k membership.Member) bool { return k.Owner == n.Membership().Owner() })
	n.Membership().Each(ctx, others, ask)
	return nil
}

// Answered is how many calls of a service at an address each process of the site
// has got an answer to so far, by process, as far as they can be asked. A
// provider for which one of these numbers grows is alive, whatever a check says.
func Answered(ctx context.Context, n *skerry.Node, service, addr string) map[string]int64 {
	var mu sync.Mutex
	all := map[string]int64{}
	m := n.Membership()
	listed := slices.DeleteFunc(m.List(), func(k membership.Member) bool { return k.Gone != "" })
	m.Each(ctx, listed, func(ctx context.Context, p *membership.Peer) {
		list, err := peer{p}.Served(ctx, 0, nil)
		if err != nil {
			return
		}
		answered := int64(0)
		for _, s := range list {
			if s.Made && s.Service == service && s.Peer == addr {
				answered += s.Calls - s.Failures
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all[p.Owner.String()] = answered
	})
	return all
}
