package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/flat"
)

// Sender sends the items of a stream. One goroutine at a time may use it.
type Sender[T any] interface {
	// Send sends an item. It waits while the other end has taken too little, until ctx ends. An error is an
	// *Error; after one of the codes TooLarge and Overloaded the stream goes on.
	Send(ctx context.Context, item T) error
}

// Receiver receives the items of a stream. One goroutine at a time may use it.
type Receiver[T any] interface {
	// Recv waits for the next item, until ctx ends. It returns io.EOF after the last one.
	Recv(ctx context.Context) (T, error)
	// All returns the items up to the last one. An error of Recv comes last; io.EOF is left out.
	All(ctx context.Context) iter.Seq2[T, error]
}

// StreamMethod is a method that is served as a stream, or by a promise. Code that "skerry gen" writes makes it, by
// ServerStreamMethod and its like; docs/streams.md shows that code.
type StreamMethod struct {
	name    string
	mode    StreamMode // "": not a stream
	async   bool       // it is answered by a promise
	noPlain error      // the answer to a client without streams; nil: it is served
	serve   serveFunc
}

// serveFunc serves one call after the beginning of its message. r is nil outside of a Server.
type serveFunc func(
	ctx context.Context, r *serverCall, id int32, in, out thrift.TProtocol,
) (bool, thrift.TException)

// WithPage names the method by which clients without streams read this one. They are told so when they call it.
func (m StreamMethod) WithPage(page string) StreamMethod {
	if m.noPlain != nil {
		m.noPlain = fmt.Errorf("%w; call %s in its place", m.noPlain, page)
	}
	return m
}

// ServerStreamMethod makes a method of which the items go to the caller. args is the generated constructor of
// the method's arguments, and result builds the generated result for one item. The stream ends when h returns.
// An error that the IDL declares reaches the caller as it is.
func ServerStreamMethod[A thrift.TStruct, T any](
	method string, args func() A, h func(context.Context, A, Sender[T]) error, result func(T) thrift.TStruct,
) StreamMethod {
	serve := func(ctx context.Context, st *serverStream, a A) (thrift.TStruct, error) {
		return emptyOf(result), h(ctx, a, &outlet[T]{st, thrift.REPLY, result})
	}
	return streamMethod(method, ServerMode, args, serve, nil, result)
}

// ClientStreamMethod makes a method of which the items come from the caller. item takes the item out of the
// arguments of one item's message. The answer of h is the result of the method.
func ClientStreamMethod[A thrift.TStruct, S, T any](
	method string, args func() A, item func(A) S, h func(context.Context, A, Receiver[S]) (T, error),
	result func(T) thrift.TStruct,
) StreamMethod {
	answer := func(v T, err error) (thrift.TStruct, error) {
		if err != nil {
			return emptyOf(result), err
		}
		return result(v), nil
	}
	serve := func(ctx context.Context, st *serverStream, a A) (thrift.TStruct, error) {
		return answer(h(ctx, a, newInlet(st, args, item)))
	}
	plain := func(ctx context.Context, a A) (thrift.TStruct, error) { // a plain call is a stream of one item
		return answer(h(ctx, a, &single[S]{item: item(a)}))
	}
	return streamMethod(method, ClientMode, args, serve, plain, result)
}

// BidiStreamMethod makes a method of which items go both ways. item and result are as for the other modes.
func BidiStreamMethod[A thrift.TStruct, S, T any](
	method string, args func() A, item func(A) S, h func(context.Context, A, Receiver[S], Sender[T]) error,
	result func(T) thrift.TStruct,
) StreamMethod {
	serve := func(ctx context.Context, st *serverStream, a A) (thrift.TStruct, error) {
		return emptyOf(result), h(ctx, a, newInlet(st, args, item), &outlet[T]{st, thrift.REPLY, result})
	}
	return streamMethod(method, BidiMode, args, serve, nil, result)
}

