package transport

import (
	linked "container/list"
	"net/netip"
	"slices"
	"sync"
)

// Turns lets a limited number of handshakes compute at a time. The others wait, and the addresses
// take turns, so many connections from one address delay no other address.
type Turns struct {
	mu      sync.Mutex
	free    int
	waiting map[netip.Addr]*linked.Element // elements of order
	order   linked.List                    // of *addressQueue; the next one first
}

// NewTurns makes n turns.
func NewTurns(n int) *Turns { return &Turns{free: n} }

// addressQueue holds the waiting tickets of one address.
type addressQueue struct {
	addr    netip.Addr
	waiting []chan struct{}
}

// acquire waits for a turn. It reports false when done is closed first.
func (t *Turns) acquire(addr netip.Addr, done <-chan struct{}) bool {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return true
	}
	ticket := make(chan struct{})
	if e := t.waiting[addr]; e != nil {
		line := e.Value.(*addressQueue)
		line.waiting = append(line.waiting, ticket)
	} else {
		if t.waiting == nil {
			t.waiting = map[netip.Addr]*linked.Element{}
		}
		t.waiting[addr] = t.order.PushBack(&addressQueue{addr, []chan struct{}{ticket}})
	}
	t.mu.Unlock()
	select {
	case <-ticket:
		return true
	case <-done:
	}
	if !t.cancel(addr, ticket) {
		t.release() // the turn came in the same moment
	}
	return false
}

// release passes the caller's turn to the next address, or makes it free.
func (t *Turns) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.order.Front()
	if e == nil {
		t.free++
		return
	}
	line := e.Value.(*addressQueue)
	close(line.waiting[0])
	t.drop(e, 0)
	if len(line.waiting) > 0 {
		t.order.MoveToBack(e)
	}
}

// drop removes a ticket from its queue. The caller holds mu.
func (t *Turns) drop(e *linked.Element, i int) {
	line := e.Value.(*addressQueue)
	if line.waiting = slices.Delete(line.waiting, i, i+1); len(line.waiting) == 0 {
		t.order.Remove(e)
		delete(t.waiting, line.addr)
	}
}

// cancel takes back a ticket. It reports false when the ticket has got its turn already.
func (t *Turns) cancel(addr netip.Addr, ticket chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.waiting[addr]
	if e == nil {
		return false
	}
	i := slices.Index(e.Value.(*addressQueue).waiting, ticket)
	if i < 0 {
		return false
	}
	t.drop(e, i)
	return true
}
