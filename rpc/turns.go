package rpc

import (
	linked "container/list"
	"net/netip"
	"slices"
	"sync"
)

// turns lets only so many handshakes compute at a time. The rest waits, the
// addresses in turn, so that a crowd from one address holds up no other address.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting map[netip.Addr]*linked.Element // of order
	order   linked.List                    // of *turnLine; the next one first
}

// turnLine is what waits of one address.
type turnLine struct {
	addr    netip.Addr
	tickets []chan struct{}
}

// take waits for a turn. It reports false when done is closed first.
func (t *turns) take(addr netip.Addr, done <-chan struct{}) bool {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return true
	}
	ticket := make(chan struct{})
	if e := t.waiting[addr]; e != nil {
		line := e.Value.(*turnLine)
		line.tickets = append(line.tickets, ticket)
	} else {
		if t.waiting == nil {
			t.waiting = map[netip.Addr]*linked.Element{}
		}
		t.waiting[addr] = t.order.PushBack(&turnLine{addr, []chan struct{}{ticket}})
	}
	t.mu.Unlock()
	select {
	case <-ticket:
		return true
	case <-done:
	}
	if !t.leave(addr, ticket) {
		t.give() // it came in the same moment
	}
	return false
}

// give passes a turn on.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.order.Front()
	if e == nil {
		t.free++
		return
	}
	line := e.Value.(*turnLine)
	close(line.tickets[0])
	t.drop(e, 0)
	if len(line.tickets) > 0 {
		t.order.MoveToBack(e)
	}
}

// drop takes a ticket out of its line. The caller holds mu.
func (t *turns) drop(e *linked.Element, i int) {
	line := e.Value.(*turnLine)
	if line.tickets = slices.Delete(line.tickets, i, i+1); len(line.tickets) == 0 {
		t.order.Remove(e)
		delete(t.waiting, line.addr)
	}
}

// leave takes back a ticket that was not called; false: it was.
func (t *turns) leave(addr netip.Addr, ticket chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.waiting[addr]
	if e == nil {
		return false
	}
	i := slices.Index(e.Value.(*turnLine).tickets, ticket)
	if i < 0 {
		return false
	}
	t.drop(e, i)
	return true
}
