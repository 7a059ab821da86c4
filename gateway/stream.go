package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

// The types of the bodies of streams.
const (
	typeEvents = "text/event-stream"
	typeLines  = "application/x-ndjson"
)

// argsQuery is the parameter of a query that holds the arguments of an opening, as a JSON object.
const argsQuery = "args"

// headerEnd is the trailer behind a stream of lines: "end" when it is complete, else the reason.
const headerEnd = "Skerry-End"

const (
	keepAlive   = 15 * time.Second // between comments to a reader of events
	streamGrace = 5 * time.Second  // for a reader that was told to come again
	comeAgain   = 500              // milliseconds until a browser does so
)

// streams reports whether a request for the method of a stream opens it. A call of a client stream is a stream of one
// item.
func streams(st *dynamic.Stream, r *http.Request) bool {
	return st != nil && (st.Mode != dynamic.ClientStream || contentType(r) == typeLines)
}

func contentType(r *http.Request) string {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind
}

// readStream returns the arguments of the opening that a request asks for.
func (e *thriftEdge) readStream(w http.ResponseWriter, r *http.Request, v *visit, m *dynamic.Method, st *dynamic.Stream,
) (args *dynamic.Struct, status int, err error) {
	var text []byte
	events := strings.Contains(r.Header.Get("Accept"), typeEvents)
	switch {
	case st.Mode == dynamic.BidiStream && r.Header.Get("Upgrade") != webSocket:
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", webSocket)
		return nil, http.StatusUpgradeRequired, fmt.Errorf("%s is a bidi stream: open it as a WebSocket by HTTP/1.1",
			m.Name)
	case st.Mode == dynamic.BidiStream:
		if err := sameSite(r, v.from); err != nil {
			return nil, http.StatusForbidden, err
		}
		text = []byte(r.URL.Query().Get(argsQuery))
	case r.Method == http.MethodGet && st.Mode == dynamic.ServerStream && events: // a browser's EventSource
		if err := sameSite(r, v.from); err != nil {
			return nil, http.StatusForbidden, err
		}
		text = []byte(r.URL.Query().Get(argsQuery))
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("open %s by POST; by GET for a server stream as %s", m.Name,
			typeEvents)
	case st.Mode == dynamic.ClientStream:
		text = []byte(r.URL.Query().Get(argsQuery))
	default:
		if text, status, err = e.readJSON(w, r, v); err != nil {
			return nil, status, err
		}
	}
	if args, err = st.Opening(text); err != nil {
		err = fmt.Errorf("arguments of %s: %w; wanted: %s", m.Name, err, st.Template())
		return nil, http.StatusBadRequest, err
	}
	if cursor := r.Header.Get("Last-Event-Id"); cursor != "" && st.Resumable() {
		if err := st.Resume(args, cursor); err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("header Last-Event-ID: %w", err)
		}
	}
	v.call.events = events && st.Mode == dynamic.ServerStream
	return args, 0, nil
}

// sameSite refuses a request that a page of another site has sent. Such a page can send a GET without asking.
func sameSite(r *http.Request, from provenance) error {
	site := r.Header.Get("Sec-Fetch-Site")
	origin := r.Header.Get("Origin")
	own, err := url.Parse(origin)
	switch {
	case site == "cross-site", site == "same-site":
	case origin != "" && (err != nil || own.Scheme != from.proto || !strings.EqualFold(own.Host, from.host)):
	default:
		return nil
	}
	return errors.New("a page of another site can't open streams here")
}

// serveStream opens the stream that a request asks for.
func (e *thriftEdge) serveStream(w http.ResponseWriter, r *http.Request, v *visit) {
	end, refused := e.g.streams.begin(v.from.client)
	if refused != nil {
		v.err, v.attempts = refused, 0
		w.Header().Set("Retry-After", "1")
		v.fail(w, refused.status, failure{Error: refused.text})
		return
	}
	defer end()
	r = r.WithContext(rpc.WaitWhile(r.Context(), v.present))
	switch v.call.stream.Mode {
	case dynamic.ClientStream:
		e.serveUp(w, r, v)
	case dynamic.BidiStream:
		e.serveSocket(w, r, v)
	default:
		e.serveDown(w, r, v)
	}
}

// failCall answers with the error of a call or of an opening.
func (v *visit) failCall(w http.ResponseWriter, err error) {
	if x, ok := errors.AsType[*dynamic.Exception](err); ok {
		answer(w, http.StatusUnprocessableEntity, failure{Exception: x.Name, Fields: x.Fields})
		return
	}
	v.err = err
	status := statusOf(err)
	v.fail(w, status, failure{Error: textOf(status, err), Code: rpc.CodeOf(err).String()})
}