// streamMethod puts the parts together that all modes have.
func streamMethod[A thrift.TStruct, T any](
	method string, mode StreamMode, args func() A,
	serve func(context.Context, *serverStream, A) (thrift.TStruct, error),
	plain func(context.Context, A) (thrift.TStruct, error), result func(T) thrift.TStruct,
) StreamMethod {
	var noPlain error
	if plain == nil {
		noPlain = fmt.Errorf("%s is a stream, which this client does not know", method)
	}
	return StreamMethod{name: method, mode: mode, noPlain: noPlain, serve: func(
		ctx context.Context, r *serverCall, id int32, in, out thrift.TProtocol,
	) (bool, thrift.TException) {
		var st *serverStream
		if r != nil {
			st = r.stream()
		}
		a := args()
		if err := readArgs(ctx, method, id, a, in, out); err != nil {
			return false, err
		}
		if st == nil {
			reply, err := plain(ctx, a)
			return writeResult(ctx, method, id, out, reply, emptyOf(result), err)
		}
		st.accept()
		reply, err := serve(ctx, st, a)
		return writeResult(ctx, method, id, out, reply, emptyOf(result), err)
	}}
}

// emptyOf returns a result struct without a success.
func emptyOf[T any](result func(T) thrift.TStruct) thrift.TStruct {
	var none T
	empty := result(none)
	resetStruct(empty)
	return empty
}

// readArgs reads the arguments of a call up to the end of its message. When they can't be read, it answers with
// an exception.
func readArgs(
	ctx context.Context, method string, id int32, args thrift.TStruct, in, out thrift.TProtocol,
) thrift.TException {
	err := args.Read(ctx, in)
	if err == nil {
		err = in.ReadMessageEnd(ctx)
	}
	if err == nil {
		return nil
	}
	writeException(ctx, method, id, out, thrift.NewTApplicationException(thrift.PROTOCOL_ERROR, err.Error()))
	return thrift.WrapTException(err)
}

// refusePlain answers a call of a method that is a stream.
func refusePlain(
	ctx context.Context, method string, id int32, in, out thrift.TProtocol, because error,
) (bool, thrift.TException) {
	if err := in.Skip(ctx, thrift.STRUCT); err != nil {
		return false, thrift.WrapTException(err)
	}
	x := thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, because.Error())
	writeException(ctx, method, id, out, x)
	return true, x
}

func writeException(
	ctx context.Context, method string, id int32, out thrift.TProtocol, x thrift.TApplicationException,
) {
	_ = errors.Join(out.WriteMessageBegin(ctx, method, thrift.EXCEPTION, id), x.Write(ctx, out),
		out.WriteMessageEnd(ctx), out.Flush(ctx)) // into memory
}

// writeResult writes the reply of a handler as generated processors do.
func writeResult(
	ctx context.Context, method string, id int32, out thrift.TProtocol, reply, empty thrift.TStruct, err error,
) (bool, thrift.TException) {
	if err != nil {
		if reply = declaredIn(empty, err); reply == nil {
			text := "Internal error processing " + method + ": " + err.Error()
			writeException(ctx, method, id, out, thrift.NewTApplicationException(thrift.INTERNAL_ERROR, text))
			return true, thrift.WrapTException(err)
		}
	}
	if failed := errors.Join(out.WriteMessageBegin(ctx, method, thrift.REPLY, id), reply.Write(ctx, out),
		out.WriteMessageEnd(ctx), out.Flush(ctx)); failed != nil {
		return false, thrift.WrapTException(failed)
	}
	return true, thrift.WrapTException(err)
}

// declaredIn puts an exception into its field of a result. It returns nil when the result has no such field.
func declaredIn(result thrift.TStruct, err error) thrift.TStruct {
	if v, ok := result.(voidResult); ok {
		result = v.TStruct
	}
	v := reflect.ValueOf(result)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	for i := range v.Elem().NumField() {
		f := v.Elem().Field(i)
		if f.Kind() != reflect.Pointer || !f.CanSet() || isSuccess(v.Elem().Type(), i) ||
			!f.Type().Implements(reflect.TypeFor[thrift.TException]()) {
			continue
		}
		if target := reflect.New(f.Type()); errors.As(err, target.Interface()) {
			f.Set(target.Elem())
			return result
		}
	}
	return nil
}

// StreamProcessor serves the methods of a service of which some are streams. Its other methods are those of a
// generated processor.
type StreamProcessor struct {
	thrift.TProcessor
	methods map[string]*StreamMethod
}

