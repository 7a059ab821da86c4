package gen

import "strings"

func handlerName(s *service) string { return private(s.goName) + "Handler" }

func stockName(s *service) string { return private(s.goName) + "Stock" }

// provider writes what a provider of a service implements, and the processor over it.
func (e *emitter) provider(s *service) {
	e.doc("", s.doc, "%s is implemented by a provider of the service %s. New%sProcessor serves it.", s.goName, s.name,
		s.goName)
	e.p("type %s interface {", s.goName)
	for i, m := range s.methods {
		if m.mode == page {
			continue
		}
		if i > 0 {
			e.p("")
		}
		e.doc("\t", m.doc, "%s", m.lead())
		e.p("\t%s(ctx context.Context%s", m.goName, m.handled())
	}
	e.p("}\n")
	e.processor(s)
	e.stock(s)
}

// lead is the first sentence about a method that a provider implements.
func (m *method) lead() string {
	switch m.mode {
	case serverStream:
		return m.goName + " sends the items of a server stream, which ends when it returns."
	case clientStream:
		return m.goName + " receives the items of a client stream, and returns its result."
	case bidiStream:
		return m.goName + " receives and sends the items of a bidi stream, which ends when it returns."
	case async:
		return m.goName + " may return before done is set. An error fails the call."
	}
	return m.goName + " answers a call."
}

// handled is what follows the context in the signature of a method that a provider implements.
func (m *method) handled() string {
	item, result := "", m.resultName()
	if m.item != nil {
		item = m.item.typ.goName
	}
	switch m.mode {
	case serverStream:
		return signature(m.args) + ", out rpc.Sender[" + result + "]) error"
	case clientStream:
		return signature(m.opening()) + ", in rpc.Receiver[" + item + "]) " + m.returned()
	case bidiStream:
		return signature(m.opening()) + ", in rpc.Receiver[" + item + "], out rpc.Sender[" + result + "]) error"
	case async:
		return signature(m.args) + ", done *rpc.Promise[" + result + "]) error"
	}
	return signature(m.args) + ") " + m.returned()
}

// returned is what a method of the stock interface returns.
func (m *method) returned() string {
	if m.result == nil {
		return "error"
	}
	return "(" + m.result.goName + ", error)"
}

func (e *emitter) processor(s *service) {
	e.doc("", "", "New%sProcessor serves the methods of h. Its streams need callers that know them, as skerry's do.",
		s.goName)
	e.p("func New%sProcessor(h %s) thrift.TProcessor {", s.goName, s.goName)
	e.p("return rpc.NewStreamProcessor(%s.New%sProcessor(%s{h}),", s.in.alias, s.goName, stockName(s))
	for _, m := range s.methods {
		switch m.mode {
		case serverStream, clientStream, bidiStream, async:
			e.method(m)
		}
	}
	e.p(")\n}\n")
}

// method writes the descriptor of an annotated method.
func (e *emitter) method(m *method) {
	maker := map[mode]string{serverStream: "ServerStreamMethod", clientStream: "ClientStreamMethod",
		bidiStream: "BidiStreamMethod", async: "AsyncMethod"}[m.mode]
	result := m.resultName()
	item := ""
	if m.item != nil {
		item = m.item.typ.goName
	}
	var args strings.Builder
	for _, a := range m.opening() {
		args.WriteString(", args." + a.goName)
	}
	e.p("rpc.%s(%q, %s,", maker, m.name, m.newArgs())
	if m.item != nil {
		e.p("func(args *%s) %s { return args.%s },", m.argsType(), item, m.item.goName)
	}
	head := "func(ctx context.Context, args *" + m.argsType()
	call := "h." + m.goName + "(ctx" + args.String()
	switch m.mode {
	case serverStream:
		e.p("%s, out rpc.Sender[%s]) error {\nreturn %s, out)\n},", head, result, call)
	case clientStream:
		e.p("%s, in rpc.Receiver[%s]) (%s, error) {", head, item, result)
		if m.result == nil {
			e.p("return struct{}{}, %s, in)\n},", call)
		} else {
			e.p("return %s, in)\n},", call)
		}
	case bidiStream:
		e.p("%s, in rpc.Receiver[%s], out rpc.Sender[%s]) error {\nreturn %s, in, out)\n},", head, item, result, call)
	case async:
		e.p("%s, done *rpc.Promise[%s]) error {\nreturn %s, done)\n},", head, result, call)
	}
	with := ""
	if m.page != nil {
		with = ".WithPage(\"" + m.page.name + "\")"
	}
	switch {
	case m.result == nil:
		e.p("func(struct{}) thrift.TStruct { return %s() })%s,", m.newResult(), with)
	case m.result.optional():
		e.p("func(item %s) thrift.TStruct { return &%s{Success: &item} })%s,", result, m.resultType(), with)
	default:
		e.p("func(item %s) thrift.TStruct { return &%s{Success: item} })%s,", result, m.resultType(), with)
	}
}

// stock writes the adapter from what a provider implements to the stock interface.
func (e *emitter) stock(s *service) {
	e.p("type %s = %s\n", handlerName(s), s.goName)
	e.doc("", "", "%s is a %s as the stock processor takes it. Streams do not come there.", stockName(s), s.goName)
	e.p("type %s struct{ %s }\n", stockName(s), handlerName(s))
	for _, m := range s.methods {
		switch m.mode {
		case unary:
		case page:
			e.page(s, m)
		default:
			e.p("func (%s) %s(context.Context%s) %s {", stockName(s), m.goName, unnamed(m.args), m.named())
			e.p("return %sthrift.NewTApplicationException(thrift.UNKNOWN_METHOD, %q)\n}\n", m.zero(),
				m.name+" is "+m.mode.one())
		}
	}
}

// named is returned with a name for the zero value of the result.
func (m *method) named() string {
	if m.result == nil {
		return "error"
	}
	return "(none " + m.result.goName + ", err error)"
}

func (m *method) zero() string {
	if m.result == nil {
		return ""
	}
	return "none, "
}

func unnamed(args []*argument) string {
	var b strings.Builder
	for _, a := range args {
		b.WriteString(", " + a.typ.goName)
	}
	return b.String()
}

// page writes a page method, served from its stream.
func (e *emitter) page(s *service, m *method) {
	most, wait := m.args[len(m.args)-2], m.args[len(m.args)-1]
	e.p("func (stock %s) %s(ctx context.Context%s) %s {", stockName(s), m.goName, signature(m.args), m.returned())
	e.p("return rpc.Page(ctx, int(%s), time.Duration(%s)*time.Millisecond,", most.param, wait.param)
	e.p("func(ctx context.Context, out rpc.Sender[%s]) error {", m.stream.result.goName)
	e.p("return stock.%s.%s(ctx%s, out)\n})\n}\n", handlerName(s), m.stream.goName,
		values(m.args[:len(m.args)-2]))
}
