package skerry

import (
	"context"
	"math/rand/v2"

	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc"
)

// Rollout is the process's part in releases: the rules that it has applied, its promises, and the
// work that runs by each generation of the rules.
func (n *Node) Rollout() *participant.Agent { return n.rules }

// PolicyTable is the site's policy in force, for package gateway; nil without one.
func (n *Node) PolicyTable() *policy.Table { return n.members.Policy().Table() }

// BeGateway tells the site that this process takes in users' requests, for package gateway. The gateways of a site
// share the policy's limits of HTTP services.
func (n *Node) BeGateway() { n.members.BeGateway() }

// AdmitForeign obeys the site's policy for a call that this process forwards to a service of another protocol, for
// package gateway; see [rpc.Server.AdmitForeign]. It fills in Instances and Sharing.
func (n *Node) AdmitForeign(c *rpc.ForeignCall) (end func(), err error) {
	c.Instances, c.Sharing = n.lists.Living(c.Service), n.members.Gateways()
	return n.offers.server.AdmitForeign(c)
}

// Begin starts a trace for work without a causing call: a job, a timer, a message from another
// system. All calls made with the returned context, and all further calls of their callees, meet
// one version of each service. job names the work in release status. Call end when the work is
// over: until then it holds back the end of the versions that it may still need. In the first
// moments of a process Begin waits until the site's rules are known; see [participant.Agent.Await].
func (n *Node) Begin(ctx context.Context, job string) (_ context.Context, end func()) {
	if info := rpc.CallInfoFrom(ctx); info == nil || info.Trace == "" {
		ctx = rpc.WithTrace(ctx, tracecontext.NextSpan(""), "")
	}
	n.rules.Await(ctx)
	t := n.rules.Begin(job, rand.Uint64(), "")
	return t.Context(ctx), t.End
}

// CallsOnly restricts the work of ctx to calls of these services from here on; without names, to
// none. Releases of services that these do not call need not wait for the work any more, for
// example a stream that stays open or a job of hours. A call to another service fails as
// rpc.CallRestricted.
func CallsOnly(ctx context.Context, services ...string) {
	if t := participant.TraceFrom(ctx); t != nil {
		t.RestrictCalls(services...)
	}
}

// Detach gives work that outlives its request a context and a trace of its own. It is not cancelled
// with the request, and meets the versions that are in service when it begins. Call end when the
// work is over.
func Detach(ctx context.Context) (_ context.Context, end func()) {
	ctx = context.WithoutCancel(ctx)
	t := participant.TraceFrom(ctx)
	if t == nil {
		return ctx, func() {}
	}
	t = t.Detach()
	return t.Context(ctx), t.End
}
