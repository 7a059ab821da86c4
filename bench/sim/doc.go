// Package sim is what the simulations of releases share: a clock that jumps
// from event to event, graphs of services, and the work that requests set off.
//
// Time is a [time.Duration] since the beginning of a run; one unit of the
// literature is a millisecond. All chance is drawn before a run, from one
// seed, and is part of the [Work]: so every strategy meets the very same
// requests, and its run can be compared with another's request by request.
package sim
