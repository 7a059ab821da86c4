package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// clientStream is the caller's end of a stream.
type clientStream struct {
	stream
	conn    *clientConn
	slot    *pendingCall // its sequence number is taken while the stream is open
	users   atomic.Int32 // of the slot: the opening call and the open stream
	service *serviceClient
	ep      *Endpoint
	mode    StreamMode
	reply   thrift.TStruct
	version string // of the provider, from its acceptance
	server  string // the provider's instance

	endTrace func()      // guarded by mu, like unbind; both are called at the end of the stream
	unbind   func() bool // from the context of the opening
	freed    atomic.Bool
	done     chan struct{} // closed when freed

	final     string // the reply that ended the stream; "": none has come
	concluded sync.Once
	conclude  error // what it says
}

// errFinal: the reply that ends the stream has come.
var errFinal = errors.New("the provider has ended the stream")

// bind ends the stream with a context.
func (s *clientStream) bind(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	s.hold(context.AfterFunc(ctx, func() {
		s.cancel(s.fail(giveUpCode(ctx.Err(), Canceled), context.Cause(ctx)))
	}), nil)
}

// hold keeps functions to call at the end of the stream. If it has ended already, they are called at once.
func (s *clientStream) hold(unbind func() bool, endTrace func()) {
	s.mu.Lock()
	if unbind != nil {
		s.unbind = unbind
	}
	if endTrace != nil {
		s.endTrace = endTrace
	}
	s.mu.Unlock()
	if s.freed.Load() {
		s.letGo()
	}
}

// letGo calls what hold has kept, each once.
func (s *clientStream) letGo() {
	s.mu.Lock()
	unbind, endTrace := s.unbind, s.endTrace
	s.unbind, s.endTrace = nil, nil
	s.mu.Unlock()
	if unbind != nil {
		unbind()
	}
	if endTrace != nil {
		endTrace()
	}
}

// leaveSlot gives the sequence number back when neither the opening call nor the stream uses it.
func (s *clientStream) leaveSlot() {
	if s.users.Add(-1) == 0 {
		s.conn.pending.free(s.slot)
	}
}

// frame handles one frame of the stream, in the reader.
func (s *clientStream) frame(frame string) error {
	l := s.conn
	if k := l.itemHead.Load(); s.mode.down() && k.fits(frame) {
		return s.arrive(frame[headBackAt+len(k.back):], k.encoding, len(frame))
	}
	var h theader.Header
	payload, err := theader.Parse(frame, &h, l.in.Limits)
	if err != nil {
		return err
	}
	switch kind := h.Get(keyFrame); {
	case kind == frameItem && (h.Zipped || !s.mode.down()):
		return fmt.Errorf("%w: an item of %s that is compressed or has no receiver", theader.ErrMalformed, s.method)
	case kind == frameItem:
		if back := len(frame) - len(payload); back-headBackAt <= maxKnownHead {
			l.itemHead.Store(&replyHead{
				front: strings.Clone(frame[:headSeqAt]), back: strings.Clone(frame[headBackAt:back]),
				encoding: flat.Protocol(h.Protocol),
			})
		}
		return s.arrive(payload, flat.Protocol(h.Protocol), len(frame))
	case kind == frameAccept, l.pending.isWaiting(s.id):
		l.pending.resolve(s.id, frame, nil)
		return nil
	case kind != "":
		return nil // a frame of a later version
	}
	s.mu.Lock()
	s.final = frame
	s.mu.Unlock()
	how := endedWell
	if code := h.Get(keyCode); code != "" {
		how = ParseCode(code).String() // a known code, because the peer may send any text
	}
	s.free(how)
	s.stop(errFinal, true)
	return nil
}

// lost ends the stream with its connection.
func (s *clientStream) lost(err error) {
	code := ConnectionLost
	switch {
	case errors.Is(err, errBye):
		code, err = Draining, errors.New("the server has stopped")
	case errors.Is(err, errClientClosed):
		code = Canceled
	case errors.Is(err, theader.ErrMalformed), errors.Is(err, theader.ErrTooLarge):
		code = BadMessage
	}
	s.free(code.String())
	s.stop(s.fail(code, err), true)
}

// abandon ends a stream that was not accepted.
func (s *clientStream) abandon(err error) {
	s.free(CodeOf(err).String())
	s.stop(err, false)
}

