package skerry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rpc"
)

// peerLimit is how long one question to a process may take.
const peerLimit = 3 * time.Second

// peer is another process's internal service.
type peer struct {
	member
	calls  *rpc.Client
	client func() *wire.InternalClient
}

// peer makes a connection for a few questions; they are rare.
func (n *Node) peer(m member) (*peer, error) {
	c, err := rpc.NewClient(rpc.ClientConfig{
		Resolver: rpc.Static(&rpc.Endpoint{ID: m.Addr, Service: internalName, Addr: m.Addr, TLS: m.TLS}),
		TLS:      n.tls.client,
		Caller:   nodeName,
	})
	if err != nil {
		return nil, err
	}
	t, err := c.Service(internalName, rpc.ServiceOptions{Timeout: peerLimit})
	if err != nil {
		c.Close()
		return nil, err
	}
	return &peer{m, c, func() *wire.InternalClient { return wire.NewInternalClient(t) }}, nil
}

// Close ends the connection.
func (p *peer) Close() error { return p.calls.Close() }

// same checks that the process is the one that was meant, not a later one at
// its address.
func (p *peer) same(ctx context.Context) error {
	id, err := p.client().WhoAmI(ctx)
	if err == nil && ownerOf(id.GetOwner()) != p.Owner {
		err = fmt.Errorf("%s is now the address of %v", p.Addr, ownerOf(id.GetOwner()))
	}
	return err
}

// Since fetches the entries after a generation.
func (p *peer) Since(ctx context.Context, g rollout.Generation) ([]rollout.Entry, error) {
	texts, err := p.client().RulesSince(ctx, g.String())
	if err != nil {
		return nil, err
	}
	return unmarshalEntries(texts)
}

// Learn brings it committed entries.
func (p *peer) Learn(ctx context.Context, entries ...rollout.Entry) error {
	texts, err := marshalEntries(entries)
	if err == nil {
		_, err = p.client().LearnRules(ctx, texts)
	}
	return refused(err)
}

// Promise asks it to accept no other entry of that number.
func (p *peer) Promise(ctx context.Context, e rollout.Entry) error {
	return p.withEntry(ctx, e, (*wire.InternalClient).Promise)
}

// Abandon takes the promise back.
func (p *peer) Abandon(ctx context.Context, e rollout.Entry) error {
	return p.withEntry(ctx, e, (*wire.InternalClient).Abandon)
}

func (p *peer) withEntry(ctx context.Context, e rollout.Entry, do func(*wire.InternalClient, context.Context, []byte) error) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := p.same(ctx); err != nil {
		return err
	}
	return refused(do(p.client(), ctx, text))
}

// Promised is the entry that it has promised and that is not committed.
func (p *peer) Promised(ctx context.Context) (*rollout.Entry, error) {
	text, err := p.client().Promised(ctx)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	var e rollout.Entry
	return &e, json.Unmarshal(text, &e)
}

// Report asks for its part of a drain's round.
func (p *peer) Report(ctx context.Context, round uint64, services []string) (rollout.Report, error) {
	var r rollout.Report
	text, err := p.client().Report(ctx, int64(round), services)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil && r.Process != p.Owner.String() {
		err = fmt.Errorf("%s is now the address of %s", p.Addr, r.Process)
	}
	return r, err
}

// members asks whom it knows.
func (p *peer) members(ctx context.Context, now time.Time) ([]member, error) {
	list, err := p.client().Members(ctx)
	var out []member
	for _, w := range list {
		m := member{Owner: ownerOf(w.GetOwner()), Addr: w.Addr, TLS: w.GetTLS(), Place: w.GetPlace(), Heard: now, Gone: w.GetGone()}
		m.Heard = now.Add(-time.Duration(w.GetSilentMs()) * time.Millisecond)
		out = append(out, m)
	}
	return out, err
}

// ended asks it whether a process of its host is dead for certain.
func (p *peer) ended(ctx context.Context, o registry.Owner, place string) (bool, error) {
	return p.client().Ended(ctx, wireOwner(o), place)
}
