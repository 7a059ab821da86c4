package flat

import (
	"errors"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"
)

// ErrMemory is wrapped by the error of a message that would take more memory
// than its Account gives.
var ErrMemory = errors.New("decoding the message takes too much memory")

// Account grants memory for a message's elements before it is taken. Take refuses it by an error.
type Account interface{ Take(bytes int64) error }

// Memory holds the rules for the memory that a Reader's message takes.
type Memory struct {
	Account Account // nil: all memory is granted
	Shape   *Shape  // of the struct that is read; nil: Costs alone
	Costs   Costs   // for values without a known shape; zero means DefaultCosts
	Copy    bool    // strings are copies of their own, so that keeping one does not keep the message
}

const (
	// Uncounted is the memory that a message may take without asking its Account. Small messages
	// are bounded by their number.
	Uncounted = 64 << 10

	takeStep = 64 << 10 // least amount in one request to an Account
)

// memory counts the memory of a message.
type memory struct {
	Memory
	used, given int64 // bytes taken so far; bytes that may be taken without asking

	next *place // place of the value that is read next; nil = not known
	in   *Shape // shape of the struct that is being read
	leaf *place // the innermost container, if its elements hold no memory: it is then not in open, which saves time
	open []open // the structs and containers that are being read, outermost first
}

// open is the state at which reading continues after a struct or container has ended.
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

// Used is the memory that the message has taken so far.
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
		m.in = m.Shape // its memory exists already
		return nil
	case p != nil && p.kind == structPlace:
		m.in = p.shape
		return m.charge(p.shape.size)
	}
	m.in = nil
	return m.charge(m.Costs.Struct)
}

// structureEnd ends a struct, and containers in it that were not read to their end.
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
		m.advance(n)
	case n > 0 && !m.open[n-1].isStruct:
		m.pop(n - 1)
	}
}

// pop ends the struct or container open[n], the last one.
func (m *memory) pop(n int) (isStruct bool) {
	o := &m.open[n]
	m.in, m.next, isStruct = o.in, o.next, o.isStruct
	m.open = m.open[:n]
	m.advance(n)
	return isStruct
}

// advance moves next to the next element when the last of n open ones is a container.
func (m *memory) advance(n int) {
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

// opened begins a container and returns its place, or nil when that is unknown.
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

// unfold moves leaf to open, because an element of it holds memory although its place says otherwise.
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