// serveUp sends the lines of the request's body, and answers with the method's result.
func (e *thriftEdge) serveUp(w http.ResponseWriter, r *http.Request, v *visit) {
	ctx := r.Context()
	m := v.call.method
	up, err := rpc.OpenClientStream(ctx, e.client, m.Name, v.call.args,
		asStruct, m.Receiver())
	if err != nil {
		v.failCall(w, err)
		return
	}
	defer up.Close()
	v.instance, v.version = up.Instance(), up.Version()
	v.upload.relax(e.g.cfg.WebSocketIdle)
	watch := run.NewGroup(ctx)
	defer watch.Stop()
	watch.Go(func(ctx context.Context) error {
		select {
		case <-up.Done(): // the client may send its next line much later
			v.upload.interrupt()
		case <-ctx.Done():
		}
		return nil
	})
	for lines := dynamic.NewLines(r.Body, e.g.cfg.MaxJSON); ; {
		text, err := lines.Next()
		if err == io.EOF || err != nil && isDone(up.Done()) { // End says why
			break
		}
		var item *dynamic.Struct
		status := http.StatusBadRequest
		switch {
		case errors.Is(err, dynamic.ErrLine):
			status = http.StatusRequestEntityTooLarge
		case err != nil:
			v.err = fmt.Errorf("%w: %w", errBody, err)
			status = statusOf(v.err)
			err = errors.New(textOf(status, v.err))
		default:
			item, err = v.call.stream.Item(text)
		}
		if err != nil {
			v.fail(w, status, failure{Error: fmt.Sprintf("line %d: %v; wanted: %s", lines.Number(), err,
				v.call.stream.ItemTemplate())})
			return
		}
		if err := up.Send(ctx, item); err == io.EOF {
			break // End says why
		} else if err != nil {
			v.failCall(w, err)
			return
		}
	}
	result, err := up.End(ctx)
	if err != nil {
		v.failCall(w, err)
		return
	}
	value, ok := result.Value()
	if !ok {
		v.fail(w, http.StatusBadGateway, failure{Error: "the reply holds neither a result nor a declared exception"})
		return
	}
	answer(w, http.StatusOK, value)
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// serveDown answers with the items of the provider. Nothing is kept for a slow reader: the provider waits.
func (e *thriftEdge) serveDown(w http.ResponseWriter, r *http.Request, v *visit) {
	ctx := r.Context()
	m := v.call.method
	down, err := rpc.OpenServerStream(ctx, e.client, m.Name, v.call.args, m.Receiver())
	if err != nil {
		v.failCall(w, err)
		return
	}
	defer down.Close()
	v.instance, v.version = down.Instance(), down.Version()
	out := newReader(w, r, v)
	if out.open() != nil {
		return
	}
	g := run.NewGroup(ctx)
	g.Go(func(ctx context.Context) error {
		e.accompany(ctx, v, companion{down.Moving(), out.alive, out.leave, down.Close})
		return nil
	})
	err = out.copy(ctx, down)
	g.Stop()
	if ctx.Err() == nil {
		out.end(err)
	}
}

// companion is what accompany does for a client.
type companion struct {
	moving <-chan struct{} // of the stream
	alive  func()          // shows the client that the stream lives
	leave  func()          // tells the client to come again
	end    func()          // ends the stream
}

// accompany keeps a client's connection alive, and tells the client when to come again: the gateway or the instance is
// leaving, or the service has moved to another version. It ends the stream some time later.
func (e *thriftEdge) accompany(ctx context.Context, v *visit, c companion) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for moved := false; !moved; {
		changed := e.g.node.Rollout().Changed()
		if moved = e.moved(v); moved {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.alive()
		case <-changed:
		case <-c.moving:
			moved = true
		case <-e.g.stopping:
			moved = true
		}
	}
	c.leave()
	if run.Sleep(ctx, streamGrace) == nil {
		v.told.Store(true)
		c.end()
	}
}

// moved reports whether a stream that is opened now would meet another version.
func (e *thriftEdge) moved(v *visit) bool {
	log := e.g.node.Rollout().Log()
	opened := v.trace.Token()
	if opened.Generation == log.Last() {
		return false
	}
	version, _, err := log.Resolve(e.route.Service, log.Token(opened.Seed, opened.Mark))
	return err == nil && version != "" && v.version != "" && version != v.version
}

