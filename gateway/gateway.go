package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/webpath"
	"github.com/skerry/skerry/rpc"
)

// Gateway is the edge of a site, in front of the services of its registry.
type Gateway struct {
	node    Node
	cfg     Config
	proxies []netip.Prefix // of TrustedProxies
	table   table
	inUse   inUse
	ups     []*upstream

	streams  streamCount
	stopping chan struct{} // closed when Serve begins to stop
	stop     func()
}

// New makes a gateway. It reads the .thrift files of Thrift routes and does no other I/O. The node
// looks up the routes' services from now on.
func New(node Node, cfg Config) (*Gateway, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	proxies, err := cfg.Trusted()
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		node: node, cfg: cfg, proxies: proxies, stopping: make(chan struct{}),
		streams: streamCount{most: cfg.MaxStreams, mostFrom: cfg.MaxStreamsPerAddress},
	}
	g.stop = sync.OnceFunc(func() { close(g.stopping) })
	node.BeGateway()
	for i, r := range cfg.Routes {
		host, segments, err := r.Place()
		if err == nil {
			var serve http.HandlerFunc
			serve, err = g.handler(r)
			g.table.add(host, segments, &entrance{Route: r, serve: serve})
		}
		if err != nil {
			return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
		}
	}
	return g, nil
}

// target serves the requests of a route.
type target interface {
	// prepare reads the part of the request that must be there before its trace begins. It reports
	// false when it has answered the request itself.
	prepare(w http.ResponseWriter, r *http.Request, v *visit) bool

	http.Handler // within the trace
}

// handler serves a route: its target within a trace.
func (g *Gateway) handler(r config.Route) (http.HandlerFunc, error) {
	var t target
	if r.Thrift != "" {
		edge, err := newThriftEdge(g, r)
		if err != nil {
			return nil, err
		}
		t = edge
	} else {
		t = newProxy(g, r)
	}
	entry := Entry{StickyCookie: g.cfg.StickyCookie, StickyHeader: g.cfg.StickyHeader}
	agent := g.node.Rollout()
	origin := agent.Origin("gateway "+r.Host+r.Path, "")
	return func(w http.ResponseWriter, req *http.Request) {
		v := visitOf(req.Context())
		v.service, v.route = r.Service, r.Path
		if !t.prepare(w, req, v) {
			return
		}
		agent.Await(req.Context())
		v.arrival = entry.read(req, agent.Log(), tableOf(g.node), v.from.client)
		origin.Begin(&v.trace, v.seed, v.mark)
		defer v.end(r.Timeout)
		ctx, cancel := context.WithCancel(v.arrival.context(req.Context(), &v.trace))
		defer cancel()
		t.ServeHTTP(w, req.WithContext(ctx))
		v.complete = true
	}, nil
}

// ServeHTTP serves a user's request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &writer{
		ResponseWriter: w,
		answered:       func() { answered(r.Context()) },
		idle:           g.cfg.WebSocketIdle,
		limit:          g.cfg.BodyIdle,
		perStream:      r.ProtoMajor > 1,
	}
	if c, ok := r.Context().Value(clientKey{}).(*client); ok {
		c.unserved.Store(false)
	}
	body := pace(out, r, g.cfg.BodyIdle, out.sent) // also for a request that is refused
	defer body.stop()
	if body != nil {
		_ = http.NewResponseController(w).EnableFullDuplex() // answers wait for no body, as in HTTP/2
	}
	g.serve(out, r, body)
	body.finish(out)
}

func (g *Gateway) serve(out *writer, r *http.Request, body *pacedBody) {
	if g.cfg.Health != "none" && r.URL.Path == g.cfg.Health {
		g.health(out)
		return
	}
	defer g.inUse.begin()()
	v := &visit{id: newRequestID(), present: r.Context(), upload: body}
	begun := time.Now()
	defer func() {
		took := time.Since(begun)
		v.log(r, out, took, g.cfg.Logger)
		g.keepSpan(v, r, out, begun, took)
	}()
	if refused := g.admit(v, r); refused != nil {
		v.refuse(out, refused)
		return
	}
	r, done := attend(r, out, g.cfg.BodyIdle)
	defer done()
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	v.entrance.serve(out, r)
}

// admit checks a request before any work begins, and finds its route.
func (g *Gateway) admit(v *visit, r *http.Request) *refusal {
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return refuse(http.StatusMethodNotAllowed, "this gateway serves no %s", r.Method)
	case r.RequestURI != "" && r.RequestURI[0] != '/', r.URL.Host != "", r.URL.Opaque != "":
		return refuse(http.StatusBadRequest, "this gateway is no forward proxy: ask for a path such as /x")
	}
	host, err := webpath.HostName(r.Host)
	if err != nil {
		return refuse(http.StatusBadRequest, "header Host: %v", err)
	}
	if v.path, err = webpath.Read(r.URL); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	v.entrance = g.table.find(host, v.path.Segments)
	if v.entrance != g.table.find(host, v.path.Plain) {
		return refuse(http.StatusBadRequest,
			"the path leads elsewhere when it is decoded once more, or without its empty segments and parameters")
	}
	if v.entrance == nil {
		return refuse(http.StatusNotFound, "nothing is served here")
	}
	if v.path.EncodedSlash && v.entrance.refusesEncodedSlash(v.path) {
		return refuse(http.StatusBadRequest, "an encoded slash can't be in the path here")
	}
	v.from = provenanceOf(r, g.proxies)
	return upgrade(r)
}

// health reports whether the gateway can serve requests: traces may begin once the site's rules are
// known.
func (g *Gateway) health(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	if agent := g.node.Rollout(); agent.Ready() {
		fmt.Fprintln(w, "ok, rules", agent.Log().Last())
		return
	}
	http.Error(w, "starting: the site's rules are not known yet", http.StatusServiceUnavailable)
}

// visit is one request on its way through the gateway.
type visit struct {
	id       string
	path     webpath.Path
	entrance *entrance // nil while no route was found
	from     provenance
	sent     *http.Request // as the client sent it
	upload   *pacedBody    // nil without one
	body     payload
	call     thriftCall
	arrival
	trace    participant.Trace
	present  context.Context // ends at the latest when the client closes its side
	service  string
	route    string // path of the route
	version  string // that the rules name; "" while they do not name the service
	instance string // of the last attempt
	attempts int
	pending  func()      // reports the end of the last attempt to balancers
	told     atomic.Bool // the client of a stream was told to come again, some time ago
	complete bool        // the upstream's response came to its end
	err      error       // reason for a missing response
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// end ends the trace. The trace stays for linger if the upstream may still be at work.
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
