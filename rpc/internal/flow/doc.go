// Package flow is the credit rule of streams (docs/streams.md), without I/O and without a lock.
//
// Credit is counted in bytes, for each direction of each stream. A sender with credit may send one whole
// item, however large, and its credit may fall below zero. So no item is too large for a window, and none
// waits for the rest of another. A receiver gives credit back when the application has taken an item, in
// steps of half a window.
//
// Three things follow, and the model test tries every short history for them. A receiver holds at most a
// window and one item. A sender that waits has items under way or untaken, so it never waits for ever while
// the application takes. A sender that keeps the rule is never told that it broke it.
package flow
