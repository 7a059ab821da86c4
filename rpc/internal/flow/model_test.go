package flow

import (
	"errors"
	"fmt"
	"testing"
)

// The model has one sender, one receiver, and two queues between them. It plays every history of a few
// items: each step is a send, an arrival, an item taken, or credit that comes back.

// rule is what the model needs of a sender and a receiver; the mutants break it.
type rule interface {
	ready() bool
	sent(n int)
	grant(n int64) error
	arrived(n int) error
	taken(n int)
	due() int64
	window() int64
	numbers() string
	copied() rule
}

type real struct {
	s Sender
	r Receiver
}

func (m *real) ready() bool         { return m.s.Ready() }
func (m *real) sent(n int)          { m.s.Sent(n) }
func (m *real) grant(n int64) error { return m.s.Grant(n) }
func (m *real) arrived(n int) error { return m.r.Arrived(n) }
func (m *real) taken(n int)         { m.r.Taken(n) }
func (m *real) due() int64          { return m.r.Due() }
func (m *real) window() int64       { return m.r.Window() }
func (m *real) numbers() string     { return fmt.Sprint(*m) }
func (m *real) copied() rule        { c := *m; return &c }

func newReal(window int64) rule {
	m := &real{r: NewReceiver(window)}
	if err := m.s.Grant(m.r.Window()); err != nil {
		panic(err)
	}
	return m
}

// state is one state of the model.
type state struct {
	rule
	left    []int   // sizes of the items that the application still sends
	wire    []int   // under way
	untaken []int   // at the receiver
	credits []int64 // under way back
}

func (s state) next() state {
	s.rule = s.copied()
	s.left = append([]int(nil), s.left...)
	s.wire = append([]int(nil), s.wire...)
	s.untaken = append([]int(nil), s.untaken...)
	s.credits = append([]int64(nil), s.credits...)
	return s
}

func sum(list []int) (n int64) {
	for _, i := range list {
		n += int64(i)
	}
	return n
}

// play tries every history from s on, and returns the first broken promise. seen holds the states that were tried.
func play(s state, largest int, seen map[string]bool) error {
	key := fmt.Sprint(s.numbers(), len(s.left), s.wire, s.untaken, s.credits)
	if seen[key] {
		return nil
	}
	seen[key] = true
	if held := sum(s.untaken) + sum(s.wire); held > s.window()+int64(largest) {
		return fmt.Errorf("%d bytes are held, with a window of %d and items of %d", held, s.window(), largest)
	}
	moved := false
	if len(s.left) > 0 && s.ready() {
		moved = true
		n := s.next()
		n.sent(n.left[0])
		n.wire, n.left = append(n.wire, n.left[0]), n.left[1:]
		if err := play(n, largest, seen); err != nil {
			return err
		}
	}
	if len(s.wire) > 0 {
		moved = true
		n := s.next()
		if err := n.arrived(n.wire[0]); err != nil {
			return fmt.Errorf("a sender that kept the rule is blamed: %w", err)
		}
		n.untaken, n.wire = append(n.untaken, n.wire[0]), n.wire[1:]
		if err := play(n, largest, seen); err != nil {
			return err
		}
	}
	if len(s.untaken) > 0 {
		moved = true
		n := s.next()
		n.taken(n.untaken[0])
		n.untaken = n.untaken[1:]
		if c := n.due(); c > 0 {
			n.credits = append(n.credits, c)
		}
		if err := play(n, largest, seen); err != nil {
			return err
		}
	}
	if len(s.credits) > 0 {
		moved = true
		n := s.next()
		if err := n.grant(n.credits[0]); err != nil {
			return err
		}
		n.credits = n.credits[1:]
		if err := play(n, largest, seen); err != nil {
			return err
		}
	}
	if !moved && len(s.left) > 0 {
		return fmt.Errorf("deadlock: %d items left, nothing under way", len(s.left))
	}
	return nil
}

