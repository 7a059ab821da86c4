package flat

import (
	"errors"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"
)

// ErrMemory is wrapped by the error of a message that would take more memory
// than its Account gives.
var ErrMemory = errors.New("decoding it takes too much memory")

// Account gives the memory that a message's elements take, or refuses it. It
// is asked before the memory is taken.
type Account interface{ Take(bytes int64) error }

// Memory is what a Reader knows about the memory that its message takes.
type Memory struct {
	Account Account // nil: everything is given
	Shape   *Shape  // of the struct that is read; nil: Costs alone
	Costs   Costs   // where the shape does not know; zero means DefaultCosts
	Copy    bool    // strings are copies of their own, so that keeping one does not keep the message
}

const (
	// Uncounted is what a message may take without its Account being asked:
	// small messages are bounded by their number.
	Uncounted = 64 << 10

	takeStep = 64 << 10 // that an Account is asked for at a time, or more
)

// memory counts what a message takes.
type memory struct {
	Memory
	used, given int64

	next *place // of the value that is read next; nil = not known
	in   *Shape // the struct that is being read
	leaf *place // the container that is being read, of elements without memory of their own; it is not in open
	open []open // what else is being read, outermost first
}

// open is where reading goes on when a struct or container has ended.
type open struct {
	in       *Shape
	next     *place
	isStruct bool
}

func (m *memory) begin(mem *Memory) {
	m.Account, m.Shape, m.Costs, m.Copy = mem.Account, mem.Shape, mem.Costs, mem.Copy
	if m.Costs.Element == 0 {
		m.Costs = DefaultCosts
	}
	m.given = Uncounted
}

func (m *memory) reset() {
	m.Account, m.Shape = nil, nil
	m.used, m.given = 0, 0
	m.next, m.in, m.leaf, m.open = nil, nil, nil, m.open[:0]
}

// Used is what the message has taken so far.
func (m *memory) Used() int64 { return m.used }

// charge counts n bytes that are about to be taken.
func (m *memory) charge(n int64) error {
	if m.used += n; m.used > m.given {
		return m.ask()
	}
	return nil
}

func (m *memory) ask() error {
	n := max(m.used-m.given, takeStep)
	if m.Account != nil {
		if err := m.Account.Take(n); err != nil {
			return fail(thrift.SIZE_LIMIT, "%w: %w", ErrMemory, err)
		}
	}
	m.given += n
	return nil
}

// structure begins a struct.
func (m *memory) structure() error {
	if m.leaf != nil {
		m.unfold()
	}
	p := m.next
	m.open = append(m.open, open{m.in, p, true})
	m.next = nil
	switch {
	case len(m.open) == 1:
		m.in = m.Shape // its memory is there already
		return nil
	case p != nil && p.kind == structPlace:
		m.in = p.shape
		return m.charge(p.shape.size)
	}
	m.in = nil
	return m.charge(m.Costs.Struct)
}

// structureEnd also ends containers in it that were not read to their end.
func (m *memory) structureEnd() {
	m.leaf = nil
	for n := len(m.open); n > 0; n-- {
		if m.pop(n - 1) {
			return
		}
	}
}

func (m *memory) containerEnd() {
	n := len(m.open)
	switch {
	case m.leaf != nil:
		m.next, m.leaf = m.leaf, nil
		m.turn(n)
	case n > 0 && !m.open[n-1].isStruct:
		m.pop(n - 1)
	}
}

// pop ends what is at the place n of open, the last one.
func (m *memory) pop(n int) (isStruct bool) {
	o := &m.open[n]
	m.in, m.next, isStruct = o.in, o.next, o.isStruct
	m.open = m.open[:n]
	m.turn(n)
	return isStruct
}

// turn goes on to the next value of the container that is being read, the last of
// n that are open, if it is one.
func (m *memory) turn(n int) {
	if n > 0 && !m.open[n-1].isStruct {
		m.next = m.open[n-1].next.after(m.next)
	}
}

// field begins a field of the struct that is being read.
func (m *memory) field(id int16) error {
	if m.in == nil && m.Costs.Field == 0 {
		return nil
	}
	return m.known(id)
}

func (m *memory) known(id int16) error {
	if p := m.in.field(id); p != m.next {
		m.next = p
	}
	if m.Costs.Field > 0 {
		return m.charge(m.Costs.Field)
	}
	return nil
}

// list begins a list or set.
func (m *memory) list(size int) error {
	each := m.Costs.Element
	if p := m.opened(listPlace); p != nil {
		each = p.size
	}
	return m.charge(classed(int64(size) * each))
}

// mapping begins a map.
func (m *memory) mapping(size int) error {
	each := m.Costs.Entry
	if p := m.opened(mapPlace); p != nil {
		each = p.size
	}
	return m.charge(mapSize(size, each))
}

// opened begins a container and returns its place when that is known.
func (m *memory) opened(kind placeKind) *place {
	if m.leaf != nil {
		m.unfold()
	}
	p := m.next
	if p == nil || p.kind != kind {
		m.open = append(m.open, open{m.in, p, false})
		m.next = nil
		return nil
	}
	m.next = p.first()
	if m.next == nil {
		m.leaf = p
		return p
	}
	m.open = append(m.open, open{m.in, p, false})
	return p
}

// unfold opens a container in which there is something else than its place says.
func (m *memory) unfold() {
	m.open = append(m.open, open{m.in, m.leaf, false})
	m.leaf = nil
}

// clone copies a string of the message.
func (m *memory) clone(s string) (string, error) {
	if err := m.charge(classed(int64(len(s)))); err != nil {
		return "", err
	}
	return strings.Clone(s), nil
}
