package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/rpc"
)

// maxItemLine bounds a line with an item on standard input.
const maxItemLine = 16 << 20

// streamCall is one stream of `skerry call`.
type streamCall struct {
	a      *app
	r      callRequest
	client thrift.TClient
	m      *dynamic.Method
	st     *dynamic.Stream
	began  time.Time
	came   int // items of the provider

	unknown, notUTF8 int // in them
}

// stream opens the stream of a method, sends its items, and prints those of the provider.
func (a *app) stream(ctx context.Context, client thrift.TClient, r callRequest, m *dynamic.Method,
	st *dynamic.Stream, args *dynamic.Struct) error {
	if c, ok := client.(rooted); ok { // its trace lives as long as the stream
		traced, end := c.n.Begin(ctx, callerName)
		defer end()
		ctx, client = traced, c.TClient
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &streamCall{a: a, r: r, client: client, m: m, st: st, began: time.Now()}
	switch st.Mode {
	case dynamic.ClientStream:
		return s.up(ctx, args)
	case dynamic.BidiStream:
		return s.both(ctx, args)
	}
	down, err := rpc.OpenServerStream(ctx, client, m.Name, args, m.Receiver())
	if err != nil {
		return s.failed(ctx, err)
	}
	defer down.Close()
	return s.printItems(ctx, down)
}

// opened is a stream. Its items are printed.
type opened interface {
	Recv(ctx context.Context) (*dynamic.Result, error)
	Instance() string
	Version() string
}

// printItems prints the items of the provider, a line each.
func (s *streamCall) printItems(ctx context.Context, down opened) error {
	for s.r.limit == 0 || s.came < s.r.limit {
		item, err := down.Recv(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return s.failed(ctx, err)
		}
		value, ok := item.Value()
		if !ok {
			return problemf("%s.%s: item %d is empty; is %s the service's own version?", s.r.service, s.m.Name,
				s.came+1, s.r.thrift)
		}
		if err := s.a.printLine(value); err != nil {
			return problemf("the output could not be written: %w", err)
		}
		s.came++
		s.unknown += item.Unknown
		s.notUTF8 += item.NotUTF8
	}
	s.a.noteOddities("The items have", s.unknown, s.notUTF8)
	words := fmt.Sprintf("%s %s %s %s %s", count(s.came, "item", "s"), s.r.service, down.Version(), down.Instance(),
		number.Latency(time.Since(s.began)))
	s.a.note("%s", strings.Join(strings.Fields(words), " "))
	return nil
}

// failed is the end of the command by an error of the stream: none, when ctrl-C has ended it.
func (s *streamCall) failed(ctx context.Context, err error) error {
	var x *dynamic.Exception
	switch {
	case ctx.Err() != nil && (rpc.CodeOf(err) == rpc.Canceled || errors.Is(err, context.Canceled)):
		s.a.note("ended here, after %s", count(s.came, "item", "s"))
		return nil
	case errors.As(err, &x):
		return problemf("%s.%s threw %s %s", s.r.service, s.m.Name, x.Name, string(x.Fields))
	}
	return callError(err)
}

// up sends the items and prints the result.
func (s *streamCall) up(ctx context.Context, args *dynamic.Struct) error {
	stream, err := rpc.OpenClientStream(ctx, s.client, s.m.Name, args, asStruct, s.m.Receiver())
	if err != nil {
		return s.failed(ctx, err)
	}
	defer stream.Close()
	for item := range untilEnd(ctx, stream.Done(), s.items(ctx)) {
		if item.err != nil {
			return item.err
		}
		if err := stream.Send(ctx, item.args); err == io.EOF {
			break // End says why
		} else if err != nil {
			return s.failed(ctx, err)
		}
	}
	if ctx.Err() != nil { // the provider must not take the items for all
		return s.failed(ctx, ctx.Err())
	}
	result, err := stream.End(ctx)
	if err != nil {
		return s.failed(ctx, err)
	}
	value, ok := result.Value()
	if !ok {
		return problemf("%s.%s: the reply holds neither a result nor a declared exception; is %s the service's "+
			"own version?", s.r.service, s.m.Name, s.r.thrift)
	}
	took := time.Since(s.began)
	return s.a.printOutcome(outcome{
		Service: s.r.service, Method: s.m.Name, Value: value, Instance: stream.Instance(), Version: stream.Version(),
		TookMS: float64(took.Microseconds()) / 1e3, took: number.Latency(took),
		Unknown: result.Unknown, NotUTF8: result.NotUTF8,
	}, false)
}

// both sends the items, and prints those of the provider meanwhile.
func (s *streamCall) both(ctx context.Context, args *dynamic.Struct) error {
	stream, err := rpc.OpenBidiStream(ctx, s.client, s.m.Name, args, asStruct, s.m.Receiver())
	if err != nil {
		return s.failed(ctx, err)
	}
	defer stream.Close()
	wrong := make(chan error, 1)
	go func() { // it may wait for standard input when the command ends
		for item := range s.items(ctx) {
			if item.err != nil {
				wrong <- item.err
				stream.Close()
				return
			}
			if stream.Send(ctx, item.args) != nil {
				return // Recv says why
			}
		}
		if ctx.Err() == nil {
			_ = stream.EndSend() // an error has ended the stream
		}
	}()
	err = s.printItems(ctx, stream)
	select {
	case mistake := <-wrong:
		return mistake
	default:
		return err
	}
}

func asStruct(item *dynamic.Struct) thrift.TStruct { return item }

// untilEnd are the items up to the end of ctx or of the stream, because a read of standard input may last longer.
func untilEnd(ctx context.Context, ended <-chan struct{}, all <-chan givenItem) iter.Seq[givenItem] {
	return func(yield func(givenItem) bool) {
		for {
			select {
			case item, more := <-all:
				if !more || !yield(item) {
					return
				}
			case <-ended:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// givenItem is an item of the operator, or what is wrong with it.
type givenItem struct {
	args *dynamic.Struct
	err  error
}

// items are the items of the command line, or of standard input until its end or that of ctx.
func (s *streamCall) items(ctx context.Context) <-chan givenItem {
	all := make(chan givenItem)
	give := func(place string, text []byte) bool {
		item := givenItem{}
		var err error
		if item.args, err = s.st.Item(text); err != nil {
			item.err = usagef("%s: %w\nWanted: %s", place, err, s.st.ItemTemplate())
		}
		select {
		case all <- item:
			return err == nil
		case <-ctx.Done():
			return false
		}
	}
	go func() { // a read of standard input can't be ended
		defer close(all)
		for i, text := range s.r.items {
			if !give(fmt.Sprintf("item %d", i+1), []byte(text)) {
				return
			}
		}
		if len(s.r.items) > 0 {
			return
		}
		for lines := dynamic.NewLines(s.a.in, maxItemLine); ; {
			text, err := lines.Next()
			switch {
			case err == io.EOF:
				return
			case err != nil:
				err = usagef("standard input, line %d: %w", lines.Number(), err)
				select {
				case all <- givenItem{err: err}:
				case <-ctx.Done():
				}
				return
			case !give(fmt.Sprintf("standard input, line %d", lines.Number()), text):
				return
			}
		}
	}()
	return all
}
