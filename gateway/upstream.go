package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/rpc"
)

const (
	retryPause = 50 * time.Millisecond // before the gateway tries a failed instance again
	idleKept   = 64                    // connections to each instance that are kept between requests
	idleTime   = 30 * time.Second
	lostMost   = 64 // attempts of a request that meets only instances that are gone
)

// upstream sends the requests of one route to instances of the version that the rules name for each
// request.
type upstream struct {
	g           *Gateway
	route       config.Route
	picker      rpc.Picker
	wait        time.Duration // of a request for the next instance; 0: not at all
	kept, fresh *http.Transport
}

func newUpstream(g *Gateway, r config.Route) *upstream {
	u := &upstream{g: g, route: r, picker: g.node.Picker(r.Service)}
	u.wait = max(0, min(r.Timeout, cmp.Or(g.node.ServiceOptions(r.Service).Wait, r.Timeout)))
	u.kept = &http.Transport{
		DialContext:            u.dial,
		ResponseHeaderTimeout:  r.Timeout,
		MaxResponseHeaderBytes: int64(g.cfg.MaxHeader),
		MaxIdleConnsPerHost:    idleKept,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true,
	}
	u.fresh = u.kept.Clone()
	u.fresh.MaxIdleConnsPerHost = -1 // bodies that can't be resent use no kept connection
	return u
}

// attempt is one try of a request at one instance.
type attempt struct {
	u     *upstream
	req   *http.Request // as the proxy made it
	v     *visit
	call  *rpc.Call
	token rollout.Token
	body  payload
	begun time.Time
	ep    *rpc.Endpoint
	ended uint8 // how the latest attempt ended, as it is remembered
	lost  error // error of the latest attempt, if it got no connection; else nil
}

// RoundTrip implements http.RoundTripper. It returns the response of the first attempt that has
// one.
func (u *upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	v := visitOf(req.Context())
	a := attempt{u: u, req: req, v: v, call: u.newCall(req), body: v.body, begun: time.Now()}
	for {
		a.ep = nil
		response, err := a.run()
		if err == nil || !a.again(err) {
			if err != nil && a.ep == nil {
				a.unsent(err)
			}
			version := a.call.Version
			if a.ep != nil {
				version = a.ep.Version
			}
			u.remember(a.begun, a.call.Method, version, a.ended)
			return response, err
		}
	}
}

// unsent counts a request that found no instance.
func (a *attempt) unsent(err error) {
	code := rpc.NoInstance
	switch {
	case errors.Is(err, context.Canceled):
		code = rpc.Canceled
	case errors.Is(err, participant.ErrCallRestricted):
		code = rpc.CallRestricted
	case errors.Is(err, rollout.ErrStale), errors.Is(err, rollout.ErrExpired), errors.Is(err, rollout.ErrOtherLog):
		code = rpc.RefusalCode(err)
	case a.call.Version != "":
		code = rpc.VersionUnavailable
	}
	key := health.Key{Side: health.Client, Service: a.u.route.Service, Method: a.call.Method, Version: a.call.Version}
	a.u.g.node.Stats().Cell(key).Record(code.Outcome(), 0)
	a.ended = remembered(code)
}

func (u *upstream) newCall(req *http.Request) *rpc.Call {
	return &rpc.Call{Service: u.route.Service, Method: methodName(req.Method)}
}

// run makes the attempt. After an error other than errUnexecuted the request may have been
// executed.
func (a *attempt) run() (*http.Response, error) {
	a.v.attempts++
	a.call.Attempt = a.v.attempts
	var err error
	var response *http.Response
	if a.token, _, err = a.v.trace.Send(a.u.route.Service); err != nil {
		err = unexecuted("%w", err)
	} else if response, err = a.send(); err == nil {
		err = refusedBy(response)
	}
	a.v.trace.Returned(!errors.Is(err, errUnexecuted))
	if err != nil {
		return nil, err
	}
	return response, nil
}

// send picks an instance and sends it the request.
func (a *attempt) send() (*http.Response, error) {
	ep, err := a.pick()
	if err != nil {
		return nil, err
	}
	a.lost = nil
	a.ep, a.v.instance = ep, ep.Addr
	if a.v.pending != nil {
		a.v.pending()
	}
	a.v.pending = a.call.Try(ep)
	begun := time.Now()
	transport := a.u.kept
	if !atHand(a.req) || a.req.Header.Get("Upgrade") != "" {
		transport = a.u.fresh
	}
	response, err := transport.RoundTrip(a.request())
	a.report(response, err, time.Since(begun))
	if _, dialled := errors.AsType[*dialError](err); dialled {
		a.lost = err
		return nil, unexecuted("%s: %w", a.u.route.Service, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", a.u.route.Service, ep.Addr, err)
	}
	return response, nil
}

// request is the request as sent: the proxy's request with the trace's token and this attempt's
// body. Its host is a name for the instance alone, so that no other instance shares its
// connections, even at the same address.
func (a *attempt) request() *http.Request {
	req := a.req.Clone(context.WithValue(a.req.Context(), endpointKey{}, a.ep))
	id := sha256.Sum256([]byte(a.ep.ID))
	req.URL.Scheme, req.URL.Host = "http", hex.EncodeToString(id[:16])
	if req.Host == "" {
		req.Host = a.ep.Addr
	}
	req.Header.Set(headerBaggage, withToken(a.token.String(), a.v.baggage))
	a.body.put(req)
	if a.body.stream != nil && req.Trailer != nil {
		a.body.stream.trailers(a.v.sent, req.Trailer)
	}
	return req
}

type endpointKey struct{}

// dial connects to the instance that the request is for.
func (u *upstream) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := u.g.node.Dial(ctx, ctx.Value(endpointKey{}).(*rpc.Endpoint))
	if err != nil {
		return nil, &dialError{err}
	}
	return &answering{Conn: conn, closed: make(chan struct{})}, nil
}

