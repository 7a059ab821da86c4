package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// callRequest is the command line of `skerry call`.
type callRequest struct {
	service, method, body string

	thrift   string
	includes []string
	iface    string
	instance string
	protocol string
	prefix   string
	tls      bool
	items    []string // of a client or bidi stream; none: they come on standard input
	limit    int      // items of the provider; 0: all
}

func (a *app) callCommand() *cobra.Command {
	r := callRequest{}
	c := &cobra.Command{
		Use:   "call SERVICE [METHOD [JSON [ITEM...]]]",
		Short: "Call a method with JSON arguments",
		Long: `Calls a method of a service as its .thrift file describes it, with arguments in
JSON: an object of the arguments by name. JSON may be @FILE, or - for stdin.
Without METHOD it lists the methods with an object to fill in for each.

Enums are written by name, binary as base64, maps whose keys are no scalars as
[{"key": …, "value": …}]. A declared exception is printed as JSON, exit code 1.

A method that is a stream by skerry.stream prints its items as lines of JSON, until
it ends, --limit or ctrl-C. Items of a client or bidi stream are lines of JSON on
stdin, or ITEMs after the arguments of the opening ({} without any).

The service is found like by any consumer; with --instance the call goes to
that address, spoken to by --protocol, without any registry.`,
		Example: `  skerry call auth --thrift auth.thrift
  skerry call auth GetToken '{"user": "alice"}' --thrift auth.thrift
  skerry call auth GetToken @request.json --thrift auth.thrift --instance 10.0.0.5:9090 --protocol framed-binary`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 3 {
				r.items = args[3:]
			}
			args = append(args, "", "")
			r.service, r.method, r.body = args[0], args[1], args[2]
			return a.call(cmd.Context(), r)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.completeCall(cmd, args, r)
		},
	}
	f := c.Flags()
	f.StringVarP(&r.thrift, "thrift", "t", "", "`FILE` that describes the service")
	f.StringArrayVarP(&r.includes, "include", "I", nil, "`DIR` to look for included files in; may be repeated")
	f.StringVar(&r.iface, "interface", "", "service `NAME` in the .thrift file, when it declares several")
	f.StringVar(&r.instance, "instance", "", "call this `HOST:PORT` directly")
	f.StringVar(&r.protocol, "protocol", string(registry.ProtocolSkerry), "how to speak to --instance")
	f.StringVar(&r.prefix, "prefix", "", "`NAME` of the service in the TMultiplexedProcessor of --instance")
	f.BoolVar(&r.tls, "tls", false, "--instance speaks TLS; certificates are those of the configuration")
	f.IntVar(&r.limit, "limit", 0, "end a stream after `N` items of the provider")
	c.MarkFlagFilename("thrift", "thrift")
	c.MarkFlagDirname("include")
	c.RegisterFlagCompletionFunc("protocol", completeProtocol)
	return c
}

func (a *app) call(ctx context.Context, r callRequest) error {
	if r.thrift == "" {
		return usagef("--thrift FILE is missing: the .thrift file that describes %s", r.service)
	}
	file, err := dynamic.Load(r.thrift, r.includes...)
	if err != nil {
		return usagef("%w", err)
	}
	service, err := file.Find(r.iface, r.service, r.method)
	if err != nil {
		return usagef("%w", err)
	}
	if r.method == "" {
		return a.listMethods(r, service)
	}
	m, err := service.Method(r.method)
	if err != nil {
		return usagef("%w", err)
	}
	st, args, err := a.callArguments(r, m)
	if err != nil {
		return err
	}
	client, done, err := a.clientFor(ctx, r)
	if err != nil {
		return err
	}
	defer done()
	if st != nil {
		err = a.stream(ctx, client, r, m, st, args)
	} else {
		err = a.exchange(ctx, client, r, m, args)
	}
	switch code := rpc.CodeOf(err); {
	case err == nil:
		return nil
	case code == rpc.NoInstance && r.instance == "":
		return unreachablef("%w%s\nskerry ls shows what is listed, and skerry doctor what is wrong here", err,
			a.similar(ctx, r.service))
	case code == rpc.DeadlineExceeded:
		return unreachablef("%w\nIt had %s; give it longer by --timeout %s", err,
			durationText(a.flags.timeout), durationText(longer(a.flags.timeout)))
	}
	return err
}

