package gen

import (
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/suggest"
)

// pageArguments are the last two arguments of a page method: the most items, and how long it waits for the first one.
const pageArguments = "max and waitMs, whole numbers"

// linkPage finds the stream of a page method, and refuses a page method that could not be served from it.
func (r *reader) linkPage(m *method, s *service) {
	if m.mode != page || m.marks.page == "" {
		return
	}
	wrong := func(format string, args ...any) {
		line := m.marks.line(markPage, m.line)
		r.add(m.in, line, "method "+m.name+": skerry.page = %q: "+format, append([]any{m.marks.page}, args...)...)
	}
	stream := s.byName[m.marks.page]
	if stream == nil || stream.of != m.of || stream.in != m.in || stream.mode != serverStream {
		wrong("service %s declares no server stream of that name%s", m.of, likeStream(m, s))
		return
	}
	if stream.page != nil && stream.page != m {
		wrong("%s is a page of it already; keep one", stream.page.name)
		return
	}
	if r.pageFits(m, stream, wrong) {
		m.stream, stream.page = stream, m
	}
}

// likeStream is the server stream that the annotation of a page probably means.
func likeStream(m *method, s *service) string {
	if len(s.methods) > 1000 {
		return ""
	}
	var names []string
	for _, other := range s.methods {
		if other.of == m.of && other.in == m.in && other.mode == serverStream {
			names = append(names, other.name)
		}
	}
	return suggest.DidYouMean(m.marks.page, names)
}

func (r *reader) pageFits(m, stream *method, wrong func(string, ...any)) bool {
	if m.result == nil || stream.result == nil {
		if m.result == nil {
			wrong("the result is void; make it list<ITEM>, with the items of the stream")
		}
		return false
	}
	if m.result.kind == invalid || stream.result.kind == invalid {
		return false
	}
	if m.result.kind != list || m.result.elem.goName != stream.result.goName {
		wrong("the result is %s; make it list<%s>", m.result.thrift, stream.result.thrift)
		return false
	}
	if len(m.args) != len(stream.args)+2 || !slices.EqualFunc(m.args[:len(stream.args)], stream.args, sameArgument) {
		wrong("the arguments are (%s); make them those of the stream, (%s), and %s", listed(m.args),
			listed(stream.args),
			pageArguments)
		return false
	}
	most, wait := m.args[len(m.args)-2], m.args[len(m.args)-1]
	if plain(most.name) != "max" || plain(wait.name) != "waitms" || !whole(most.typ) || !whole(wait.typ) {
		wrong("the last arguments are (%s); make them %s", listed([]*argument{most, wait}), pageArguments)
		return false
	}
	for _, e := range stream.throws {
		if !slices.ContainsFunc(m.throws, func(x *argument) bool { return x.typ.goName == e.typ.goName }) {
			wrong("the stream throws %s; declare it here, too", e.typ.thrift)
			return false
		}
	}
	return true
}

func sameArgument(a, b *argument) bool { return a.name == b.name && a.typ.goName == b.typ.goName }

func whole(t *typ) bool {
	return t.kind == scalar && slices.Contains([]string{"int8", "int16", "int32", "int64"}, t.base)
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// listed is a list of arguments as files write it.
func listed(args []*argument) string {
	parts := make([]string, len(args))
	for i, a := range args {
		parts[i] = a.typ.thrift + " " + a.name
	}
	return strings.Join(parts, ", ")
}
