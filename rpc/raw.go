package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// Raw holds the arguments or the result of a call in encoded form, for programs that pass calls on
// without their IDL. It is one whole struct of the binary or the compact protocol. When it is
// written in the other one, its values are converted by their types in the message. The zero value
// is the empty struct. Pass one to thrift.TClient.Call as arguments or result; a [RawHandler] gets
// and returns them.
type Raw struct {
	// Context accompanies arguments to a server of another library: as "ctx=CONTEXT;" in front of
	// the method's name when Named is set, and as the info header skerry-context when the server
	// uses THeader. A handler of HandleUnknown gets the caller's context of either form.
	Context string
	Named   bool

	// Behind is a method without arguments. It shows when a one-way call to a server of another
	// library has been executed: Behind is called next on the same connection, and most servers
	// answer it after the handler of the one-way call has returned. The one-way call ends with that
	// answer. "" = it ends when it is sent.
	Behind string

	encoding flat.Protocol
	whole    string // "" = the empty struct
}

// How a context travels to and from peers other than skerry's.
const (
	contextPrefix = "ctx="
	contextEnd    = ";"
	keyContext    = "skerry-context"
)

// Read reads the next struct. It works only with the protocols of this package's servers and
// clients.
func (r *Raw) Read(_ context.Context, p thrift.TProtocol) (err error) {
	in, ok := p.(flat.Reader)
	if !ok {
		return fmt.Errorf("rpc: Raw can't read from a %T", p)
	}
	r.encoding = in.Protocol()
	if r.whole, err = in.Struct(); err != nil {
		return err
	}
	if n := in.Left(); n > 0 {
		return thrift.NewTProtocolExceptionWithType(
			thrift.INVALID_DATA,
			fmt.Errorf("%d bytes stand behind the message's struct", n),
		)
	}
	return nil
}

// Write writes the struct.
func (r *Raw) Write(ctx context.Context, p thrift.TProtocol) error {
	if r.whole == "" {
		return p.WriteFieldStop(ctx)
	}
	if out, ok := p.(flat.Writer); ok && out.Protocol() == r.encoding {
		return out.Append(r.whole)
	}
	in := flat.NewReader(r.encoding, r.whole, flat.Memory{})
	defer in.Free()
	return flat.Copy(p, in)
}

// Exception reports whether a result holds a declared exception: its first field is then not number
// 0, the success.
func (r *Raw) Exception() bool { return declared(r.encoding, r.whole) }

// RawHandler serves calls of any method. It is a thrift.TProcessor for [Server.Handle] and
// [Server.HandleUnknown] that works only on servers of this package. The result of a one-way call
// is not sent. An *Error is sent to the caller with its Code and its Executed, like an error of
// this server; any other error is sent as HandlerFailed.
type RawHandler func(ctx context.Context, info *CallInfo, args *Raw) (*Raw, error)

// Process is thrift.TProcessor's; a [Server] does not call it.
func (f RawHandler) Process(context.Context, thrift.TProtocol, thrift.TProtocol) (bool, thrift.TException) {
	return false, thrift.WrapTException(errors.New("rpc: a RawHandler is served by an rpc.Server only"))
}

// ProcessorMap is thrift.TProcessor's. It returns nil, because the methods are unknown.
func (f RawHandler) ProcessorMap() map[string]thrift.TProcessorFunction { return nil }

// AddToProcessorMap is thrift.TProcessor's.
func (f RawHandler) AddToProcessorMap(string, thrift.TProcessorFunction) {}

// HandleUnknown serves the calls of every service without a handler of its own here, except the
// framework's ("skerry.…"). The name in a message may then be "ctx=CONTEXT;service:method" in any
// protocol. CallInfo.Service is "" when the caller names no service. Call it before Serve.
//
// A one-way call of a skerry client is accepted when h has returned. A plain client calls skerry.sent
// after its one-way calls to learn the same. The server answers skerry.sent when h has returned from
// all one-way calls of the connection. It answers "ctx=CONTEXT;skerry.sent" when h has returned from
// those with that context.
func (s *Server) HandleUnknown(h RawHandler) {
	s.unknown = &served{processor: h}
}

// raw runs a RawHandler.
func (r *serverCall) raw(ctx context.Context, handler RawHandler) error {
	h := &r.handler
	_, _, id, err := h.in.ReadMessageBegin(ctx)
	args := &Raw{}
	if err == nil {
		err = args.Read(ctx, h.in)
	}
	if err != nil {
		return &Error{Code: BadMessage, Err: fmt.Errorf("read arguments: %w", err)}
	}
	if r.served == r.conn.s.unknown {
		args.Context = r.callerContext()
	}
	h.started = true
	result, err := handler(ctx, &r.info, args)
	if err != nil || r.info.OneWay {
		return err
	}
	err = h.out.WriteMessageBegin(ctx, r.info.Method, thrift.REPLY, id)
	if err == nil {
		err = result.Write(ctx, h.out)
	}
	if err != nil {
		return err
	}
	if h.ok = true; result.Exception() {
		return errDeclared
	}
	return nil
}

