package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/rpc"
)

// thriftEdge serves the methods of a Thrift service as POST path/Method, with
// a JSON object of the arguments by name. The answer is what the method
// returned, as JSON; a declared exception is status 422 with its name and
// fields; other failures name an rpc.Code.
type thriftEdge struct {
	g       *Gateway
	route   Route
	methods *dynamic.Service
	client  thrift.TClient
}

func newThriftEdge(g *Gateway, r Route) (*thriftEdge, error) {
	file, err := dynamic.Load(r.Thrift, r.Include...)
	if err != nil {
		return nil, err
	}
	methods, err := file.Find(r.Interface, r.Service, "")
	if err != nil {
		return nil, err
	}
	client := g.node.Client(r.Service, func(o *rpc.ServiceOptions) { o.Timeout = r.Timeout })
	return &thriftEdge{g: g, route: r, methods: methods, client: client}, nil
}

// failure is the body of an answer that is no result.
type failure struct {
	Error     string          `json:"error,omitempty"`
	Code      string          `json:"code,omitempty"`      // rpc.Code
	Exception string          `json:"exception,omitempty"` // name of the declared exception
	Fields    json.RawMessage `json:"fields,omitempty"`    // of the exception
}

// ServeHTTP makes the call that the request asks for.
func (e *thriftEdge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, args, status, err := e.read(w, r)
	if err != nil {
		answer(w, status, failure{Error: err.Error()})
		return
	}
	v := visitOf(r.Context())
	v.attempts = 1
	if version, _, err := e.g.node.Rollout().Log().Resolve(e.route.Service, v.trace.Token()); err == nil {
		v.version = version
	}
	result := method.Result()
	var reply thrift.TStruct
	if !method.OneWay {
		reply = result
	}
	meta, err := e.client.Call(r.Context(), method.Name, args, reply)
	v.instance = meta.Headers["sk-i"]
	if err != nil {
		v.err = err
		answer(w, statusOf(err), failure{Error: err.Error(), Code: rpc.CodeOf(err).String()})
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
		answer(w, http.StatusBadGateway, failure{Error: "the reply holds neither a result nor a declared exception"})
	default:
		answer(w, http.StatusOK, value)
	}
}

// read finds out which method is meant and with which arguments.
func (e *thriftEdge) read(w http.ResponseWriter, r *http.Request) (m *dynamic.Method, args *dynamic.Struct, status int, err error) {
	name := strings.TrimPrefix(r.URL.Path, e.route.below())
	if m, err = e.methods.Method(name); err != nil {
		return nil, nil, http.StatusNotFound, err
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, nil, http.StatusMethodNotAllowed, fmt.Errorf("call %s by POST", name)
	}
	// A form of another site can't send this type: the browser asks first.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return nil, nil, http.StatusUnsupportedMediaType, fmt.Errorf("Content-Type %q: want application/json", r.Header.Get("Content-Type"))
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(e.g.cfg.MaxJSON)))
	if err != nil {
		return nil, nil, statusOf(fmt.Errorf("%w: %w", errBody, err)), err
	}
	if args, err = m.Args(text); err != nil {
		return nil, nil, http.StatusBadRequest, fmt.Errorf("arguments of %s: %w; wanted: %s", name, err, m.Template())
	}
	return m, args, 0, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer can't be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have left
}
