package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/rpc"
)

// callItems is how many items a test call of a stream sends at most, and takes.
const callItems = 100

// itemsToSend reads the items of a form, a line of JSON each.
func itemsToSend(st *dynamic.Stream, text string) (items []*dynamic.Struct, err error) {
	if len(text) > callBody {
		return nil, refuse("call.large", "kib", callBody>>10)
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if len(items) == callItems {
			return nil, refuse("call.many-items", "most", callItems)
		}
		item, err := st.Item([]byte(line))
		if err != nil {
			return nil, refuse("call.item", "line", n, "why", err.Error())
		}
		items = append(items, item)
	}
	return items, nil
}

// callStream opens a stream, sends the items, and takes those of the provider until the stream has ended, the time is
// over, or enough have come. Then the stream is closed.
func callStream(ctx context.Context, client thrift.TClient, m *dynamic.Method, st *dynamic.Stream, args *dynamic.Struct,
	items []*dynamic.Struct) (r callReplied, err error) {
	begun := time.Now()
	defer func() { r.Took = time.Since(begun) }()
	// The time bounds what the console waits for: with a deadline of its own the provider would see a failure.
	open, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	receiver := m.Receiver()
	reply := streamReply{receiver: receiver, reply: &r}
	same := func(item *dynamic.Struct) thrift.TStruct { return item }
	switch st.Mode {
	case dynamic.ServerStream:
		down, err := rpc.OpenServerStream(open, client, m.Name, args, receiver)
		if err != nil {
			return r, err
		}
		defer down.Close()
		r.Instance, r.Version = down.Instance(), down.Version()
		return r, reply.take(ctx, down.Recv)
	case dynamic.ClientStream:
		up, err := rpc.OpenClientStream(open, client, m.Name, args, same, receiver)
		if err != nil {
			return r, err
		}
		defer up.Close()
		r.Instance, r.Version = up.Instance(), up.Version()
		if err := sendAll(ctx, items, up.Send); err != nil {
			return r, err
		}
		result, err := up.End(ctx)
		return r, reply.result(result, err)
	}
	both, err := rpc.OpenBidiStream(open, client, m.Name, args, same, receiver)
	if err != nil {
		return r, err
	}
	defer both.Close()
	r.Instance, r.Version = both.Instance(), both.Version()
	sent := make(chan struct{})
	go func() { // the provider may take the next item only when its own are taken
		defer close(sent)
		if sendAll(open, items, both.Send) == nil {
			_ = both.EndSend() // Recv says why the stream has ended
		}
	}()
	err = reply.take(ctx, both.Recv)
	both.Close()
	<-sent
	return r, err
}

// sendAll sends items until the provider has ended the stream; its answer says why.
func sendAll(
	ctx context.Context, items []*dynamic.Struct, send func(context.Context, *dynamic.Struct) error,
) error {
	for _, item := range items {
		if err := send(ctx, item); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// streamReply fills in what a stream has brought.
type streamReply struct {
	receiver dynamic.Receiver
	reply    *callReplied
}

// take takes items up to the bounds.
func (s *streamReply) take(ctx context.Context, recv func(context.Context) (*dynamic.Result, error)) error {
	r := s.reply
	r.Stream = true
	var text strings.Builder
	for r.Items < callItems && text.Len() <= callReply {
		item, err := recv(ctx)
		switch {
		case err == io.EOF:
			r.show(text.String())
			return nil
		case err != nil && ctx.Err() == nil:
			r.Value = text.String()
			return s.thrown(err)
		}
		if err != nil {
			break
		}
		item.Mask()
		value, ok := item.Value()
		if !ok {
			return refuse("call.no-reply")
		}
		r.Items++
		r.Unknown += item.Unknown
		text.Write(value)
		text.WriteByte('\n')
	}
	r.Closed = true
	r.show(text.String())
	return nil
}

// result takes the answer to the caller's items.
func (s *streamReply) result(result *dynamic.Result, err error) error {
	if err != nil {
		return s.thrown(err)
	}
	result.Mask()
	value, ok := result.Value()
	if !ok {
		return refuse("call.no-reply")
	}
	s.reply.Unknown = result.Unknown
	s.reply.show(indented(value))
	return nil
}

// thrown fills in a declared exception, and returns any other error.
func (s *streamReply) thrown(err error) error {
	if declared := new(dynamic.Exception); !errors.As(err, &declared) {
		return err
	}
	last := s.receiver.GetSuccess()
	last.Mask()
	var fields json.RawMessage
	s.reply.Exception, fields, _ = last.Exception()
	s.reply.show(s.reply.Value + indented(fields))
	return nil
}