// dialError says that no connection was made, so that nothing was sent.
type dialError struct{ error }

// Unwrap gives the cause.
func (e *dialError) Unwrap() error { return e.error }

// refusedBy is the error of an upstream that has not executed the request.
func refusedBy(r *http.Response) error {
	code := r.Header.Get(headerRefused)
	if r.StatusCode != http.StatusServiceUnavailable || code == "" {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(r.Body, 1024))
	r.Body.Close()
	applied, err := rollout.ParseGeneration(r.Header.Get(headerApplied))
	if err != nil {
		applied = rollout.Generation{} // the answer does not say it
	}
	return &refused{rpc.ParseCode(code), applied, unexecuted("%s: %s", code, text)}
}

// refused is a request that the rules did not admit.
type refused struct {
	code    rpc.Code
	applied rollout.Generation // by the instance that refused the request
	error
}

// Unwrap gives the cause.
func (e *refused) Unwrap() error { return e.error }

// again reports whether the request must be sent once more, and prepares it.
func (a *attempt) again(err error) bool {
	if a.req.Context().Err() != nil || errors.Is(err, errLeft) {
		return false
	}
	r, byRules := errors.AsType[*refused](err)
	if byRules {
		a.catchUp(r.applied)
	}
	unseen := errors.Is(err, errUnexecuted)
	if unseen && a.v.trace.Refresh(a.req.Context(), a.token) {
		a.call, a.v.instance, a.lost = a.u.newCall(a.req), "", nil // newer rules: every instance may be tried again
		return true
	}
	if errors.Is(err, errChanged) {
		return true
	}
	free := a.lost != nil && a.v.attempts < lostMost && a.u.g.cfg.Retries > 0
	if a.v.attempts > a.u.g.cfg.Retries && !free || !a.body.whole() ||
		a.ep == nil && errors.Is(err, rpc.ErrNoInstance) {
		return false
	}
	if byRules {
		return r.code == rpc.RulesNeeded // all other codes are the same at every instance
	}
	return unseen || harmless(a.req) && a.body.none() && !isTimeout(err)
}

// catchUp waits up to rulesLimit for rules that an upstream knows already.
func (a *attempt) catchUp(to rollout.Generation) {
	ctx, cancel := context.WithTimeout(a.req.Context(), rulesLimit)
	defer cancel()
	a.u.g.node.Rollout().CatchUp(ctx, to)
}

// harmless reports whether the request may be executed twice. Its method must be idempotent, and it
// must not ask for an upgrade.
func harmless(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return r.Header.Get("Upgrade") == ""
	}
	return false
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// failure is the code of an attempt that failed.
func (a *attempt) failure(r *http.Response, err error) (code rpc.Code, failed bool) {
	switch _, dialled := errors.AsType[*dialError](err); {
	case dialled:
		return rpc.Unreachable, true
	case err != nil && (a.req.Context().Err() != nil || a.body.fault() != nil):
		return rpc.Canceled, true
	case isTimeout(err):
		return rpc.DeadlineExceeded, true
	case err != nil:
		return rpc.ConnectionLost, true
	case r.StatusCode == http.StatusServiceUnavailable && r.Header.Get(headerRefused) != "":
		return rpc.ParseCode(r.Header.Get(headerRefused)), true
	case r.StatusCode >= http.StatusInternalServerError:
		return rpc.HandlerFailed, true
	}
	return 0, false
}

// report tells balancers and statistics the outcome of the attempt.
func (a *attempt) report(r *http.Response, err error, took time.Duration) {
	outcome := health.OK
	a.ended = recent.OK
	if code, failed := a.failure(r, err); failed {
		outcome, a.ended = code.Outcome(), remembered(code)
	}
	a.u.picker.Report(a.ep, outcome, took)
	key := health.Key{
		Side: health.Client, Service: a.u.route.Service, Method: a.call.Method, Peer: a.ep.Addr, Version: a.ep.Version,
	}
	a.u.g.node.Stats().Cell(key).Record(outcome, took)
}
