package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/flow"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// StreamMode is the direction of a stream.
type StreamMode string

// The modes, as the IDL's annotation skerry.stream spells them.
const (
	ServerMode StreamMode = "server" // items go to the caller
	ClientMode StreamMode = "client" // items go to the provider
	BidiMode   StreamMode = "bidi"   // both
)

func (m StreamMode) up() bool   { return m == ClientMode || m == BidiMode }
func (m StreamMode) down() bool { return m == ServerMode || m == BidiMode }

// StreamLimits bound the streams of a client or server. A field of 0 has its default.
type StreamLimits struct {
	Window int           // bytes that may come on a stream before the application takes them; 256 KiB
	Item   int           // bytes of an item; 1 MiB
	Memory int           // bytes of items of all streams that are not taken, above which no credit is given; 256 MiB
	Stall  time.Duration // how long a sender may wait for credit; 60 s
	Conn   int           // streams of one connection, at a server; 1,000
	Most   int           // streams of a server; 10,000
	Grace  time.Duration // how long Server.Drain waits for streams before it cuts them; 5 s
	// How long a stream that its caller follows may go on after a release has switched it to another version; 30 s.
	Move time.Duration
}

func (l StreamLimits) withDefaults() StreamLimits {
	return StreamLimits{
		Window: cmp.Or(l.Window, 256<<10),
		Item:   cmp.Or(l.Item, 1<<20),
		Memory: cmp.Or(l.Memory, 256<<20),
		Stall:  cmp.Or(l.Stall, time.Minute),
		Conn:   cmp.Or(l.Conn, 1_000),
		Most:   cmp.Or(l.Most, 10_000),
		Grace:  cmp.Or(l.Grace, 5*time.Second),
		Move:   cmp.Or(l.Move, 30*time.Second),
	}
}

// streamMemory counts the items of all streams of a client or server that the application has not taken.
type streamMemory struct {
	limits StreamLimits
	bytes  transport.ByteBudget
	census streamCensus
	owing  atomic.Int32 // the length of owed

	mu   sync.Mutex
	owed map[*stream]struct{} // streams with withheld credit
}

func (m *streamMemory) init(l StreamLimits) {
	m.limits = l.withDefaults()
	m.bytes.Limit = int64(m.limits.Memory)
	m.owed = map[*stream]struct{}{}
}

// release gives memory back, and the credit that was withheld when there is room again.
func (m *streamMemory) release(n int) {
	m.bytes.Add(-int64(n))
	if m.bytes.Full() || m.owing.Load() == 0 {
		return
	}
	m.mu.Lock()
	var owed []*stream
	for s := range m.owed {
		owed = append(owed, s)
	}
	clear(m.owed)
	m.owing.Store(0)
	m.mu.Unlock()
	for _, s := range owed {
		s.giveCredit()
	}
}

// withhold reports whether a stream may give no credit now. release then has it give the credit later.
func (m *streamMemory) withhold(s *stream) bool {
	if !m.bytes.Full() {
		return false
	}
	m.mu.Lock()
	m.owed[s] = struct{}{}
	m.owing.Store(int32(len(m.owed)))
	m.mu.Unlock()
	if m.bytes.Full() {
		return true
	}
	m.forget(s) // memory was given back in the same moment
	return false
}

func (m *streamMemory) forget(s *stream) {
	m.mu.Lock()
	delete(m.owed, s)
	m.owing.Store(int32(len(m.owed)))
	m.mu.Unlock()
}

// received is an item that the application has not taken.
type received struct {
	payload  string
	encoding flat.Protocol
	size     int // bytes of its frame
}

// stream is one end of an open stream. The reader of the connection brings items and credit, and never waits.
// One goroutine at a time takes items, and one sends.
type stream struct {
	id       int32
	method   string // as it stands in messages
	encoding flat.Protocol
	lane     *streamLane
	memory   *streamMemory
	head     []byte // of a frame with an item; its length is set for each
	limits   theader.Limits

	decoding account // memory of the item that is being read

	mu      sync.Mutex
	queue   []received // from first on
	first   int
	receive flow.Receiver
	send    flow.Sender
	ended   error // why no more items come, once those in the queue are taken; nil: more may come
	over    error // why no more can be sent; nil: more can be
	sealed  bool  // this end has said that it sends no more
	moved   bool  // moving is closed
	sums    streamSums

	counted *streamRow // nil: the stream is not counted; guarded by the census, as endedAs
	endedAs string     // the code of its end; "": it is open

	items  chan struct{} // one signal: queue or ended has changed
	room   chan struct{} // one signal: send or over has changed
	moving chan struct{} // closed when the stream should be opened elsewhere
}