// callArguments reads the arguments of a call, or of the opening of a stream. st is nil for a call.
func (a *app) callArguments(r callRequest, m *dynamic.Method) (
	st *dynamic.Stream, args *dynamic.Struct, err error,
) {
	if st, err = m.Stream(); err != nil {
		return nil, nil, usagef("%w", err)
	}
	sends := st != nil && st.Up()
	switch {
	case len(r.items) > 0 && !sends:
		return nil, nil, usagef("%s takes one JSON, and no items: it is not a client or bidi stream", m.Name)
	case sends && r.body == "-" && len(r.items) == 0:
		return nil, nil, usagef("the items of %s come on stdin; give the arguments of the opening as JSON or @FILE",
			m.Name)
	case r.limit < 0 || r.limit > 0 && (st == nil || !st.Down()):
		return nil, nil, usagef("--limit is for the items of a server or bidi stream, from 1 on")
	}
	body, err := a.readBody(r.body)
	if err != nil {
		return nil, nil, usagef("%w", err)
	}
	read, template := m.Args, m.Template
	if st != nil {
		read, template = st.Opening, st.Template
	}
	if args, err = read(body); err != nil {
		return nil, nil, usagef("arguments of %s: %w\nWanted: %s", m.Name, err, template())
	}
	return st, args, nil
}

// similar returns the listed service that was probably meant by an unlisted name.
func (a *app) similar(ctx context.Context, service string) string {
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return ""
	}
	defer n.Close()
	var names []string
	for _, e := range a.look(ctx, n, "").Instances {
		names = append(names, e.Service)
	}
	return suggest.DidYouMean(service, names)
}

// longer returns a round duration of at least twice d.
func longer(d time.Duration) time.Duration {
	for _, t := range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute} {
		if t >= 2*d {
			return t
		}
	}
	return 2 * d
}

// readBody reads the arguments from the command line, a file or stdin.
func (a *app) readBody(arg string) ([]byte, error) {
	if arg == "-" {
		return readBounded(a.in)
	}
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readBounded(f)
	}
	return []byte(arg), nil
}

// readBounded reads the arguments of a call, up to the limit of a message.
func readBounded(r io.Reader) ([]byte, error) {
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && len(text) > most {
		return nil, fmt.Errorf("the arguments have more than %d bytes", most)
	}
	return text, err
}

// listMethods prints the methods that can be called, with their arguments.
func (a *app) listMethods(r callRequest, s *dynamic.Service) error {
	methods := s.Methods()
	if a.flags.json {
		list := make([]map[string]any, len(methods))
		for i, m := range methods {
			list[i] = map[string]any{
				"method": m.Name, "signature": m.Signature(), "oneway": m.OneWay, "template": m.Template(),
			}
		}
		return a.printJSON(map[string]any{"interface": s.Name, "methods": list})
	}
	if len(methods) == 0 {
		a.printf("Service %s of %s has no methods.\n", s.Name, r.thrift)
		return nil
	}
	a.printf("Methods of %s in %s:\n", s.Name, r.thrift)
	for _, m := range methods {
		template, item := m.Template(), quote.Safe("")
		if st, err := m.Stream(); err == nil && st != nil {
			if template = st.Template(); st.Up() {
				item = a.say(" '%s'", st.ItemTemplate())
			}
		}
		a.printf("\n%s\n  skerry call %s %s --thrift %s '%s'%s\n",
			m.Signature(), r.service, m.Name, r.thrift, template, item)
	}
	return nil
}