// NewStreamProcessor makes the processor of a service. p serves all other methods; nil: there are none.
func NewStreamProcessor(p thrift.TProcessor, methods ...StreamMethod) *StreamProcessor {
	if p == nil {
		p = noMethods{}
	}
	s := &StreamProcessor{TProcessor: p, methods: make(map[string]*StreamMethod, len(methods))}
	for _, m := range methods {
		s.methods[m.name] = &m
	}
	return s
}

// ProcessorMap returns the functions of all methods. Outside of a Server of this package, the function of a stream
// serves the call as a stream of one item in ClientMode, and refuses it in the other modes.
func (p *StreamProcessor) ProcessorMap() map[string]thrift.TProcessorFunction {
	all := maps.Clone(p.TProcessor.ProcessorMap())
	if all == nil {
		all = map[string]thrift.TProcessorFunction{}
	}
	for name, m := range p.methods {
		if all[name] == nil {
			all[name] = plainCall{m}
		}
	}
	return all
}

// Process serves one call of a client without streams. A Server of this package does not use it.
func (p *StreamProcessor) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, kind, id, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	if m := p.methods[name]; m != nil {
		return plainCall{m}.Process(ctx, id, in, out)
	}
	return p.TProcessor.Process(ctx, thrift.NewStoredMessageProtocol(in, name, kind, id), out)
}

// plainCall serves a stream's method for a client without streams.
type plainCall struct{ m *StreamMethod }

func (f plainCall) Process(ctx context.Context, id int32, in, out thrift.TProtocol) (bool, thrift.TException) {
	if f.m.noPlain != nil {
		return refusePlain(ctx, f.m.name, id, in, out, f.m.noPlain)
	}
	return f.m.serve(ctx, nil, id, in, out)
}

// noMethods is a processor without methods.
type noMethods struct{}

func (noMethods) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, _, id, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	return refusePlain(ctx, name, id, in, out, fmt.Errorf("unknown function %s", name))
}

func (noMethods) ProcessorMap() map[string]thrift.TProcessorFunction  { return nil }
func (noMethods) AddToProcessorMap(string, thrift.TProcessorFunction) {}

// outlet sends the items of a provider.
type outlet[T any] struct {
	st     *serverStream
	kind   thrift.TMessageType
	result func(T) thrift.TStruct
}

func (o *outlet[T]) Send(ctx context.Context, item T) error {
	return o.st.sent(ctx, o.st.put(ctx, o.kind, o.result(item)))
}

// inlet receives the items of a caller.
type inlet[S any] struct {
	st   *serverStream
	args func() thrift.TStruct
	item func(thrift.TStruct) S
}

func newInlet[A thrift.TStruct, S any](st *serverStream, args func() A, item func(A) S) *inlet[S] {
	return &inlet[S]{st, func() thrift.TStruct { return args() }, func(p thrift.TStruct) S { return item(p.(A)) }}
}

func (i *inlet[S]) Recv(ctx context.Context) (S, error) {
	var none S
	item, err := i.st.next(ctx)
	if err != nil {
		return none, err
	}
	args := i.args()
	st := i.st
	st.decoding = account{decodeLimits: &st.call.conn.s.decodeLimits}
	err = st.decode(ctx, item, thrift.CALL, args, flat.Memory{Account: &st.decoding, Shape: st.call.kind.shape})
	st.decoding.close()
	if err != nil {
		e := i.st.fail(BadMessage, fmt.Errorf("read an item: %w", err))
		i.st.cut(BadMessage, e.Err)
		return none, e
	}
	return i.item(args), nil
}

func (i *inlet[S]) All(ctx context.Context) iter.Seq2[S, error] { return allOf(ctx, i.Recv) }

// allOf makes an iterator of a function like Recv.
func allOf[T any](ctx context.Context, recv func(context.Context) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			item, err := recv(ctx)
			if err == io.EOF {
				return
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// single is the Receiver of a plain call.
type single[S any] struct {
	item S
	over bool
}

func (s *single[S]) Recv(context.Context) (S, error) {
	if s.over {
		var none S
		return none, io.EOF
	}
	s.over = true
	return s.item, nil
}

func (s *single[S]) All(ctx context.Context) iter.Seq2[S, error] { return allOf(ctx, s.Recv) }
