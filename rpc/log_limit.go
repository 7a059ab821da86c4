package rpc

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// logLimit bounds log lines about peers. In each period it allows one line for each reason and source
// address, and at most maxSources for a reason, so a noisy peer or a frequent reason hides no other.
// Each line tells how many lines of its reason were suppressed before it.
type logLimit struct {
	every time.Duration

	mu      sync.Mutex
	reasons map[string]*logReason // by reason, of which there are few
}

// logReason is the state of one reason.
type logReason struct {
	until      time.Time // when the period ends
	said       []netip.Addr
	suppressed int
}

// maxSources is the number of addresses that are logged for a reason in one period.
const maxSources = 3

// allow reports whether a line may be written, and how many of its reason were suppressed before.
// The reason is one of a few constants, and never text of a peer.
func (c *logLimit) allow(now time.Time, reason string, source netip.Addr) (ok bool, unreported int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reasons == nil {
		c.reasons = map[string]*logReason{}
	}
	of := c.reasons[reason]
	if of == nil {
		of = &logReason{}
		c.reasons[reason] = of
	}
	if !now.Before(of.until) {
		of.until, of.said = now.Add(c.every), of.said[:0]
	}
	if len(of.said) >= maxSources || slices.Contains(of.said, source) {
		of.suppressed++
		return false, 0
	}
	of.said = append(of.said, source)
	unreported, of.suppressed = of.suppressed, 0
	return true, unreported
}

var (
	errHandshake = errors.New("TLS handshake")
	errFull      = errors.New("too many connections stand")
	errTrust     = errors.New("the keys of the site have changed")
)

// closeReasons are the reasons for closing connections, by which logLimit bounds the lines. The
// first that an error wraps is its reason.
var closeReasons = []error{
	errMadeRoom,
	errFull,
	transport.ErrBudget,
	errTrust,
	errPlainPort,
	transport.ErrSlowHandshake,
	transport.ErrLongHandshake,
	sitetls.ErrPeer,
	errHandshake,
	transport.ErrWriteQueue,
	theader.ErrTooLarge,
	theader.ErrMalformed,
	os.ErrDeadlineExceeded,
}

// closeReason returns the text of the reason that why wraps; "" for all other errors.
func closeReason(why error) string {
	for _, reason := range closeReasons {
		if errors.Is(why, reason) {
			return reason.Error()
		}
	}
	return ""
}
