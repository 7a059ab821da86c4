// Package run gives every goroutine of the module an owner.
//
// A [Group] starts goroutines, stops them together by cancelling one context,
// and joins them; the first error that is not a cancellation wins. No other
// package of the module starts a goroutine by a bare go statement: whoever
// starts one through a Group also waits for it, so nothing outlives the Run
// or Close that owns it.
//
// [Backoff] spaces retries that never give up, because a
// registry may be away for any length of time, with jitter, so that a
// site whose power returns does not retry in step.
//
// A panic in a goroutine of a Group is not caught: a broken invariant should
// be seen. Code that runs a user's functions catches panics where it calls
// them.
package run
