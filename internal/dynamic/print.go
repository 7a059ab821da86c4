package dynamic

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/thriftrw/compile"
)

// JSON is the struct as JSON in one line, fields in the order of the .thrift
// file.
func (s *Struct) JSON() json.RawMessage { return appendStruct(nil, s) }

func appendStruct(b []byte, s *Struct) []byte {
	b = append(b, '{')
	comma := false
	for _, f := range s.fields {
		v, ok := s.values[f.ID]
		if !ok {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = append(appendText(b, f.Name), ':')
		b = appendJSON(b, v, f.Type)
	}
	return append(b, '}')
}

// appendJSON writes a value of a type as JSON.
func appendJSON(b []byte, v value, spec compile.TypeSpec) []byte {
	spec = compile.RootTypeSpec(spec)
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		if name, ok := enumName(v, spec); ok {
			return appendText(b, name)
		}
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendDouble(b, v)
	case string:
		return appendText(b, v)
	case thrift.Tuuid:
		return appendText(b, v.String())
	case []byte:
		return appendText(b, base64.StdEncoding.EncodeToString(v))
	case []value:
		return appendList(b, v, elementOf(spec))
	case []pair:
		return appendMap(b, v, spec.(*compile.MapSpec))
	case *Struct:
		return appendStruct(b, v)
	}
	return append(b, "null"...)
}

func elementOf(spec compile.TypeSpec) compile.TypeSpec {
	if s, ok := spec.(*compile.SetSpec); ok {
		return s.ValueSpec
	}
	return spec.(*compile.ListSpec).ValueSpec
}

// enumName is the name of an enum's number, when it has one.
func enumName(v int64, spec compile.TypeSpec) (string, bool) {
	e, ok := spec.(*compile.EnumSpec)
	if !ok {
		return "", false
	}
	for _, item := range e.Items {
		if int64(item.Value) == v {
			return item.Name, true
		}
	}
	return "", false
}

func appendDouble(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	text, _ := json.Marshal(f) // a number; with an exponent only when it is very large or small
	return append(b, text...)
}

func appendList(b []byte, list []value, spec compile.TypeSpec) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, v, spec)
	}
	return append(b, ']')
}

// appendMap writes an object when the keys are scalars, else entries.
func appendMap(b []byte, pairs []pair, spec *compile.MapSpec) []byte {
	open, end := byte('{'), byte('}')
	if !scalarKey(spec.KeySpec) {
		open, end = '[', ']'
	}
	b = append(b, open)
	for i, p := range ordered(pairs, spec.KeySpec) {
		if i > 0 {
			b = append(b, ',')
		}
		if open == '[' {
			b = append(append(append(b, `{"key":`...), p.text...), `,"value":`...)
			b = append(appendJSON(b, p.value, spec.ValueSpec), '}')
			continue
		}
		key := p.text
		if key[0] != '"' {
			key = `"` + key + `"`
		}
		b = appendJSON(append(append(b, key...), ':'), p.value, spec.ValueSpec)
	}
	return append(b, end)
}

// printed is an entry of a map with its key as JSON.
type printed struct {
	pair
	text string
}

// ordered are the entries of a map by key: numbers by their size, others by their text. Peers send
// them in any order.
func ordered(pairs []pair, key compile.TypeSpec) []printed {
	all := make([]printed, len(pairs))
	for i, p := range pairs {
		all[i] = printed{p, string(appendJSON(nil, p.key, key))}
	}
	slices.SortStableFunc(all, func(a, b printed) int {
		if x, ok := a.key.(int64); ok {
			return cmp.Compare(x, b.key.(int64))
		}
		if x, ok := a.key.(float64); ok {
			return cmp.Compare(x, b.key.(float64))
		}
		return strings.Compare(a.text, b.text)
	})
	return all
}

// appendText writes a JSON string that keeps <, > and & readable. Bytes that are not UTF-8 are
// written as \xNN, because JSON can't hold them.
func appendText(b []byte, s string) []byte {
	s = shown(s)
	var w strings.Builder
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string is always written
	return append(b, strings.TrimSuffix(w.String(), "\n")...)
}

// shown is s with every byte that is not UTF-8 written out.
func shown(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var w strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&w, `\x%02x`, s[0])
		} else {
			w.WriteString(s[:size])
		}
		s = s[size:]
	}
	return w.String()
}
