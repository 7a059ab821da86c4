//go:build race

package gateway

import "time"

// The race detector of Go 1.26 crashes now and then when a timer of a synctest bubble is due at once, as that of each
// response is.
func init() { flushed = time.Millisecond }