// answerRawError answers with the error of a RawHandler.
func (r *serverCall) answerRawError(h *handlerRun, e *Error) health.Outcome {
	if h.started && r.info.OneWay { // its client has been told already that the call was accepted
		return e.Code.Outcome()
	}
	executed := e.Executed
	if !h.started {
		executed = NotExecuted
	}
	code := e.Code
	if code == Unknown { // without a code the caller would not see that the framework answers
		code = HandlerFailed
	}
	return r.exception(code, executed, errors.Join(e.Err))
}

// errDeclared says that a raw result is an exception of the IDL.
var errDeclared = errors.New("declared exception")

// splitContext cuts "ctx=CONTEXT;" from a message's name.
func splitContext(name string) (text, rest string) {
	after, ok := strings.CutPrefix(name, contextPrefix)
	if !ok {
		return "", name
	}
	text, rest, ok = strings.Cut(after, contextEnd)
	if !ok {
		return "", name
	}
	return text, rest
}

// keepContext keeps the caller's context in the place of the token, which a server with HandleUnknown
// ignores.
func (r *serverCall) keepContext(h *theader.Header) {
	if r.conn.s.unknown != nil {
		r.info.token = h.Get(keyContext)
	}
}

// callerContext returns the context that the caller has sent instead of a token.
func (r *serverCall) callerContext() string {
	if text, _ := splitContext(r.name); text != "" {
		return text
	}
	return r.info.token
}

// calledAs returns the call's method name on the wire, for a plain Thrift server.
func (c *Call) calledAs(prefix string) string {
	name := multiplexed(prefix, c.Method)
	if raw, ok := c.Args.(*Raw); ok && raw.Named && raw.Context != "" {
		return contextPrefix + raw.Context + contextEnd + name
	}
	return name
}

// writeBehind gives m the call that is sent behind a one-way call.
func (a *attempt) writeBehind(d dialect, m *outgoing) error {
	raw, ok := a.call.Args.(*Raw)
	if !ok || raw.Behind == "" || !m.oneWay || d.shared {
		return nil
	}
	w := flat.NewWriter(d.encoding, a.s.c.cfg.Sizes.Frame)
	defer w.Free()
	ctx := a.ctx.base
	err := errors.Join(
		w.WriteMessageBegin(ctx, raw.Behind, thrift.CALL, 1),
		w.WriteFieldStop(ctx),
		w.WriteMessageEnd(ctx),
	)
	if err == nil {
		h := theader.Header{Protocol: byte(d.encoding)}
		m.behind, err = appendHead(nil, d, &h, 1, len(w.Bytes()), a.s.c.cfg.Sizes.frames())
	}
	if err != nil {
		return a.fail(TooLarge, NotExecuted, fmt.Errorf("write the call behind a one-way call: %w", err))
	}
	m.behind = append(m.behind, w.Bytes()...)
	return nil
}

// lastReply reports whether no reply follows this one, after a one-way call and the call behind it.
// Some servers answer both of them.
func (a *attempt) lastReply(l *clientConn, frame string) bool {
	raw, ok := a.call.Args.(*Raw)
	if !ok || l.dialect.header {
		return false
	}
	name, _, _, err := flat.Begin(l.dialect.encoding, frame)
	return err == nil && name == raw.Behind
}

// routeUnknown is route with HandleUnknown. A service in the message's name takes precedence over
// the header's.
func (c *serverConn) routeUnknown(info *CallInfo, name string) (*served, *method, string, error) {
	_, name = splitContext(name)
	if prefix, rest, ok := strings.Cut(name, thrift.MULTIPLEXED_SEPARATOR); ok {
		info.Service, name = prefix, rest
	}
	if s := c.s.routes.load().byName[info.Service]; s != nil {
		return s, s.method(name), name, nil
	}
	if strings.HasPrefix(info.Service, internalPrefix) {
		err := fmt.Errorf("%w: %.100q belongs to skerry itself, and is not called this way", errNoService, info.Service)
		return nil, nil, name, err
	}
	v := c.s.unknown
	kind := v.method(name)
	info.Service = strings.Clone(info.Service) // names may be kept, and must not keep the message
	if kind.name == name {
		return v, kind, kind.name, nil
	}
	return v, kind, strings.Clone(name), nil // kind is shared by methods without a place of their own
}

// RawOf encodes a struct in the binary protocol.
func RawOf(s thrift.TStruct) (*Raw, error) {
	w := flat.NewWriter(flat.Binary, theader.DefaultFrame)
	defer w.Free()
	if err := s.Write(context.Background(), w); err != nil {
		return nil, err
	}
	return &Raw{whole: string(w.Bytes())}, nil
}