func (s *stream) init(id int32, method string, e flat.Protocol, lane *streamLane, m *streamMemory, l theader.Limits) {
	s.id, s.method, s.encoding, s.lane, s.memory, s.limits = id, method, e, lane, m, l
	s.head = frameHead(id, frameItem)
	s.receive = flow.NewReceiver(int64(m.limits.Window))
	s.items, s.room, s.moving = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// arrive takes an item from the reader. size is that of its frame. An error means that the peer has broken the
// format; the connection ends then.
func (s *stream) arrive(payload string, e flat.Protocol, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return nil // it was under way when the stream ended
	}
	if size > s.memory.limits.Item+itemFrame {
		return fmt.Errorf("%w: an item of %s has %d bytes, at most %d are allowed; raise streams.item at both ends",
			theader.ErrTooLarge, s.method, size, s.memory.limits.Item)
	}
	if err := s.receive.Arrived(size); err != nil {
		return fmt.Errorf("%w: %s: %w", theader.ErrMalformed, s.method, err)
	}
	s.queue = append(s.queue, received{payload, e, size})
	s.sums.received++
	s.sums.receivedBytes += int64(size)
	s.memory.bytes.Add(int64(size))
	if len(s.queue)-s.first == 1 { // else its receiver does not wait
		signal(s.items)
	}
	return nil
}

// itemFrame is the room for the heads of an item's frame and message, beyond its own bytes.
const itemFrame = 2 << 10

// errStopped ends a wait when its channel until is closed.
var errStopped = errors.New("the wait was stopped")

// take returns the next item. It waits until one comes, the stream ends, or ctx ends. When until is closed, it
// returns errStopped. A nil until is never closed.
func (s *stream) take(ctx context.Context, until <-chan struct{}) (received, error) {
	for {
		select {
		case <-until:
			return received{}, errStopped
		default:
		}
		s.mu.Lock()
		if item, ok := s.pop(); ok {
			s.receive.Taken(item.size)
			due := s.dueCredit()
			s.mu.Unlock()
			s.memory.release(item.size)
			s.grant(due)
			return item, nil
		}
		ended := s.ended
		s.mu.Unlock()
		if ended != nil {
			return received{}, ended
		}
		select {
		case <-s.items:
		case <-until:
		case <-ctx.Done():
			return received{}, ctx.Err()
		}
	}
}

// pop removes the first item of the queue. The caller holds mu.
func (s *stream) pop() (item received, ok bool) {
	if s.first == len(s.queue) {
		return received{}, false
	}
	item = s.queue[s.first]
	s.queue[s.first] = received{}
	if s.first++; s.first == len(s.queue) {
		s.queue, s.first = s.queue[:0], 0
		if cap(s.queue) > 64 {
			s.queue = nil
		}
	} else if s.first >= 1024 {
		n := copy(s.queue, s.queue[s.first:])
		clear(s.queue[n:])
		s.queue, s.first = s.queue[:n], 0
	}
	return item, true
}

// dueCredit returns the credit to give now. The caller holds mu.
func (s *stream) dueCredit() int64 {
	if s.ended != nil || s.memory.withhold(s) {
		return 0
	}
	return s.receive.Due()
}

// giveCredit gives credit that was withheld.
func (s *stream) giveCredit() {
	s.mu.Lock()
	due := s.dueCredit()
	s.mu.Unlock()
	s.grant(due)
}

func (s *stream) grant(n int64) {
	if n > 0 {
		_ = s.lane.sendNow(appendCredit(nil, s.id, n), nil) // an error ends the connection, and the stream with it
	}
}

// credit adds n bytes to what this end may send. The reader calls it.
func (s *stream) credit(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.send.Grant(n); err != nil {
		return fmt.Errorf("%w: %s: %w", theader.ErrMalformed, s.method, err)
	}
	signal(s.room)
	return nil
}

var (
	errSealed = errors.New("no items can be sent after the end of this direction")
	errStall  = errors.New("the other end has taken too little")
)

