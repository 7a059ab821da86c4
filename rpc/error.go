package rpc

import (
	"errors"
	"fmt"
	"strings"
)

// Code says why a call failed, in terms of the caller's next step. The table of traits has the
// consequences of each.
type Code uint8

// The codes.
const (
	Unknown          Code = iota
	NoInstance            // no instance offers the service (or the version, zone, tag asked for)
	Unreachable           // no connection to the chosen instance; nothing was sent
	ConnectionLost        // the connection broke after the call was sent; it may have been executed
	DeadlineExceeded      // the time ran out
	Canceled              // the caller gave up
	Overloaded            // the server refused: too many calls; not executed
	Draining              // the server is stopping, or the service on it; not executed
	BreakerOpen           // the caller's breaker is open; nothing was sent
	LimitExceeded         // over a limit of the caller; nothing was sent
	TooLarge              // a frame, header or value is over its limit
	UnknownService        // the server does not offer that service; not executed
	UnknownMethod         // the service has no such method; not executed
	BadMessage            // bytes that are not a Thrift message
	HandlerFailed         // the handler returned an error that its IDL does not declare
	HandlerPanicked       // the handler panicked; the server goes on
	Unsupported           // the instance has no streams, or its method is no stream of that mode; not executed
	SlowReader            // the other end of a stream has taken no item for too long
	Moved                 // a stream was ended because its service has moved: open it again
	NotMember             // the method is for processes of the site, and the caller has not proven to be one of them
	NotSealed             // the server takes sealed calls only, and this one came in the clear; not executed

	// Of calls that carry a rollout token; none of them was executed.
	RulesNeeded        // the callee lacks the rules of the token's generation, and could not get them
	Retired            // the version no longer serves the token's generation
	WrongVersion       // by the rules the call belongs to another version
	VersionUnavailable // no instance offers the version that the rules name; never another one instead
	Orphan             // the call belongs to no trace, and such calls are refused
	Expired            // the trace has outlived the longest age that it may have after a release
	CallRestricted     // the work has declared that it no longer calls the service (participant.Trace.RestrictCalls)
	RulesForked        // the token reads another rule log than the callee's or the caller's

	// By the site's policy, at the callee. The call was not executed.
	AccessDenied // the caller may not make the call
	Limited      // the call is over a limit

	// By the site's policy, at the caller. Nothing was sent.
	Shadow // the call belongs to a mirrored trace, and the method is not declared idempotent
	codes  = iota
)

// Executed says whether the handler ran. It decides whether a call may be
// sent again.
type Executed uint8

// The states of execution.
const (
	MaybeExecuted Executed = iota // sent, without an answer that shows it
	NotExecuted                   // never left, or refused before the handler
	WasExecuted                   // the handler ran
)

// String is the state in words.
func (e Executed) String() string {
	return [...]string{"may have been executed", "not executed", "executed"}[min(e, WasExecuted)]
}

// Error is a failed call. Declared exceptions of a service's IDL are not
// Errors: generated code returns them as they are.
type Error struct {
	Code     Code
	Executed Executed
	Service  string
	Method   string
	Instance string // "" when none was chosen
	Attempt  int    // 1 for the first
	Err      error  // the cause; may be nil
}

// Error reads: auth.GetToken: unreachable (10.0.0.5:7000, attempt 2, not executed): dial …
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.%s: %s (", e.Service, e.Method, e.Code)
	if e.Instance != "" {
		fmt.Fprintf(&b, "%s, ", e.Instance)
	}
	if e.Attempt > 0 {
		fmt.Fprintf(&b, "attempt %d, ", e.Attempt)
	}
	fmt.Fprintf(&b, "%s)", e.Executed)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrNoInstance is wrapped by the error of a Picker without a suitable instance.
var ErrNoInstance = errors.New("no instance")

// CodeOf returns the Code of the *Error in err's chain, or Unknown.
func CodeOf(err error) Code {
	if err == nil {
		return Unknown
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Unknown
}

// SafeToRetry reports whether the failed call certainly was not executed, so that sending it again
// can't execute it twice.
func SafeToRetry(err error) bool {
	if err == nil {
		return false
	}
	var e *Error
	return errors.As(err, &e) && e.Executed == NotExecuted
}