// reader is the client that reads a server stream.
type reader struct {
	v       *visit
	w       http.ResponseWriter
	conn    *http.ResponseController
	events  bool
	several bool // responses on its connection: HTTP/2

	mu sync.Mutex // for w
	b  []byte
}

func newReader(w http.ResponseWriter, r *http.Request, v *visit) *reader {
	inner := w
	if own, ok := w.(*writer); ok {
		inner = own.ResponseWriter // the Flush of writer has no error
	}
	return &reader{
		v: v, w: w, conn: http.NewResponseController(inner), events: v.call.events, several: r.ProtoMajor > 1,
	}
}

// open sends the head of the response: the provider's handler runs.
func (o *reader) open() error {
	h := o.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // a proxy in front must not collect items
	h.Set(headerRequest, o.v.id)
	if o.events {
		h.Set("Content-Type", typeEvents)
	} else {
		h.Set("Content-Type", typeLines)
		h.Set("Trailer", headerEnd)
	}
	o.w.WriteHeader(http.StatusOK)
	return o.conn.Flush()
}

func (o *reader) alive() { _ = o.say(":\n\n") } // an error ends the request, too
func (o *reader) leave() { _ = o.say(fmt.Sprintf("retry: %d\n\n", comeAgain)) }

// say writes a comment or field to a reader of events.
func (o *reader) say(text string) error {
	if !o.events {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := io.WriteString(o.w, text); err != nil {
		return err
	}
	return o.flush()
}

// flush sends what is written. The limit for a client that takes nothing ends with it, as the next item may be long in
// coming.
func (o *reader) flush() error {
	err := o.conn.Flush()
	if o.several {
		_ = o.conn.SetWriteDeadline(time.Time{})
	}
	return err
}

// over is a context that has ended, for items that are there already.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// copy writes items until the stream ends, and returns why it has. Items that are there together are sent together.
func (o *reader) copy(ctx context.Context, down *rpc.ServerStream[*dynamic.Result]) error {
	for {
		item, err := down.Recv(ctx)
		if err != nil {
			return err
		}
		o.mu.Lock()
		for err == nil {
			if err = o.item(item); err != nil {
				o.mu.Unlock()
				return err
			}
			item, err = down.Recv(over) // its error comes again
		}
		err = o.flush()
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (o *reader) item(item *dynamic.Result) error {
	value, ok := item.Value()
	if !ok {
		return errors.New("an item of the service is empty")
	}
	b := o.b[:0]
	if o.events {
		if cursor := o.v.call.stream.Cursor(item); cursor != "" && len(cursor) <= maxCursor {
			b = append(append(append(b, "id: "...), cursor...), '\n')
		}
		b = append(append(append(b, "data: "...), value...), "\n\n"...) // JSON of one line
	} else {
		b = append(append(b, value...), '\n')
	}
	if o.b = b; cap(b) > resendLimit {
		o.b = nil
	}
	_, err := o.w.Write(b)
	return err
}

// maxCursor bounds what a browser sends back in a header.
const maxCursor = 2 << 10

// streamEnd is how a client is told of the end of a stream.
type streamEnd struct {
	event string // end, exception or failure
	word  string // the same, or the code of the failure
	text  []byte // JSON of the exception or failure
}

// ended notes how a stream has ended.
func (v *visit) ended(err error) streamEnd {
	out, body := streamEnd{event: "end", word: "end"}, failure{}
	x, thrown := errors.AsType[*dynamic.Exception](err)
	switch {
	case err == io.EOF:
	case thrown:
		out.event, out.word, body = "exception", "exception", failure{Exception: x.Name, Fields: x.Fields}
	case v.told.Load():
		out.event, out.word = "failure", rpc.Draining.String()
		body = failure{Error: "the stream was moved; open it again", Code: out.word, Request: v.id}
	default:
		v.err = err
		out.event, out.word = "failure", rpc.CodeOf(err).String()
		body = failure{Error: textOf(statusOf(err), err), Code: out.word, Request: v.id}
	}
	out.text, _ = json.Marshal(body) // of texts
	return out
}

// end tells the reader why the stream has ended.
func (o *reader) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	how := o.v.ended(err)
	event, word, text := how.event, how.word, how.text
	if o.events && o.v.told.Load() {
		return // the browser comes again by itself
	}
	switch {
	case o.events:
		_, _ = fmt.Fprintf(o.w, "event: %s\ndata: %s\n\n", event, text) // the client may have left
	case event != "end":
		_, _ = fmt.Fprintf(o.w, "{\"skerry-failure\":%s}\n", text)
	}
	if !o.events {
		o.w.Header().Set(headerEnd, word)
	}
	_ = o.flush()
}
