package testfeed

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc"
)

// IDL is the path of the .thrift file from the root of the repository.
const IDL = "internal/testfeed/testfeed.thrift"

// Handler serves a Feed. A watch sends the points behind since: count of them and its end, or without an end for a
// count of 0. A negative count is thrown as Gone, after a point. An upload counts points, and throws Gone for a point
// of the text "gone". A talk sends each point back in capital letters, and ends with Gone at the text "gone".
type Handler struct {
	Running atomic.Int64  // handlers
	Sent    atomic.Int64  // points of watches
	Hold    chan struct{} // when it is not nil, a watch without an end sends three points and waits for it to close
	Text    string        // of points
}

func (h *Handler) run() func() {
	h.Running.Add(1)
	return func() { h.Running.Add(-1) }
}

func (h *Handler) watch(ctx context.Context, a *FeedWatchArgs, out rpc.Sender[*Point]) error {
	defer h.run()()
	r := a.R
	if r == nil {
		r = &Range{}
	}
	for n := int64(1); r.Count <= 0 || n <= r.Count; n++ {
		if err := out.Send(ctx, &Point{T: r.Since + n, Text: h.Text}); err != nil {
			return err
		}
		h.Sent.Add(1)
		if r.Count < 0 {
			return &Gone{Oldest: -r.Count}
		}
		if r.Count == 0 && n == 3 && h.Hold != nil {
			select {
			case <-h.Hold:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (h *Handler) upload(ctx context.Context, a *FeedUploadArgs, in rpc.Receiver[*Point]) (*Ack, error) {
	defer h.run()()
	ack := &Ack{Tag: a.Tag}
	for p, err := range in.All(ctx) {
		if err != nil {
			return nil, err
		}
		if p.Text == "gone" {
			return nil, &Gone{Oldest: p.T}
		}
		ack.Points++
		ack.Last = p.T
	}
	return ack, nil
}

func (h *Handler) talk(ctx context.Context, _ *FeedTalkArgs, in rpc.Receiver[*Point], out rpc.Sender[*Point]) error {
	defer h.run()()
	for p, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		if p.Text == "gone" {
			return &Gone{Oldest: p.T}
		}
		p.Text = strings.ToUpper(p.Text)
		if err := out.Send(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Processor returns what serves the handler.
func (h *Handler) Processor() thrift.TProcessor {
	return rpc.NewStreamProcessor(nil,
		rpc.ServerStreamMethod("watch", NewFeedWatchArgs, h.watch,
			func(p *Point) thrift.TStruct { return &FeedWatchResult{Success: p} }),
		rpc.ClientStreamMethod("upload", NewFeedUploadArgs, (*FeedUploadArgs).GetPoint, h.upload,
			func(a *Ack) thrift.TStruct { return &FeedUploadResult{Success: a} }),
		rpc.BidiStreamMethod("talk", NewFeedTalkArgs, (*FeedTalkArgs).GetPoint, h.talk,
			func(p *Point) thrift.TStruct { return &FeedTalkResult{Success: p} }))
}
