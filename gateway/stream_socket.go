package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/websocket"
	"github.com/skerry/skerry/rpc"
)

// silence is how long a WebSocket may bring nothing, not even the answer to a ping.
const silence = 5 * keepAlive

// The codes of closing frames behind a stream that did not come to its end. The last message says more.
const (
	closedFailure   = 4000
	closedException = 4001
)

func asStruct(item *dynamic.Struct) thrift.TStruct { return item }

// socket is a bidi stream whose client speaks WebSocket.
type socket struct {
	v      *visit
	ws     *websocket.Conn
	stream *rpc.BidiStream[*dynamic.Struct, *dynamic.Result]
	wrong  atomic.Pointer[websocket.Closed] // why the client's side has ended, when not by its end
	active func()                           // a message has passed
}

// serveSocket opens a bidi stream, and then takes the connection over. Each message is an item; an empty one of the
// client ends its items.
func (e *thriftEdge) serveSocket(w http.ResponseWriter, r *http.Request, v *visit) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	m := v.call.method
	stream, err := rpc.OpenBidiStream(ctx, e.client, m.Name, v.call.args, asStruct, m.Receiver())
	if err != nil {
		v.failCall(w, err)
		return
	}
	defer stream.Close()
	v.instance, v.version = stream.Instance(), stream.Version()
	if own, ok := w.(*writer); ok {
		own.idle = 0 // pings are no activity
	}
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		v.err = err
		v.fail(w, http.StatusInternalServerError, failure{Error: "the connection can't become a WebSocket"})
		return
	}
	defer conn.Close()
	if err := shakeHands(conn, r); err != nil {
		return
	}
	s := &socket{v: v, stream: stream, ws: websocket.New(conn, buffer.Reader, e.g.cfg.MaxJSON, silence)}
	s.active = func() {}
	if idle := e.g.cfg.WebSocketIdle; idle > 0 {
		timer := time.AfterFunc(idle, func() {
			s.wrong.CompareAndSwap(nil, &websocket.Closed{Code: websocket.GoingAway, Reason: "idle"})
			stream.Close()
		})
		defer timer.Stop()
		s.active = func() { timer.Reset(idle) }
	}
	g := run.NewGroup(ctx)
	g.Go(func(ctx context.Context) error { s.up(ctx); return nil })
	companions := run.NewGroup(ctx)
	companions.Go(func(ctx context.Context) error {
		alive := func() { _ = s.ws.Ping() } // an error ends the reader, too
		e.accompany(ctx, v, companion{stream.Moving(), alive, func() {}, stream.Close})
		return nil
	})
	s.finish(s.down(ctx))
	companions.Stop()
	g.Wait() // for the client's last word
}

// shakeHands answers the upgrade. admit has checked the request.
func shakeHands(conn net.Conn, r *http.Request) error {
	_, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", websocket.Accept(r.Header.Get("Sec-Websocket-Key")))
	return err
}

// up sends the client's messages as items, until the connection ends.
func (s *socket) up(ctx context.Context) {
	open := true
	for n := 1; ; n++ {
		text, err := s.ws.Read()
		if err != nil {
			c, ok := errors.AsType[*websocket.Closed](err)
			if !ok { // the connection has ended
				c = &websocket.Closed{Code: websocket.GoingAway, Peer: true}
			}
			s.wrong.CompareAndSwap(nil, c)
			s.stream.Close() // the client has left
			if !c.Peer {
				s.ws.Drain()
			}
			return
		}
		s.active()
		switch {
		case !open: // it is over, or was ended; what was under way is dropped
		case len(text) == 0:
			open = false
			_ = s.stream.EndSend() // an error has ended the stream
		default:
			item, err := s.v.call.stream.Item(text)
			if err != nil {
				open = false
				s.wrong.CompareAndSwap(nil, &websocket.Closed{
					Code: websocket.Invalid, Reason: fmt.Sprintf("message %d: %v", n, err),
				})
				s.stream.Close()
				continue
			}
			if s.stream.Send(ctx, item) != nil {
				open = false // Recv says why
			}
		}
	}
}

// down sends the provider's items as messages, and returns why they have ended.
func (s *socket) down(ctx context.Context) error {
	for {
		item, err := s.stream.Recv(ctx)
		if err != nil {
			return err
		}
		value, ok := item.Value()
		if !ok {
			return errors.New("an item of the service is empty")
		}
		if err := s.ws.Write(value); err != nil {
			return err
		}
		s.active()
	}
}

// finish tells the client why the stream has ended.
func (s *socket) finish(err error) {
	if c := s.wrong.Load(); c != nil {
		if c.Peer { // the closing frame is echoed
			s.ws.Close(websocket.Normal, "")
			return
		}
		s.ws.Close(c.Code, c.Reason)
		return
	}
	how := s.v.ended(err)
	if err == io.EOF {
		s.ws.Close(websocket.Normal, "end")
		return
	}
	if s.v.told.Load() {
		s.ws.Close(websocket.GoingAway, how.word)
		return
	}
	_ = s.ws.Write(fmt.Appendf(nil, `{"skerry-failure":%s}`, how.text)) // the client may have left
	code := closedFailure
	if how.event == "exception" {
		code = closedException
	}
	s.ws.Close(code, how.word)
}
