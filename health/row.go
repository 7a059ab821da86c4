package health

import (
	"cmp"
	"context"
	"strings"
	"time"
)

// Side is the side that counts a call.
type Side uint8

// The two sides of a call.
const (
	Client Side = iota + 1
	Server
)

// String is the side as written in the table: client or server.
func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Server:
		return "server"
	}
	return "unknown"
}

// Outcome is the end of a call, as statistics, breakers and ejection distinguish it.
type Outcome uint8

// The outcomes. OK and AppError both mean that the peer did its work: a declared Thrift exception
// is an answer, not a failure of the instance.
const (
	OK       Outcome = iota
	AppError         // an exception of the service's IDL
	Timeout          // the deadline passed
	Canceled         // the caller gave up
	Refused          // the peer did not execute the call: overload, draining, wrong service or version
	Connect          // no connection; nothing was sent
	Broken           // the connection broke after bytes were sent
	Internal         // the handler failed in a way that its IDL does not declare, or panicked
	Rejected         // never left the caller: breaker open, limit, no instance
	Barred           // by the rules of releases or membership, before the handler: a fault of the caller

	// What the site's policy does. It says nothing about how well the callee works.
	Injected     // a fault of the policy: the caller let the call fail, or the call failed after its delay
	Limited      // over a limit of the policy: not executed
	Denied       // the policy lets the caller not make the call: not executed
	Mirrored     // a copy of a call, or a call of such a copy: no user waits for the reply
	Fallback     // answered by the policy instead of the callee
	MirrorFailed // a copy, or a call of one, that failed; see Cell.RecordCopy
	afterLast    = iota
)

// outcomeCount is the number of outcomes.
const outcomeCount = int(afterLast)

var outcomeNames = [outcomeCount]string{
	"ok",
	"app_error",
	"timeout",
	"canceled",
	"refused",
	"connect",
	"broken",
	"internal",
	"rejected",
	"barred",
	"injected",
	"limited",
	"denied",
	"mirrored",
	"fallback",
	"mirror_failed",
}

// String is the outcome as written in tables and metrics.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}

// Failed reports whether the outcome counts as a failure in statistics: the caller got no answer.
func (o Outcome) Failed() bool {
	return o > AppError && o < Mirrored && o != Canceled
}

// Judges reports whether a call that one side has counted so shows how well the callee's version
// works. A callee that bars a call judges the caller alone: any stranger can have calls barred. A
// barred caller can't do its work. What the policy does judges neither: operators meant it so.
func (o Outcome) Judges(by Side) bool {
	if o == Barred {
		return by == Client
	}
	return !o.ofPolicy()
}

// ofPolicy reports whether the site's policy has made or ended the call. Its time says nothing of the callee.
func (o Outcome) ofPolicy() bool { return o >= Injected }

// Key identifies the calls that are counted together.
type Key struct {
	Side    Side
	Service string
	Method  string
	Peer    string // client: the instance's host:port; server: the caller's service, or its IP address without one
	Version string // of the callee; "" without a version, or when none was chosen before the call ended
}

// clone is the key with its own copies of the strings.
func (k Key) clone() Key {
	k.Service, k.Method = strings.Clone(k.Service), strings.Clone(k.Method)
	k.Peer, k.Version = strings.Clone(k.Peer), strings.Clone(k.Version)
	return k
}

// Compare orders keys by service, method, side, version and peer.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		strings.Compare(k.Service, o.Service),
		strings.Compare(k.Method, o.Method),
		cmp.Compare(k.Side, o.Side),
		strings.Compare(k.Version, o.Version),
		strings.Compare(k.Peer, o.Peer),
	)
}

// shared is the key for calls without a cell of their own.
func (k Key) shared() Key {
	return Key{Side: k.Side, Service: k.Service, Method: Overflow, Version: k.Version}
}

// Row holds the counts of one key in one period.
type Row struct {
	Key
	From, To time.Time
	Outcomes [outcomeCount]int64
	Sum      time.Duration // of the latencies of the calls that Timed counts, as the fields below
	P50, P99 time.Duration // within 2 % of the true value
	Max      time.Duration
}

// Calls is the number of calls of the row.
func (r *Row) Calls() int64 {
	var n int64
	for _, c := range r.Outcomes {
		n += c
	}
	return n
}

// Timed is the number of calls that the latencies of the row are of: all but those that the site's policy has made or
// ended.
func (r *Row) Timed() int64 {
	var n int64
	for o, c := range r.Outcomes {
		if !Outcome(o).ofPolicy() {
			n += c
		}
	}
	return n
}

// Failures is the number of calls that failed by Outcome.Failed.
func (r *Row) Failures() int64 {
	var n int64
	for o, c := range r.Outcomes {
		if Outcome(o).Failed() {
			n += c
		}
	}
	return n
}

// Sink takes the rows of a period. It returns an error when it has not taken them. The recorder
// then offers the same counts again, merged with newer ones.
type Sink interface {
	Write(ctx context.Context, rows []Row) error
}
