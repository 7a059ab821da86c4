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
	open []open // what is being read, outermost first
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
	m.next, m.in, m.open = nil, nil, m.open[:0]
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

// structureEnd also ends containers in it whose end was not read.
func (m *memory) structureEnd() {
	for len(m.open) > 0 {
		if m.pop() {
			return
		}
	}
}

func (m *memory) containerEnd() {
	if n := len(m.open); n > 0 && !m.open[n-1].isStruct {
		m.pop()
	}
}

func (m *memory) pop() (isStruct bool) {
	n := len(m.open) - 1
	o := m.open[n]
	m.open = m.open[:n]
	m.in, m.next = o.in, o.next
	if n > 0 && !m.open[n-1].isStruct {
		m.next = m.open[n-1].next.after(m.next)
	}
	return o.isStruct
}

// field begins a field of the struct that is being read.
func (m *memory) field(id int16) error {
	if m.in == nil && m.Costs.Field == 0 {
		return nil
	}
	return m.known(id)
}

func (m *memory) known(id int16) error {
	m.next = m.in.field(id)
	if m.Costs.Field > 0 {
		return m.charge(m.Costs.Field)
	}
	return nil
}

// list begins a list or set.
func (m *memory) list(size int) error {
	each := m.Costs.Element
	p := m.next
	m.open = append(m.open, open{m.in, p, false})
	m.next = nil
	if p != nil && p.kind == listPlace {
		each, m.next = p.size, p.inner
	}
	return m.charge(classed(int64(size) * each))
}

// mapping begins a map.
func (m *memory) mapping(size int) error {
	each := m.Costs.Entry
	p := m.next
	m.open = append(m.open, open{m.in, p, false})
	if m.next = nil; p != nil && p.kind == mapPlace {
		each, m.next = p.size, p.inner
		if p.key != nil {
			m.next = p.key
		}
	}
	return m.charge(mapSize(size, each))
}

// clone copies a string of the message.
func (m *memory) clone(s string) (string, error) {
	if err := m.charge(classed(int64(len(s)))); err != nil {
		return "", err
	}
	return strings.Clone(s), nil
}
