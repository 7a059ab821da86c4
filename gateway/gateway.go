package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rpc"
)

// Gateway is the edge of a site, in front of the services of its registry.
type Gateway struct {
	node  Node
	cfg   Config
	mux   http.ServeMux
	inUse inUse
	ups   []*upstream
}

// New makes a gateway. It reads the .thrift files of Thrift routes and does no
// other I/O; the node looks up the routes' services from now on.
func New(node Node, cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	g := &Gateway{node: node, cfg: cfg}
	for i, r := range cfg.Routes {
		r.Timeout = cmp.Or(r.Timeout, defaultTimeout)
		h, err := g.handler(r)
		if err != nil {
			return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
		}
		for _, pattern := range r.patterns() {
			g.mux.Handle(pattern, h)
		}
	}
	return g, nil
}

// handler is what serves a route: its target within a trace.
func (g *Gateway) handler(r Route) (http.Handler, error) {
	var target http.Handler
	if r.Thrift != "" {
		t, err := newThriftEdge(g, r)
		if err != nil {
			return nil, err
		}
		target = t
	} else {
		target = newProxy(g, r)
	}
	entry := Entry{StickyCookie: g.cfg.StickyCookie, StickyHeader: g.cfg.StickyHeader}
	agent := g.node.Rollout()
	origin := agent.Origin("gateway "+r.Host+r.Path, "")
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		agent.Await(req.Context())
		v := visitOf(req.Context())
		v.arrival, v.service = entry.read(req, agent.Log()), r.Service
		origin.Begin(&v.trace, v.seed, v.mark)
		defer v.end(r.Timeout)
		ctx, cancel := context.WithCancel(v.arrival.context(req.Context(), &v.trace))
		defer cancel()
		target.ServeHTTP(w, req.WithContext(ctx))
		v.complete = true
	}), nil
}

// ServeHTTP serves a user's request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.cfg.Health != "" && r.URL.Path == g.cfg.Health {
		g.health(w)
		return
	}
	defer g.inUse.begin()()
	v := &visit{}
	out := &writer{ResponseWriter: w}
	begun := time.Now()
	defer func() {
		v.log(r, out, time.Since(begun), g.cfg.Logger)
	}()
	if r.Method == http.MethodConnect {
		http.Error(out, "this gateway is no forward proxy", http.StatusMethodNotAllowed)
		return
	}
	g.mux.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
}

// health says whether requests can be served: traces may begin once the
// site's rules are known.
func (g *Gateway) health(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	if agent := g.node.Rollout(); agent.Known() {
		fmt.Fprintln(w, "ok, rules", agent.Log().Last())
		return
	}
	http.Error(w, "starting: the site's rules are not known yet", http.StatusServiceUnavailable)
}

// visit is one request on its way through the gateway.
type visit struct {
	arrival
	trace    rollout.Trace
	service  string
	version  string // that the rules name; "" while they say nothing of the service
	instance string // of the last attempt
	attempts int
	pending  func() // ends the last attempt for balancers
	complete bool   // the upstream's response came to its end
	err      error  // why there was none
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// end ends the trace. An upstream that may still be at work keeps it for as
// long as it is given.
func (v *visit) end(linger time.Duration) {
	if v.pending != nil {
		v.pending()
	}
	unexecuted := errors.Is(v.err, errUnexecuted) || rpc.SafeToRetry(v.err)
	if v.attempts > 0 && !unexecuted && (v.err != nil || !v.complete) {
		time.AfterFunc(linger, v.trace.HandOff())
	}
	v.trace.End()
}
