package gen

import "strings"

// signature is a list of parameters after the context, each after a comma.
func signature(args []*argument) string {
	var b strings.Builder
	for _, a := range args {
		b.WriteString(", " + a.param + " " + a.typ.goName)
	}
	return b.String()
}

// values is a list of parameters in a call after the context.
func values(args []*argument) string {
	var b strings.Builder
	for _, a := range args {
		b.WriteString(", " + a.param)
	}
	return b.String()
}

// resultName is the Go type of a method's result, struct{} without one.
func (m *method) resultName() string {
	if m.result == nil {
		return "struct{}"
	}
	return m.result.goName
}

// lives is how long a stream lives, for comments.
const lives = "The stream lives until its end, Close, or the end of ctx."

func resumeName(s *service, m *method) string { return s.goName + m.goName + "Resume" }

func pageName(s *service, m *method) string { return s.goName + m.goName + "Page" }

// client writes the client of a service.
func (e *emitter) client(s *service) {
	stock := s.in.alias + "." + s.goName + "Client"
	e.doc("", s.doc, "%sClient calls the service %s. Methods that open no stream are those of\n%s.", s.goName,
		s.name, stock)
	e.p("type %sClient struct {\n*%s\n}\n", s.goName, stock)
	e.doc("", "", "New%sClient makes a client for one goroutine. It is what skerry.Stub makes for each call.",
		s.goName)
	e.p("func New%sClient(c thrift.TClient) *%sClient {", s.goName, s.goName)
	e.p("return &%sClient{%s.New%sClient(c)}\n}\n", s.goName, s.in.alias, s.goName)
	for _, m := range s.methods {
		switch m.mode {
		case serverStream:
			e.openServer(s, m)
		case clientStream, bidiStream:
			e.openSending(s, m)
		}
		if m.resume != nil {
			e.resume(s, m)
		}
		if m.resume != nil && m.page != nil {
			e.callPage(s, m)
		}
	}
}

func (e *emitter) openServer(s *service, m *method) {
	item := m.result.goName
	e.doc("", m.doc, "%s ranges over the items of the server stream %s. Leaving the loop cancels the stream, and so\n"+
		"does ctx. An error is the last value.", m.goName, m.name)
	e.p("func (client *%sClient) %s(ctx context.Context%s) iter.Seq2[%s, error] {", s.goName, m.goName,
		signature(m.args), item)
	e.p("return func(yield func(%s, error) bool) {", item)
	e.p("stream, err := client.Open%s(ctx%s)", m.goName, values(m.args))
	e.p("if err != nil {\nvar none %s\nyield(none, err)\nreturn\n}", item)
	e.p("stream.All(ctx)(yield)\n}\n}\n")
	e.doc("", "", "Open%s opens the server stream %s. "+lives, m.goName, m.name)
	e.p("func (client *%sClient) Open%s(ctx context.Context%s) (*rpc.ServerStream[%s], error) {", s.goName, m.goName,
		signature(m.args), item)
	e.p("return rpc.OpenServerStream[%s](ctx, client.Client_(), %q,\n%s, %s())\n}\n", item, m.name,
		m.literal(func(a *argument) string { return a.param }), m.newResult())
}

func (e *emitter) openSending(s *service, m *method) {
	kind, result := "ClientStream", m.newResult()+"()"
	if m.mode == bidiStream {
		kind = "BidiStream"
	}
	if m.result == nil {
		result = "rpc.Void(" + result + ")"
	}
	params := "[" + m.item.typ.goName + ", " + m.resultName() + "]"
	e.doc("", m.doc, "%s opens the %s %s. "+lives, m.goName, m.mode, m.name)
	e.p("func (client *%sClient) %s(ctx context.Context%s) (*rpc.%s%s, error) {", s.goName, m.goName,
		signature(m.opening()), kind, params)
	opening := m.literal(func(a *argument) string {
		if a == m.item {
			return a.empty
		}
		return a.param
	})
	item := m.literal(func(a *argument) string {
		if a == m.item {
			return "item"
		}
		return a.empty
	})
	e.p("return rpc.Open%s%s(ctx, client.Client_(), %q,\n%s,", kind, params, m.name, opening)
	e.p("func(item %s) thrift.TStruct { return %s },\n%s)\n}\n", m.item.typ.goName, item, result)
}

// literal is a value of the arguments' struct. value returns that of an argument, "" for zero.
func (m *method) literal(value func(*argument) string) string {
	var fields []string
	for _, a := range m.args {
		if v := value(a); v != "" {
			fields = append(fields, a.goName+": "+v)
		}
	}
	return "&" + m.argsType() + "{" + strings.Join(fields, ", ") + "}"
}

// resume writes the function that moves the cursor of a server stream.
func (e *emitter) resume(s *service, m *method) {
	var guards []string
	value := "item"
	for _, step := range m.resume.from {
		guards = append(guards, value+" == nil")
		value += "." + step.goName
	}
	have := m.result
	if n := len(m.resume.from); n > 0 {
		have = m.resume.from[n-1].typ
		if m.resume.from[n-1].pointer {
			guards = append(guards, value+" == nil")
			value = "*" + value
		}
	}
	e.doc("", "", "%s moves the cursor in args to that of item, the last one that was taken. It changes args\n"+
		"and the structs in it.", resumeName(s, m))
	e.p("func %s(item %s, args *%s) {", resumeName(s, m), m.result.goName, m.argsType())
	if len(guards) > 0 {
		e.p("if %s {\nreturn\n}", strings.Join(guards, " || "))
	}
	target, last := "args", m.resume.to[len(m.resume.to)-1]
	for i, step := range m.resume.to {
		target += "." + step.goName
		if i < len(m.resume.to)-1 {
			alias, name, _ := strings.Cut(step.typ.made(), ".")
			e.p("if %s == nil {\n%s = %s.New%s()\n}", target, target, alias, name)
		}
	}
	if last.typ.goName != have.goName {
		value = last.typ.goName + "(" + value + ")"
	}
	if last.pointer {
		e.p("cursor := %s", value)
		value = "&cursor"
	}
	e.p("%s = %s\n}\n", target, value)
}

// callPage writes the function that calls the page method of a server stream.
func (e *emitter) callPage(s *service, m *method) {
	most, wait := m.page.args[len(m.args)], m.page.args[len(m.args)+1]
	var fields strings.Builder
	for _, a := range m.args {
		fields.WriteString(", args." + a.goName)
	}
	e.doc("", "", "%s calls %s, which stands for %s at providers without streams. skerry.Follow takes it.",
		pageName(s, m), m.page.name, m.name)
	e.p("func %s(\nctx context.Context, client thrift.TClient, args *%s, most int, wait time.Duration,", pageName(s, m),
		m.argsType())
	e.p(") ([]%s, error) {", m.result.goName)
	e.p("return %s.New%sClient(client).%s(ctx%s, %s, %s)\n}\n", s.in.alias, s.goName, m.page.goName, fields.String(),
		atMost(most, "most"), atMost(wait, "wait.Milliseconds()"))
}

// atMost is a value as a whole number of an argument's type.
func atMost(a *argument, value string) string {
	if a.typ.base == "int8" {
		value = "min(" + value + ", 127)"
	}
	return a.typ.goName + "(" + value + ")"
}
