package rpc

import (
	"errors"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// traits are the consequences of a code, for statistics, breakers, guards of releases, retries and
// the gateway. docs/codes.md shows the table.
type traits struct {
	name       string         // on the wire, in logs and in statistics
	outcome    health.Outcome // how the call is counted
	unexecuted bool           // a call with the code never ran; false: Error.Executed says whether it did
	again      again
	refusal    error // error of rollout or participant that the code stands for; nil: none
}

// again says whether a failed call may be sent once more.
type again uint8

const (
	never     again = iota // the next instance would do the same, or it may have been executed
	elsewhere              // at once, at an instance that was not tried
	budgeted               // if unexecuted or idempotent, after a pause and by the retry budget
)

var table = [codes]traits{
	Unknown:            {"unknown", health.Internal, false, never, nil},
	NoInstance:         {"no_instance", health.Rejected, true, never, nil},
	Unreachable:        {"unreachable", health.Connect, true, elsewhere, nil},
	ConnectionLost:     {"connection_lost", health.Broken, false, budgeted, nil},
	DeadlineExceeded:   {"deadline_exceeded", health.Timeout, false, never, nil},
	Canceled:           {"canceled", health.Canceled, false, never, nil},
	Overloaded:         {"overloaded", health.Refused, true, budgeted, nil},
	Draining:           {"draining", health.Refused, true, elsewhere, nil},
	BreakerOpen:        {"breaker_open", health.Rejected, true, never, nil},
	LimitExceeded:      {"limit_exceeded", health.Rejected, true, never, nil},
	TooLarge:           {"too_large", health.Rejected, false, never, nil},
	UnknownService:     {"unknown_service", health.Refused, true, elsewhere, nil},
	UnknownMethod:      {"unknown_method", health.Refused, true, elsewhere, nil},
	BadMessage:         {"bad_message", health.Broken, false, never, nil},
	HandlerFailed:      {"handler_failed", health.Internal, false, never, nil},
	HandlerPanicked:    {"handler_panicked", health.Internal, false, never, nil},
	Unsupported:        {"unsupported", health.Refused, true, elsewhere, nil},
	SlowReader:         {"slow_reader", health.Broken, false, never, nil},
	Moved:              {"moved", health.Refused, false, never, nil},
	NotMember:          {"not_member", health.Barred, true, never, nil},
	NotSealed:          {"not_sealed", health.Barred, true, never, nil},
	RulesNeeded:        {"rules_needed", health.Barred, true, elsewhere, rollout.ErrStale},
	Retired:            {"retired", health.Barred, true, never, rollout.ErrRetired},
	WrongVersion:       {"wrong_version", health.Barred, true, elsewhere, rollout.ErrWrongVersion},
	VersionUnavailable: {"version_unavailable", health.Rejected, true, never, nil},
	Orphan:             {"orphan", health.Barred, true, never, participant.ErrOrphan},
	Expired:            {"expired", health.Barred, true, never, rollout.ErrExpired},
	CallRestricted:     {"forsworn", health.Barred, true, never, participant.ErrCallRestricted},
	RulesForked:        {"rules_forked", health.Barred, true, elsewhere, rollout.ErrOtherLog},
	AccessDenied:       {"access_denied", health.Denied, true, never, nil},
	Limited:            {"limited", health.Limited, true, budgeted, nil},
	Shadow:             {"shadow", health.Denied, true, never, nil},
}

// traits returns the traits of a code. A code that this process does not know has those of Unknown.
func (c Code) traits() *traits {
	if int(c) >= len(table) {
		c = Unknown
	}
	return &table[c]
}

// String is the code as it is written in reply headers and logs.
func (c Code) String() string { return c.traits().name }

// Outcome is the code as statistics, breakers and ejection count it.
func (c Code) Outcome() health.Outcome { return c.traits().outcome }

// ParseCode reads what String wrote; any other text gives Unknown.
func ParseCode(s string) Code {
	for c := range table {
		if table[c].name == s {
			return Code(c)
		}
	}
	return Unknown
}

// RefusalCode is the code for an error by which the rules refuse a call. Such
// errors come from rollout.Log.Admit, Route and CheckTurn, and from
// participant.Trace.Send. Any other error gives WrongVersion.
func RefusalCode(err error) Code {
	for c := range table {
		if of := table[c].refusal; of != nil && errors.Is(err, of) {
			return Code(c)
		}
	}
	return WrongVersion
}