// cancel ends the stream from this end.
func (s *clientStream) cancel(err error) {
	if s.free(CodeOf(err).String()) {
		_ = s.lane.sendNow(appendControl(nil, controlCancel, 0, s.id), nil) // an error: the connection has ended
	}
	s.stop(err, false)
}

// free gives back what an open stream holds. It reports false when that was done before. how is the end that the
// census counts.
func (s *clientStream) free(how string) bool {
	if s.freed.Swap(true) {
		return false
	}
	defer close(s.done)
	s.memory.census.end(&s.stream, how)
	s.conn.streams.remove(s)
	s.leaveSlot()
	s.ep.pending.Add(-1)
	s.letGo()
	return true
}

// fail returns the error of a stream that was accepted.
func (s *clientStream) fail(code Code, err error) *Error {
	return &Error{
		Code:     code,
		Executed: WasExecuted,
		Service:  s.service.name,
		Method:   s.method,
		Instance: s.ep.Addr,
		Attempt:  1,
		Err:      err,
	}
}

// answer returns what the last reply of the stream says: nothing, a declared exception, or an *Error.
func (s *clientStream) answer() error {
	s.concluded.Do(func() {
		a := attempt{
			s:    s.service,
			ctx:  &callContext{base: context.Background()},
			call: &Call{Service: s.service.name, Method: s.method, Result: s.reply, Attempt: 1},
			ep:   s.ep,
		}
		resetStruct(s.reply)
		_, err := a.read(s.conn, &outgoing{seq: s.id, name: s.method}, s.final)
		if err == nil {
			err = exceptionIn(s.reply)
		}
		s.conclude = err
	})
	return s.conclude
}

// next returns the next item. Its error is io.EOF at the end, a declared exception, or an *Error.
func (s *clientStream) next(ctx context.Context, until <-chan struct{}) (received, error) {
	item, err := s.take(ctx, until)
	return item, s.explain(ctx, err)
}

// explain turns the error of the stream's core into that of its user.
func (s *clientStream) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return err
	case err == errFinal:
		return cmp.Or(s.answer(), io.EOF)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		if why := s.whyOver(nil); errors.As(why, &e) { // the stream has ended with the context
			return why
		}
		return s.fail(giveUpCode(err, Canceled), err)
	case err == errStopped, err == io.EOF:
		return err
	}
	return s.fail(itemCode(err), err)
}

// itemCode is the code of an error that keeps an item from being sent or received.
func itemCode(err error) Code {
	switch err {
	case errSealed:
		return Canceled
	case transport.ErrWriteQueue:
		return Overloaded
	}
	return ConnectionLost
}

// sent turns the error of put into that of its user.
func (s *clientStream) sent(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var bad *itemError
	switch {
	case err == errFinal:
		return io.EOF
	case errors.Is(err, errStall):
		e := s.fail(SlowReader, err)
		s.cancel(e)
		return e
	case errors.As(err, &bad):
		return s.fail(TooLarge, bad.error)
	}
	return s.explain(ctx, err)
}

// endSend says that this end sends no more items.
func (s *clientStream) endSend() error {
	if !s.seal() {
		return nil
	}
	head := frameHead(s.id, frameEnd)
	err := setLength(head, 0, s.limits)
	if err == nil {
		err = s.lane.send(context.Background(), head, nil)
	}
	return s.explain(context.Background(), err)
}

// resetStruct sets a generated struct to its zero value.
func resetStruct(p thrift.TStruct) {
	if v, ok := p.(voidResult); ok {
		p = v.TStruct
	}
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && !v.IsNil() {
		v.Elem().SetZero()
	}
}

// isSuccess reports whether a field of a generated result is for the method's value, not for an exception.
func isSuccess(result reflect.Type, field int) bool { return result.Field(field).Name == "Success" }

// exceptionIn returns the declared exception that a result struct holds, nil without one.
func exceptionIn(result thrift.TStruct) error {
	if v, ok := result.(voidResult); ok {
		result = v.TStruct
	}
	if t, ok := result.(interface{ Thrown() error }); ok { // not of generated code
		return t.Thrown()
	}
	v := reflect.ValueOf(result)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	for i := range v.Elem().NumField() {
		f := v.Elem().Field(i)
		if f.Kind() != reflect.Pointer || f.IsNil() || !f.CanInterface() || isSuccess(v.Elem().Type(), i) {
			continue
		}
		if err, ok := f.Interface().(thrift.TException); ok {
			return err
		}
	}
	return nil
}