// outcome is a call's result as --json prints it.
type outcome struct {
	Service   string          `json:"service"`
	Method    string          `json:"method"`
	Value     json.RawMessage `json:"value,omitempty"`
	Exception string          `json:"exception,omitempty"` // name of the declared exception
	Fields    json.RawMessage `json:"fields,omitempty"`    // of the exception
	Instance  string          `json:"instance,omitempty"`
	Version   string          `json:"version,omitempty"`
	TookMS    float64         `json:"took_ms"`
	took      string          // took as tables show it
	Unknown   int             `json:"unknown_fields,omitempty"` // in the reply, and not in the .thrift file
	NotUTF8   int             `json:"texts_not_utf8,omitempty"` // in the reply; shown with \xNN for each byte
}

func (a *app) exchange(ctx context.Context, client thrift.TClient, r callRequest, m *dynamic.Method,
	args *dynamic.Struct) error {
	ctx, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	result := m.Result()
	var reply thrift.TStruct
	if !m.OneWay {
		reply = result
	}
	begin := time.Now()
	meta, err := client.Call(ctx, m.Name, args, reply)
	if err != nil {
		return callError(err)
	}
	took := time.Since(begin)
	o := outcome{
		Service: r.service, Method: m.Name,
		Instance: cmp.Or(meta.Headers["sk-i"], r.instance), Version: meta.Headers["sk-v"],
		TookMS: float64(took.Microseconds()) / 1e3, took: number.Latency(took),
		Unknown: result.Unknown, NotUTF8: result.NotUTF8,
	}
	thrown := false
	if o.Exception, o.Fields, thrown = result.Exception(); !thrown && !m.OneWay {
		value, ok := result.Value()
		if !ok {
			return problemf("%s.%s: the reply holds neither a result nor a declared exception; is %s the service's "+
				"own version?", r.service, m.Name, r.thrift)
		}
		o.Value = value
	}
	return a.printOutcome(o, m.OneWay)
}

func (a *app) printOutcome(o outcome, oneway bool) error {
	var failed error
	if o.Exception != "" {
		failed = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		return errors.Join(a.printJSON(o), failed)
	}
	switch {
	case oneway:
		a.note("sent; a one-way call has no answer")
	case failed != nil:
		name, _ := json.Marshal(o.Exception) // a string
		a.printf("%s\n", indent(fmt.Appendf(nil, `{"exception":%s,"fields":%s}`, name, o.Fields)))
		failed = problemf("%s.%s threw %s", o.Service, o.Method, o.Exception)
	default:
		a.printf("%s\n", indent(o.Value))
	}
	a.noteOddities("The reply has", o.Unknown, o.NotUTF8)
	words := strings.Fields(fmt.Sprintf("%s %s %s %s", o.Service, o.Version, o.Instance, o.took))
	a.note("%s", strings.Join(words, " "))
	return failed
}

// noteOddities says what of a reply the JSON does not show, or not as it was sent.
func (a *app) noteOddities(has string, unknown, notUTF8 int) {
	if unknown > 0 {
		a.note("%s %s that the .thrift file does not know.", has, count(unknown, "field", "s"))
	}
	if notUTF8 > 0 {
		a.note(`%s %s that are no UTF-8 (GBK, perhaps); shown byte by byte, as \xNN. `+
			"A service sends UTF-8, or declares binary.", has, count(notUTF8, "text", "s"))
	}
}

// indent returns a JSON value on several lines.
func indent(raw json.RawMessage) quote.Safe {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return quote.Safe(quote.Text(string(raw)))
	}
	return quote.Safe(quote.JSON(b.Bytes()))
}

// callError gives a failed call its exit code: 3 when no instance answered, 1 otherwise.
func callError(err error) error {
	switch rpc.CodeOf(err) {
	case rpc.NoInstance, rpc.Unreachable, rpc.ConnectionLost, rpc.DeadlineExceeded, rpc.BreakerOpen:
		return unreachablef("%w", err)
	}
	return problemf("%w", err)
}
