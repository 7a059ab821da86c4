package rpc

import (
	"context"
	"time"
)

// CallInfo describes the call that a server is serving. It is immutable and stays valid after the
// call.
type CallInfo struct {
	Service    string
	Method     string
	Version    string    // of the service that serves the call
	Caller     string    // the calling service; "" when the caller does not name itself
	Peer       string    // the caller's host:port
	Trace      string    // W3C traceparent; "" when the caller sent none
	TraceState string    // W3C tracestate
	Baggage    string    // W3C baggage
	Attempt    int       // 1 for the first; more when this call, or one that led to it, is a retry
	Deadline   time.Time // zero when the caller set none
	OneWay     bool

	unseen   bool        // the caller claims that no call with the token has been executed yet
	outside  bool        // of an internal service: the peer is not a member of the site
	mirrored bool        // the call belongs to the trace of a copy
	shadowed uint32      // atomic, 1: a call of the handler was refused, as it belongs to a copy
	token    string      // as received
	stream   *streamHead // of a call that opens a stream; nil: an ordinary call
	from     *PeerInfo   // nil outside of a server
}

// streamHead returns what the header says about a stream, to be filled in.
func (i *CallInfo) streamHead() *streamHead {
	if i.stream == nil {
		i.stream = new(streamHead)
	}
	return i.stream
}

// From describes the other end of the connection that carried the call.
func (i *CallInfo) From() PeerInfo {
	if i.from == nil {
		return PeerInfo{}
	}
	return *i.from
}

type infoKey struct{}

// CallInfoFrom returns the call that ctx belongs to: in a handler, and in
// every context made from the handler's. It is nil elsewhere. Calls made with
// such a context carry its trace, baggage and deadline on.
func CallInfoFrom(ctx context.Context) *CallInfo {
	info, _ := ctx.Value(infoKey{}).(*CallInfo)
	return info
}

// WithTrace gives the calls made with the returned context a W3C trace. It is for the edge of a
// system, where requests do not enter by skerry.
func WithTrace(ctx context.Context, traceparent, tracestate string) context.Context {
	info := copyInfo(ctx)
	info.Trace, info.TraceState = traceparent, tracestate
	return context.WithValue(ctx, infoKey{}, info)
}

// WithBaggage gives the calls made with the returned context, and those that
// they lead to, a W3C baggage string.
func WithBaggage(ctx context.Context, baggage string) context.Context {
	info := copyInfo(ctx)
	info.Baggage = baggage
	return context.WithValue(ctx, infoKey{}, info)
}

func copyInfo(ctx context.Context) *CallInfo {
	if info := CallInfoFrom(ctx); info != nil {
		c := *info
		return &c
	}
	return &CallInfo{Attempt: 1}
}

type hashKey struct{}

// WithHashKey sets the key by which a consistent-hash balancer chooses: calls
// with one key go to one instance while the list stays the same.
func WithHashKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, hashKey{}, key)
}

func hashKeyFrom(ctx context.Context) string {
	key, _ := ctx.Value(hashKey{}).(string)
	return key
}
