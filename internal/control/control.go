package control

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Operator signs the steps that change a site's rules.
type Operator struct {
	Name    string          // for the audit trail
	Signer  operator.Signer // the operator's key; nil: the site's key signs, where no operators are named
	Without []string        // processes or hosts that the operator declares dead, as host/pid or host

	CutStreams bool // Clean ends streams that were told to move

	Progress func(operator.Progress) // called with what a long step waits for; may be nil
}

// Releases returns the controller of releases on the rule log of the node's
// site. The log is in the database, or in the processes of a site without one.
func Releases(n *skerry.Node, o Operator) *operator.Controller {
	site := newSite(n)
	m := n.Membership()
	if o.Signer == nil {
		o.Signer = m.Trust().SiteSigner()
	}
	c := operator.Config{
		Site:       site,
		Store:      &operator.Ballot{Site: site, Signer: o.Signer, Without: o.Without},
		By:         o.Name,
		Without:    o.Without,
		Progress:   o.Progress,
		CutStreams: o.CutStreams,
		Cluster:    m.Agent().Cluster(),
		Trust:      m.Trust(),
		Signer:     o.Signer,
	}
	if db := m.Database(); db != nil {
		c.Store = db.Rules()
	}
	return operator.New(c)
}

// SignerOf returns the name of the operator that signed an entry of the rule
// log. It verifies by the keys that the node trusts now.
func SignerOf(n *skerry.Node, e rollout.Entry) (string, error) {
	return e.SignedBy(n.Membership().Trust())
}

// MemberKeys holds the fingerprints of the site's keys by which a process
// verifies. The process signs with the first one.
type MemberKeys struct {
	Process string
	Keys    []string
}

// Keyrings asks every other process of the site for the keys by which it
// verifies. silent lists the processes that do not answer.
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
	others, err := newSite(n).others(ctx)
	if err != nil {
		return err
	}
	n.Membership().Each(ctx, others, ask)
	return nil
}

// Answered returns, by process of the site, how many calls of a service at an
// address were answered to that process so far. Processes that can't be asked
// are absent. A provider with a growing number at one process is alive, even if
// a check fails.
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
