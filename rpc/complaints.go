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
)

// complaints bounds log lines about peers: in any period at most one for each
// reason and source address, and mostSources for a reason. So neither a noisy peer nor
// a frequent reason hides another one. A line says how many of its reason were
// kept back before it.
type complaints struct {
	every time.Duration

	mu sync.Mutex
	of map[string]*complaint // by reason, of which there are few
}

// complaint is what was said for one reason.
type complaint struct {
	until time.Time // when the period ends
	said  []netip.Addr
	kept  int
}

// mostSources is for how many addresses a reason is said in one period.
const mostSources = 3

// may reports whether a line may be written. The reason is one of a few
// constants: nothing that a peer sends.
func (c *complaints) may(now time.Time, reason string, source netip.Addr) (ok bool, kept int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]*complaint{}
	}
	of := c.of[reason]
	if of == nil {
		of = &complaint{}
		c.of[reason] = of
	}
	if !now.Before(of.until) {
		of.until, of.said = now.Add(c.every), of.said[:0]
	}
	if len(of.said) >= mostSources || slices.Contains(of.said, source) {
		of.kept++
		return false, 0
	}
	of.said = append(of.said, source)
	kept, of.kept = of.kept, 0
	return true, kept
}

var (
	errShake = errors.New("TLS handshake")
	errFull  = errors.New("too many connections stand")
	errTrust = errors.New("the keys of the site have changed")
)

// closings are the reasons for which a server closes connections, as their log
// lines are bounded by; the first one that fits is taken.
var closings = []error{
	errMadeRoom, errFull, errManyBytes, errTrust, errPlainPort, errSlowShake, errLongShake, sitetls.ErrPeer, errShake,
	errWriteQueue, theader.ErrTooLarge, theader.ErrMalformed, os.ErrDeadlineExceeded,
}

// closing is the reason of why.
func closing(why error) string {
	for _, reason := range closings {
		if errors.Is(why, reason) {
			return reason.Error()
		}
	}
	return ""
}
