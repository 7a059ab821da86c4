package yamlfile

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/textfile"
)

// MaxFile is the largest file, in bytes, that callers should read.
const MaxFile = 1 << 20

// Problem is one mistake in a file.
type Problem struct {
	Line   int    // 1 for the first; 0 when it has none
	Column int    // 1 for the first; 0 when it has none
	Key    string // such as database.heartbeat or services[0].name
	Text   string // the mistake and its remedy
}

// Document holds the lines and problems of a file.
type Document struct {
	Lines    map[string]int // line of each key
	Columns  map[string]int // column of each key
	Problems []Problem      // in the order of their detection
	Cut      bool           // a limit was reached, and the rest of the file was not read
}

// Expand replaces the text of a scalar by its expanded form.
type Expand func(key, text string) (string, error)

// Decode reads text into what to points to. expand may be nil.
func Decode(text []byte, to any, expand Expand) Document {
	d := decoder{Document: Document{Lines: map[string]int{}, Columns: map[string]int{}}, expand: expand}
	target := reflect.ValueOf(to).Elem()
	d.root = target.Type()
	if root := d.parse(text); root != nil {
		d.resolve(root, map[string]ast.Node{})
		d.value(root, target, "", field{})
	}
	d.Cut = d.full
	return d.Document
}

// Unmarshal is Decode with an [*Error] for its problems; path names the file in it.
func Unmarshal(path string, text []byte, to any) error {
	doc := Decode(text, to, nil)
	if len(doc.Problems) == 0 {
		return nil
	}
	return &Error{path, doc.Problems}
}

// Error is the list of a file's problems.
type Error struct {
	File     string
	Problems []Problem
}

// Error lists the problems in the order of the file, a line each.
func (e *Error) Error() string { return string(e.Safe()) }

// Safe is the error's text with all text of the file quoted.
func (e *Error) Safe() quote.Safe {
	sorted := slices.SortedStableFunc(slices.Values(e.Problems),
		func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	lines := make([]string, len(sorted))
	for i, p := range sorted {
		at := e.File
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d", e.File, p.Line)
		}
		if p.Key != "" {
			at += ": " + p.Key
		}
		lines[i] = string(quote.Sprintf("%s: %s", at, p.Text))
	}
	return quote.Safe(strings.Join(lines, "\n"))
}

// parse returns the document's root, nil when it is empty or not YAML.
func (d *decoder) parse(data []byte) ast.Node {
	text, err := textfile.UTF8(data)
	if encoding, ok := errors.AsType[*textfile.Error](err); ok {
		d.add(place{line: encoding.Line}, "", "%s", encoding.Text)
		return nil
	}
	if p := oversized(string(text)); p != nil {
		d.Problems = append(d.Problems, *p)
		return nil
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // duplicates are reported with their keys
	if err != nil {
		var at place
		var message string
		var y yaml.Error
		if errors.As(err, &y) { // whose Error prints the lines around it, which takes long for a long line
			at, message = placeOfToken(y.GetToken()), y.GetMessage()
		} else {
			message = err.Error()
		}
		hint := ""
		if strings.Contains(string(text), "\t") {
			hint = "; YAML is indented with spaces, never with tabs"
		}
		d.add(at, "", "no YAML: %s%s", message, hint)
		return nil
	}
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			d.add(placeOf(doc.Body), "", "a second document; a file holds one")
		default:
			root = doc.Body
		}
	}
	return root
}
