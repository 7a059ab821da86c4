package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/rpc"
)

// thriftEdge serves the methods of a Thrift service as POST path/Method, with a JSON object of the
// arguments by name. The answer is the method's result as JSON. A declared exception is status 422
// with its name and fields. Other failures name an rpc.Code.
type thriftEdge struct {
	g       *Gateway
	route   config.Route
	methods *dynamic.Service
	client  thrift.TClient
}

func newThriftEdge(g *Gateway, r config.Route) (*thriftEdge, error) {
	methods, err := methodsOf(r)
	if err != nil {
		return nil, err
	}
	client := g.node.Client(r.Service, func(o *rpc.ServiceOptions) { o.Timeout = r.Timeout })
	return &thriftEdge{g: g, route: r, methods: methods, client: client}, nil
}

// failure is the body of an answer without a result.
type failure struct {
	Error     string          `json:"error,omitempty"`
	Code      string          `json:"code,omitempty"`      // rpc.Code
	Exception string          `json:"exception,omitempty"` // name of the declared exception
	Fields    json.RawMessage `json:"fields,omitempty"`    // of the exception
	Request   string          `json:"request,omitempty"`   // its id in the gateway's log
}

// thriftCall is the call that a request asks for.
type thriftCall struct {
	method *dynamic.Method
	args   *dynamic.Struct
	stream *dynamic.Stream // nil: an ordinary call
	events bool            // the client reads a server stream as Server-Sent Events
}

// prepare reads the call, so that a request without a valid call begins no trace.
func (e *thriftEdge) prepare(w http.ResponseWriter, r *http.Request, v *visit) bool {
	method, args, status, err := e.read(w, r, v)
	if err != nil {
		v.fail(w, status, failure{Error: err.Error()})
		return false
	}
	v.call.method, v.call.args = method, args
	return true
}

// fail answers with a failure.
func (v *visit) fail(w http.ResponseWriter, status int, f failure) {
	f.Request = v.id
	w.Header().Set(headerRequest, v.id)
	if v.upload.coming() {
		w.Header().Set("Connection", "close")
	}
	answer(w, status, f)
}

// ServeHTTP makes the call that the request asks for.
func (e *thriftEdge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := visitOf(r.Context())
	method, args := v.call.method, v.call.args
	v.attempts = 1
	if version, _, err := e.g.node.Rollout().Log().Resolve(e.route.Service, v.trace.Token()); err == nil {
		v.version = version
	}
	if v.call.stream != nil {
		e.serveStream(w, r, v)
		return
	}
	result := method.Result()
	var reply thrift.TStruct
	if !method.OneWay {
		reply = result
	}
	meta, err := e.client.Call(rpc.WaitWhile(r.Context(), v.present), method.Name, args, reply)
	v.instance = meta.Headers["sk-i"]
	if err != nil {
		v.err = err
		status := statusOf(err)
		v.fail(w, status, failure{Error: textOf(status, err), Code: rpc.CodeOf(err).String()})
		return
	}
	if name, fields, thrown := result.Exception(); thrown {
		answer(w, http.StatusUnprocessableEntity, failure{Exception: name, Fields: fields})
		return
	}
	value, ok := result.Value()
	switch {
	case method.OneWay:
		w.WriteHeader(http.StatusAccepted)
	case !ok:
		v.fail(w, http.StatusBadGateway, failure{Error: "the reply holds neither a result nor a declared exception"})
	default:
		answer(w, http.StatusOK, value)
	}
}

// read returns the method and the arguments of a request.
func (e *thriftEdge) read(
	w http.ResponseWriter, r *http.Request, v *visit,
) (m *dynamic.Method, args *dynamic.Struct, status int, err error) {
	name := strings.Join(v.path.Segments[v.entrance.depth:], "/")
	if m, err = e.methods.Method(name); err != nil {
		return nil, nil, http.StatusNotFound, err
	}
	st, err := m.Stream()
	if err != nil {
		return nil, nil, http.StatusInternalServerError, err
	}
	if streams(st, r) {
		v.call.stream = st
		args, status, err = e.readStream(w, r, v, m, st)
		return m, args, status, err
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, nil, http.StatusMethodNotAllowed, fmt.Errorf("call %s by POST", name)
	}
	text, status, err := e.readJSON(w, r, v)
	if err != nil {
		return nil, nil, status, err
	}
	if args, err = m.Args(text); err != nil {
		return nil, nil, http.StatusBadRequest, fmt.Errorf("arguments of %s: %w; wanted: %s", name, err, m.Template())
	}
	return m, args, 0, nil
}

// readJSON reads the body of a call.
func (e *thriftEdge) readJSON(w http.ResponseWriter, r *http.Request, v *visit) (text []byte, status int, err error) {
	// A form of another site cannot send this type without asking: the browser sends a preflight
	// request first.
	if contentType(r) != "application/json" {
		return nil, http.StatusUnsupportedMediaType,
			fmt.Errorf("Content-Type %q: want application/json", r.Header.Get("Content-Type"))
	}
	text, err = io.ReadAll(http.MaxBytesReader(w, r.Body, int64(e.g.cfg.MaxJSON)))
	if err != nil {
		err = fmt.Errorf("%w: %w", errBody, err)
		v.err = err
		return nil, statusOf(err), errors.New(textOf(statusOf(err), err))
	}
	return text, 0, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer can't be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	text = append(text, '\n')
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may have left
}
