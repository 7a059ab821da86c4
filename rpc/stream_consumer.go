package rpc

import (
	"context"
	"fmt"
	"iter"

	"github.com/apache/thrift/lib/go/thrift"
)

// ResultOf is a generated result struct with a T as its success.
type ResultOf[T any] interface {
	thrift.TStruct
	GetSuccess() T
}

// Void makes a ResultOf of the result of a method without a value.
func Void(result thrift.TStruct) ResultOf[struct{}] { return voidResult{result} }

type voidResult struct{ thrift.TStruct }

func (voidResult) GetSuccess() struct{} { return struct{}{} }

// streamEnd is what the caller's ends of all streams have in common.
type streamEnd struct{ c *clientStream }

// Instance returns the address of the provider's instance.
func (s streamEnd) Instance() string {
	if s.c.server != "" {
		return s.c.server
	}
	return s.c.ep.Addr
}

// Version returns the version of the service that serves the stream; "" when it is not known.
func (s streamEnd) Version() string { return s.c.version }

// Moving returns a channel that is closed when the stream should be opened elsewhere soon, because its instance
// is leaving or the service has moved to another version. The stream is cut some time later.
func (s streamEnd) Moving() <-chan struct{} { return s.c.moving }

// Done returns a channel that is closed when the stream has ended at either end. Items that have come can still be
// received, and a caller that sends learns of the end before its next item.
func (s streamEnd) Done() <-chan struct{} { return s.c.done }

// Close ends the stream, from any goroutine. The provider's handler is told. It never waits, and a second Close
// does nothing.
func (s streamEnd) Close() { s.c.cancel(s.c.fail(Canceled, context.Canceled)) }

// ServerStream receives what a provider sends.
type ServerStream[T any] struct {
	streamEnd
	result ResultOf[T]
}

// OpenServerStream opens a stream of which the items come from the provider. result is the method's generated
// result struct, which the stream uses from then on. The error is that of a call: with one, no handler runs.
//
// The stream lives until the provider ends it, Close is called, or ctx ends. A deadline of ctx travels with it. The
// time-out of the service's calls bounds the opening alone.
func OpenServerStream[T any](
	ctx context.Context, tc thrift.TClient, method string, args thrift.TStruct, result ResultOf[T],
) (*ServerStream[T], error) {
	c, err := openStream(ctx, tc, method, args, &opening{mode: ServerMode, reply: result})
	if err != nil {
		return nil, err
	}
	return &ServerStream[T]{streamEnd{c}, result}, nil
}

// Recv waits for the next item until ctx ends, which does not end the stream. It returns io.EOF when the provider
// has ended the stream. An exception that the IDL declares is returned as it is, and any other error is an *Error.
func (s *ServerStream[T]) Recv(ctx context.Context) (T, error) {
	return receive(ctx, nil, s.c, s.result)
}

// RecvUntil is Recv with a channel that stops it. Once until is closed, it returns ok false without an item or an
// error, even when items have come.
func (s *ServerStream[T]) RecvUntil(ctx context.Context, until <-chan struct{}) (item T, ok bool, err error) {
	item, err = receive(ctx, until, s.c, s.result)
	if err == errStopped {
		return item, false, nil
	}
	return item, err == nil, err
}

// All returns the items up to the last one, and closes the stream when the loop is left. An error
// of Recv comes last; io.EOF is left out.
func (s *ServerStream[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer s.Close()
		allOf(ctx, s.Recv)(yield)
	}
}

func receive[T any](
	ctx context.Context, until <-chan struct{}, c *clientStream, result ResultOf[T],
) (T, error) {
	var none T
	item, err := c.next(ctx, until)
	if err != nil {
		return none, err
	}
	resetStruct(result)
	c.decoding = account{decodeLimits: &c.service.c.decodeLimits}
	err = c.decode(ctx, item, thrift.REPLY, result, c.service.memoryOfReply(&c.decoding, result))
	c.decoding.close()
	if err != nil {
		e := c.fail(BadMessage, fmt.Errorf("read an item: %w", err))
		c.cancel(e)
		return none, e
	}
	return result.GetSuccess(), nil
}

// ClientStream sends items to a provider, which answers them all with one result.
type ClientStream[S, T any] struct {
	streamEnd
	item   func(S) thrift.TStruct
	result ResultOf[T]
}

// OpenClientStream opens a stream of which the items go to the provider. args go with the opening. If their
// argument for the item is a struct, it must be an empty one. item builds the arguments that carry one item. The
// rest is as for OpenServerStream.
func OpenClientStream[S, T any](
	ctx context.Context, tc thrift.TClient, method string, args thrift.TStruct, item func(S) thrift.TStruct,
	result ResultOf[T],
) (*ClientStream[S, T], error) {
	c, err := openStream(ctx, tc, method, args, &opening{mode: ClientMode, reply: result})
	if err != nil {
		return nil, err
	}
	return &ClientStream[S, T]{streamEnd{c}, item, result}, nil
}

// Send sends an item, and waits for the provider to take earlier ones until ctx ends. It returns io.EOF when the
// provider has ended the stream: End says why. Any other error is an *Error; after the codes TooLarge and Overloaded
// the stream goes on.
func (s *ClientStream[S, T]) Send(ctx context.Context, item S) error {
	return s.c.sent(ctx, s.c.put(ctx, thrift.CALL, s.item(item)))
}

// End says that all items are sent, and waits for the provider's answer until ctx ends. Its errors are those of
// a call.
func (s *ClientStream[S, T]) End(ctx context.Context) (T, error) {
	var none T
	if err := s.c.endSend(); err != nil {
		return none, err
	}
	switch _, err := s.c.take(ctx, nil); {
	case err != errFinal:
		return none, s.c.explain(ctx, err)
	default:
		if err := s.c.answer(); err != nil {
			return none, err
		}
	}
	return s.result.GetSuccess(), nil
}

// BidiStream sends items to a provider, and receives others.
type BidiStream[S, T any] struct {
	streamEnd
	item   func(S) thrift.TStruct
	result ResultOf[T]
}

// OpenBidiStream opens a stream of which items go both ways. The parameters are those of OpenClientStream. One
// goroutine may send while another receives.
func OpenBidiStream[S, T any](
	ctx context.Context, tc thrift.TClient, method string, args thrift.TStruct, item func(S) thrift.TStruct,
	result ResultOf[T],
) (*BidiStream[S, T], error) {
	c, err := openStream(ctx, tc, method, args, &opening{mode: BidiMode, reply: result})
	if err != nil {
		return nil, err
	}
	return &BidiStream[S, T]{streamEnd{c}, item, result}, nil
}

// Send is ClientStream.Send; Recv says why the provider has ended the stream.
func (s *BidiStream[S, T]) Send(ctx context.Context, item S) error {
	return s.c.sent(ctx, s.c.put(ctx, thrift.CALL, s.item(item)))
}

// EndSend says that this end sends no more items. The provider's items go on.
func (s *BidiStream[S, T]) EndSend() error { return s.c.endSend() }

// Recv is ServerStream.Recv.
func (s *BidiStream[S, T]) Recv(ctx context.Context) (T, error) {
	return receive(ctx, nil, s.c, s.result)
}

// All is ServerStream.All.
func (s *BidiStream[S, T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer s.Close()
		allOf(ctx, s.Recv)(yield)
	}
}
