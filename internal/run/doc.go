// Package run gives every goroutine of the module an owner.
//
// A [Group] starts goroutines, stops them together by cancelling one context, and joins them; the first error
// that is not a cancellation wins. No other package of the module starts a goroutine by a bare go statement. The
// function that starts a goroutine through a Group also waits for it, so no goroutine outlives the Run or Close
// that owns it.
//
// [Backoff] spaces retries without an end, because a registry may be away for any length of time. Its jitter
// keeps the processes of a site from retrying in step after a power failure.
//
// A panic in a goroutine of a Group is not caught, so that a broken invariant is visible. Code that runs a user's
// functions catches panics where it calls them.
package run
