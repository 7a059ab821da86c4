package yamlfile

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/skerry/skerry/internal/mask"
)

// decoder fills Go values from a YAML tree.
type decoder struct {
	Document
	root    reflect.Type // of the whole document
	expand  Expand
	targets map[*ast.AliasNode]ast.Node // the target of each alias
	aliased int                         // values that aliases and merges have added
	copied  int                         // bytes of the texts among them
	depth   int                         // open aliases and merges
	full    bool                        // a limit is reached: nothing more is read
}

// field holds the tags of a struct's field.
type field struct{ unit, byDefault, zero string }

// place is a position in the text; 0 when it is unknown.
type place struct{ line, column int }

func (d *decoder) add(at place, key, format string, args ...any) {
	if len(d.Problems) == maxShown {
		d.full = true
		d.Problems = append(d.Problems, Problem{Line: at.line, Text: "more problems follow, which are not shown"})
	}
	if !d.full {
		d.Problems = append(d.Problems, Problem{at.line, at.column, key, fmt.Sprintf(format, args...)})
	}
}

// resolve finds the target of each alias: the anchor of its name that ends last before it. No value
// therefore contains itself.
func (d *decoder) resolve(node ast.Node, anchors map[string]ast.Node) {
	switch n := node.(type) {
	case *ast.AnchorNode:
		d.resolve(n.Value, anchors)
		anchors[n.Name.GetToken().Value] = n.Value
	case *ast.AliasNode:
		if d.targets == nil {
			d.targets = map[*ast.AliasNode]ast.Node{}
		}
		d.targets[n] = anchors[n.Value.GetToken().Value]
	case *ast.TagNode:
		d.resolve(n.Value, anchors)
	case *ast.MappingKeyNode:
		d.resolve(n.Value, anchors)
	case *ast.SequenceNode:
		for _, item := range n.Values {
			d.resolve(item, anchors)
		}
	case ast.MapNode:
		for it := n.MapRange(); it.Next(); {
			d.resolve(it.Key(), anchors)
			d.resolve(it.Value(), anchors)
		}
	}
}

// bare is a node without its anchor and tag, or the target of an alias; nil after a problem.
func (d *decoder) bare(node ast.Node, key string) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.TagNode:
			node = n.Value
		case *ast.MappingKeyNode:
			node = n.Value
		case *ast.AliasNode:
			if node = d.targets[n]; node == nil {
				d.add(placeOf(n), key, "no anchor &%s stands before this alias", n.Value.GetToken().Value)
				return nil
			}
		default:
			return node
		}
	}
}

// spend counts a value that an alias or a merge adds.
func (d *decoder) spend(node ast.Node) bool {
	if d.depth > 0 {
		d.aliased++
		text, _ := scalarText(node)
		d.copied += len(text)
	}
	switch {
	case d.full:
	case d.aliased > maxAliased:
		d.add(placeOf(node), "", "aliases bring more than %d values", maxAliased)
		d.full = true
	case d.copied > maxCopied:
		d.add(placeOf(node), "", "aliases bring more than %d bytes", maxCopied)
		d.full = true
	}
	return !d.full
}

// value decodes node into v.
func (d *decoder) value(node ast.Node, v reflect.Value, key string, f field) {
	if _, isAlias := node.(*ast.AliasNode); isAlias {
		d.depth++
		defer func() { d.depth-- }()
	}
	if node = d.bare(node, key); node == nil || !d.spend(node) {
		return
	}
	if _, isNull := node.(*ast.NullNode); isNull {
		return // a key without a value means the default
	}
	if v.Type() == reflect.TypeFor[JSON]() {
		v.SetBytes(d.json(node, key, 0))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(node, v, key, func(name string) (reflect.Value, field, func()) {
			to, f := fieldByKey(v, name)
			return to, f, func() {}
		})
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		d.mapping(node, v, key, func(name string) (reflect.Value, field, func()) {
			e := reflect.New(v.Type().Elem()).Elem()
			return e, field{}, func() { v.SetMapIndex(reflect.ValueOf(name), e) }
		})
	case reflect.Slice:
		d.list(node, v, key)
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(node, p.Elem(), key, field{unit: f.unit}) // nil is the default, so that 0 means 0
		v.Set(p)
	default:
		d.scalar(node, v, key, f)
	}
}