var histories = []struct {
	window int64
	items  []int
}{
	{1, []int{1, 1, 1, 1}}, {1, []int{5, 1, 5}}, {2, []int{1, 2, 3, 1}}, {3, []int{1, 1, 1, 1, 1}},
	{4, []int{9, 1, 1, 9}}, {4, []int{2, 2, 2, 2, 2}}, {5, []int{1, 3, 1, 3, 1}}, {7, []int{4, 4, 4, 4}},
	{8, []int{3, 3, 3, 3, 3}}, {100, []int{1, 99, 1, 100}},
	{4, []int{1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2}}, {2, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
}

func tryAll(of func(window int64) rule) error {
	for _, h := range histories {
		largest := 0
		for _, n := range h.items {
			largest = max(largest, n)
		}
		if err := play(state{rule: of(h.window), left: h.items}, largest, map[string]bool{}); err != nil {
			return fmt.Errorf("window %d, items %v: %w", h.window, h.items, err)
		}
	}
	return nil
}

// TestEveryHistory plays every history of a few items: no deadlock, no item without room, no false blame.
func TestEveryHistory(t *testing.T) {
	if err := tryAll(newReal); err != nil {
		t.Error(err)
	}
}

// The mutants are credit rules that are wrong in one way each.
type mutant struct {
	*real
	how string
}

func (m *mutant) copied() rule { return &mutant{m.real.copied().(*real), m.how} }

func (m *mutant) ready() bool {
	switch m.how {
	case "sends without credit":
		return m.s.credit >= 0
	case "keeps one byte":
		return m.s.credit > 1
	}
	return m.real.ready()
}

func (m *mutant) sent(n int) {
	switch m.how {
	case "forgets the size":
		n = 1
	case "never below zero":
		n = min(n, int(m.s.credit))
	}
	m.real.sent(n)
}

func (m *mutant) arrived(n int) error {
	if m.how == "gives credit on arrival" {
		err := m.real.arrived(n)
		m.real.taken(n)
		return err
	}
	return m.real.arrived(n)
}

func (m *mutant) taken(n int) {
	switch m.how {
	case "gives credit on arrival":
		return
	case "counts half":
		n /= 2
	case "counts twice":
		n *= 2
	}
	m.real.taken(n)
}

func (m *mutant) due() int64 {
	switch m.how {
	case "waits for more than a window":
		if m.r.owed <= m.r.window {
			return 0
		}
	case "never gives credit":
		return 0
	case "gives credit again":
		owed := m.r.owed
		n := m.real.due()
		m.r.owed = owed
		return n
	case "does not count what it gives":
		open := m.r.open
		n := m.real.due()
		m.r.open = open
		return n
	}
	return m.real.due()
}

// TestMutantsAreCaught: each wrong rule breaks a promise in some history.
func TestMutantsAreCaught(t *testing.T) {
	for _, how := range []string{
		"sends without credit", "keeps one byte", "forgets the size", "never below zero", "gives credit on arrival",
		"counts half", "counts twice", "waits for more than a window", "never gives credit", "gives credit again",
		"does not count what it gives",
	} {
		if err := tryAll(func(w int64) rule { return &mutant{newReal(w).(*real), how} }); err == nil {
			t.Errorf("the mutant that %s is not caught", how)
		}
	}
}

func TestBounds(t *testing.T) {
	var s Sender
	for _, n := range []int64{0, -1, Most + 1} {
		if err := s.Grant(n); !errors.Is(err, ErrCredit) {
			t.Errorf("a grant of %d: %v", n, err)
		}
	}
	if err := errors.Join(s.Grant(Most), s.Grant(1)); !errors.Is(err, ErrCredit) {
		t.Errorf("more than Most: %v", err)
	}
	r := NewReceiver(0)
	if r.Window() != 1 {
		t.Errorf("a window of 0 is %d", r.Window())
	}
	if err := r.Arrived(5); err != nil {
		t.Error(err)
	}
	if err := r.Arrived(1); !errors.Is(err, ErrNoCredit) {
		t.Errorf("an item without credit: %v", err)
	}
}
