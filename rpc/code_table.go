package rpc

import "github.com/skerry/skerry/health"

// traits are what follows from a code: the one place that statistics, breakers,
// guards of releases, retries and the gateway go by. docs/codes.md shows it.
type traits struct {
	name       string         // on the wire, in logs and statistics
	outcome    health.Outcome // as which the call is counted
	unexecuted bool           // always; else the error says
	again      again
}

// again is whether a call that has failed may be sent once more.
type again uint8

const (
	never     again = iota // the next instance would do the same, or it may have been executed
	elsewhere              // at once, at an instance that was not tried
	budgeted               // where it was not executed or the method is idempotent, after a pause and by the retry budget
)

var table = [codes]traits{
	Unknown:            {"unknown", health.Internal, false, never},
	NoInstance:         {"no_instance", health.Rejected, true, never},
	Unreachable:        {"unreachable", health.Connect, true, elsewhere},
	ConnectionLost:     {"connection_lost", health.Broken, false, budgeted},
	DeadlineExceeded:   {"deadline_exceeded", health.Timeout, false, never},
	Canceled:           {"canceled", health.Canceled, false, never},
	Overloaded:         {"overloaded", health.Refused, true, budgeted},
	Draining:           {"draining", health.Refused, true, elsewhere},
	BreakerOpen:        {"breaker_open", health.Rejected, true, never},
	LimitExceeded:      {"limit_exceeded", health.Rejected, true, never},
	TooLarge:           {"too_large", health.Rejected, false, never},
	UnknownService:     {"unknown_service", health.Refused, true, elsewhere},
	UnknownMethod:      {"unknown_method", health.Refused, true, elsewhere},
	BadMessage:         {"bad_message", health.Broken, false, never},
	HandlerFailed:      {"handler_failed", health.Internal, false, never},
	HandlerPanicked:    {"handler_panicked", health.Internal, false, never},
	NotMember:          {"not_member", health.Barred, true, never},
	NotSealed:          {"not_sealed", health.Barred, true, never},
	RulesNeeded:        {"rules_needed", health.Barred, true, elsewhere},
	Retired:            {"retired", health.Barred, true, never},
	WrongVersion:       {"wrong_version", health.Barred, true, elsewhere},
	VersionUnavailable: {"version_unavailable", health.Rejected, true, never},
	Orphan:             {"orphan", health.Barred, true, never},
	Expired:            {"expired", health.Barred, true, never},
	CallRestricted:     {"forsworn", health.Barred, true, never},
	RulesForked:        {"rules_forked", health.Barred, true, elsewhere},
}

// traits of a code; of one that this process does not know, those of Unknown.
func (c Code) traits() *traits {
	if int(c) >= len(table) {
		c = Unknown
	}
	return &table[c]
}

// String is the code as it travels in reply headers and stands in logs.
func (c Code) String() string { return c.traits().name }

// Outcome is the code as statistics, breakers and ejection count it.
func (c Code) Outcome() health.Outcome { return c.traits().outcome }

// ParseCode reads String's spelling; unknown spellings give Unknown.
func ParseCode(s string) Code {
	for c := range table {
		if table[c].name == s {
			return Code(c)
		}
	}
	return Unknown
}
