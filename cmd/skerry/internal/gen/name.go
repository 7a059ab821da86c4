package gen

import (
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// initialisms are the words that the stock compiler writes in capitals.
var initialisms = func() map[string]bool {
	words := "API ASCII CPU CSS DNS EOF GUID HTML HTTP HTTPS ID IP JSON LHS QPS RAM RHS RPC SLA SMTP SSH TCP TLS TTL " +
		"UDP UI UID UUID URI URL UTF8 VM XML XSRF XSS"
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}()

// public is the exported Go name that the stock compiler makes of a name without dots.
func public(name string) string { return publicName(name, false) }

// helper is the Go name of the arguments or the result of a method; what is "args" or "result".
func helper(service, method, what string) string {
	return public(service) + publicName(method+"_"+what, true)
}

func publicName(name string, helper bool) string {
	if name == "" {
		return ""
	}
	out := camel(upper(name[0]) + name[1:])
	grown := out
	if strings.HasPrefix(out, "New") {
		grown += "_"
	}
	if !helper && (strings.HasSuffix(out, "Args") || strings.HasSuffix(out, "Result")) {
		grown += "_"
	}
	return grown
}

// camel joins words at an underscore before a small letter, and writes initialisms in capitals. It changes the text
// under its own index, as the stock compiler does: names with several underscores depend on that.
func camel(name string) string {
	name = capitals(name, 0)
	for i := 1; i < len(name)-1; i++ {
		if name[i] != '_' {
			continue
		}
		if next := name[i+1]; 'a' <= next && next <= 'z' {
			name = name[:i] + upper(next) + name[i+2:]
		}
		name = capitals(name, i)
	}
	return name
}

// capitals writes the word that begins at an index in capitals, if it is an initialism.
func capitals(name string, from int) string {
	word, _, _ := strings.Cut(name[from:], "_")
	if capital := strings.ToUpper(word); initialisms[capital] {
		return name[:from] + capital + name[from+len(word):]
	}
	return name
}

func upper(c byte) string { return strings.ToUpper(string(rune(c))) }

// private is a name for the stubs' own use: the name with a small first letter.
func private(goName string) string { return strings.ToLower(goName[:1]) + goName[1:] }

// predeclared are the names of Go that the stubs use beside parameters.
var predeclared = []string{"bool", "byte", "error", "false", "float64", "int", "int16", "int32", "int64", "int8", "new",
	"nil", "string", "struct", "true"}

// locals are the names that the stubs use beside parameters.
var locals = []string{"client", "ctx", "done", "err", "in", "out", "stock", "stream", "yield"}

// reserved are names that a package cannot have in the stubs.
var reserved = slices.Concat(predeclared, locals, []string{"args", "c", "cursor", "h", "item", "none"})

// parameter makes a Go parameter of an argument's name, unlike those that are taken.
func parameter(name string, taken map[string]bool) string {
	var b strings.Builder
	for i, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '.' }) {
		switch {
		case i > 0:
			b.WriteString(upper(word[0]) + word[1:])
		case word == strings.ToUpper(word):
			b.WriteString(strings.ToLower(word))
		default:
			b.WriteString(private(word))
		}
	}
	out := b.String()
	if out == "" || out[0] >= '0' && out[0] <= '9' {
		out = "arg" + out
	}
	if taken[out] || token.IsKeyword(out) {
		out += "_"
	}
	for base, i := out, len(taken); taken[out]; i++ {
		out = base + strconv.Itoa(i)
	}
	taken[out] = true
	return out
}