// put sends one item, given as the struct of a message. It waits for credit, and for its turn on the connection.
func (s *stream) put(ctx context.Context, kind thrift.TMessageType, item thrift.TStruct) error {
	w := flat.NewWriter(s.encoding, s.limits.Frame)
	defer w.Free()
	err := w.WriteMessageBegin(ctx, s.method, kind, s.id)
	if err == nil {
		err = item.Write(ctx, w)
	}
	if err == nil {
		err = w.WriteMessageEnd(ctx)
	}
	body := w.Bytes()
	if err == nil && len(body) > s.memory.limits.Item {
		err = fmt.Errorf("%w: the item has %d bytes, at most %d are allowed; send less, or raise streams.item",
			theader.ErrTooLarge, len(body), s.memory.limits.Item)
	}
	if err != nil {
		return &itemError{err}
	}
	var room [64]byte
	head := append(room[:0], s.head...)
	if err := setLength(head, len(body), s.limits); err != nil {
		return &itemError{err}
	}
	if err := s.spend(ctx, len(head)-4+len(body)); err != nil {
		return err
	}
	if err := s.lane.send(ctx, head, body); err != nil {
		if ctx.Err() != nil || err == transport.ErrWriteQueue { // it had no turn, or no room
			s.unspend(len(head) - 4 + len(body))
			return err
		}
		return s.whyOver(err)
	}
	return nil
}

// unspend takes back the credit and the count of an item that was not sent.
func (s *stream) unspend(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send.Sent(-size)
	s.sums.sent--
	s.sums.sentBytes -= int64(size)
}

// itemError is the error of an item that can't be sent; the stream goes on.
type itemError struct{ error }

func (e *itemError) Unwrap() error { return e.error }

// spend waits for credit and takes size bytes of it.
func (s *stream) spend(ctx context.Context, size int) error {
	var stalled <-chan time.Time
	var since time.Time
	for {
		s.mu.Lock()
		if stalled != nil {
			now := time.Now()
			s.sums.stalled += now.Sub(since)
			since = now
		}
		err := s.over
		switch {
		case err != nil:
		case s.sealed:
			err = errSealed
		case s.send.Ready():
			s.send.Sent(size)
			s.sums.sent++
			s.sums.sentBytes += int64(size)
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
		if stalled == nil {
			timer := time.NewTimer(s.memory.limits.Stall)
			defer timer.Stop()
			stalled, since = timer.C, time.Now()
		}
		select {
		case <-s.room:
		case <-stalled:
			return fmt.Errorf("%w for %v", errStall, s.memory.limits.Stall)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// whyOver returns why nothing can be sent any more, or err when that is not known.
func (s *stream) whyOver(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.over, err)
}

// seal ends this end's direction, and reports whether it was open.
func (s *stream) seal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := !s.sealed && s.over == nil
	s.sealed = true
	return open
}

// endItems records that no more items come. err is io.EOF when the peer has sent all of them.
func (s *stream) endItems(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
		signal(s.items)
	}
}

// stop ends both directions. Items that are not taken are kept when keep is set, and dropped otherwise.
func (s *stream) stop(err error, keep bool) {
	s.mu.Lock()
	dropped := 0
	if !keep {
		for item, ok := s.pop(); ok; item, ok = s.pop() {
			dropped += item.size
		}
	}
	if s.ended == nil || dropped > 0 {
		s.ended = err
	}
	if s.over == nil {
		s.over = err
	}
	signal(s.items)
	signal(s.room)
	s.mu.Unlock()
	s.memory.forget(s)
	if dropped > 0 {
		s.memory.release(dropped)
	}
}

// move tells the application to open the stream elsewhere.
func (s *stream) move() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.moved {
		s.moved = true
		close(s.moving)
	}
}

// decode reads an item's message into a struct.
func (s *stream) decode(
	ctx context.Context, item received, kind thrift.TMessageType, into thrift.TStruct, mem flat.Memory,
) error {
	r := flat.NewReader(item.encoding, item.payload, mem)
	defer r.Free()
	_, is, _, err := r.ReadMessageBegin(ctx)
	if err == nil && is != kind {
		err = fmt.Errorf("message type %d is no item", is)
	}
	if err == nil {
		err = into.Read(ctx, r)
	}
	return err
}