// mapping decodes the entries of a mapping. target returns the value for a name, an invalid one when
// there is none, and the function to call after filling it.
func (d *decoder) mapping(node ast.Node, v reflect.Value, key string,
	target func(string) (reflect.Value, field, func())) {
	m, ok := node.(ast.MapNode)
	if !ok {
		d.add(placeOf(node), key, "want %s, got %s", wantedOf(v), gotOf(node))
		return
	}
	for _, e := range d.entries(m, key) {
		path := joinKey(key, e.name)
		d.mark(path, placeOf(e.key))
		to, f, done := target(e.name)
		if !to.IsValid() {
			d.add(placeOf(e.key), path, "no such key%s", suggestKey(d.root, v.Type(), e.name))
			continue
		}
		if e.merged {
			d.depth++
		}
		d.value(e.value, to, path, f)
		if e.merged {
			d.depth--
		}
		done()
		if d.full {
			return
		}
	}
}

// list decodes a sequence. A plain value is a list of one.
func (d *decoder) list(node ast.Node, v reflect.Value, key string) {
	items := []ast.Node{node}
	if seq, ok := node.(*ast.SequenceNode); ok {
		items = seq.Values
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		path := key + "[" + strconv.Itoa(i) + "]"
		d.mark(path, placeOf(item))
		d.value(item, v.Index(i), path, field{})
		if d.full {
			return
		}
	}
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, key string, f field) {
	text, ok := scalarText(node)
	if !ok {
		d.add(placeOf(node), key, "want %s, got %s", wantedOf(v), gotOf(node))
		return
	}
	raw, err := text, error(nil)
	if d.expand != nil {
		text, err = d.expand(key, raw)
	}
	if err == nil {
		err = SetScalar(v, text, f.unit)
	}
	switch {
	case err != nil && text != raw && text != "": // the error would show the content of a secret file
		d.add(placeOf(node), key, "want %s; what stands for %s is none", wantedOf(v), raw)
	case err != nil:
		d.add(placeOf(node), key, "%v", err)
	case v.CanInt() && v.IsZero() && f.byDefault != "" && f.byDefault != "0":
		also := ""
		if f.zero != "" {
			also = "; " + f.zero
		}
		d.add(placeOf(node), key, "0 is not possible here; leave the key out for the default (%s)%s", f.byDefault, also)
	}
}

// scalarText is the text in the file, so that version: 1.10 stays "1.10".
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// mark remembers where a key stands.
func (d *decoder) mark(key string, at place) { d.Lines[key], d.Columns[key] = at.line, at.column }

// placeOf is where a node begins. The token of a block mapping is its first colon.
func placeOf(node ast.Node) place {
	m, ok := node.(*ast.MappingNode)
	if mapping, isMap := node.(ast.MapNode); isMap && (!ok || !m.IsFlowStyle) {
		if it := mapping.MapRange(); it.Next() {
			return placeOfToken(it.Key().GetToken())
		}
	}
	return placeOfToken(node.GetToken())
}

func placeOfToken(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

func joinKey(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// fieldByKey is the struct field of a key, and its tags.
func fieldByKey(v reflect.Value, key string) (reflect.Value, field) {
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag; tag.Get("yaml") == key {
			return v.Field(i), field{tag.Get("unit"), tag.Get("default"), tag.Get("zero")}
		}
	}
	return reflect.Value{}, field{}
}

func wantedOf(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Struct:
		return "keys and values (" + strings.Join(keysOf(v.Type()), ", ") + ")"
	case v.Kind() == reflect.Map:
		return "names and values"
	case v.Type() == reflect.TypeFor[time.Duration]():
		return `a duration such as "30s"`
	case v.CanInt():
		return "a whole number"
	case v.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a text"
}

func gotOf(node ast.Node) string {
	switch node.(type) {
	case ast.MapNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	}
	text, _ := scalarText(node)
	if strings.Contains(text, "://") { // a database URL at the wrong place
		text = mask.URL(text)
	}
	if runes := []rune(text); len(runes) > 40 {
		text = string(runes[:40]) + "…"
	}
	return strconv.Quote(text)
}
