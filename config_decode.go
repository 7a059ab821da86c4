package skerry

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/skerry/skerry/internal/mask"
)

// decoder fills a Config from a YAML tree. Unlike the library's own decoder
// it goes on after a mistake, so that all are reported at once, and remembers
// the line of every key.
type decoder struct {
	*problems
	anchors  map[string]ast.Node
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)
}

// none is what "none" means for a duration: the zero value means the default.
const none = time.Duration(-1)

// value decodes node into v; unit is the field's unit tag.
func (d *decoder) value(node ast.Node, v reflect.Value, key, unit string) {
	switch n := node.(type) {
	case *ast.AnchorNode:
		d.value(n.Value, v, key, unit)
		d.anchors[n.Name.GetToken().Value] = n.Value // known only now: an alias can't contain itself
		return
	case *ast.AliasNode:
		if target := d.anchors[n.Value.GetToken().Value]; target != nil {
			d.value(target, v, key, unit)
			return
		}
		d.add(lineOf(n), key, "no anchor &%s stands before this alias", n.Value.GetToken().Value)
		return
	case *ast.TagNode:
		d.value(n.Value, v, key, unit)
		return
	case *ast.NullNode:
		return // a key without a value means the default
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(node, v, key, func(name string) (reflect.Value, string, func()) {
			f, tag := fieldByKey(v, name)
			return f, tag, func() {}
		})
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		d.mapping(node, v, key, func(name string) (reflect.Value, string, func()) {
			e := reflect.New(v.Type().Elem()).Elem()
			return e, "", func() { v.SetMapIndex(reflect.ValueOf(name), e) }
		})
	case reflect.Slice:
		d.list(node, v, key)
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(node, p.Elem(), key, unit)
		v.Set(p)
	default:
		d.scalar(node, v, key, unit)
	}
}

// mapping decodes the entries of a mapping; field gives the place for a name,
// an invalid one when there is none, and what to do when it is filled.
func (d *decoder) mapping(node ast.Node, v reflect.Value, key string, field func(string) (reflect.Value, string, func())) {
	m, ok := node.(ast.MapNode)
	if !ok {
		d.add(lineOf(node), key, "want %s, got %s", wantedOf(v), gotOf(node))
		return
	}
	seen := map[string]bool{}
	for it := m.MapRange(); it.Next(); {
		if it.Key().IsMergeKey() {
			d.value(it.Value(), v, key, "")
			continue
		}
		name := it.Key().GetToken().Value
		path := joinKey(key, name)
		line := lineOf(it.Key())
		if seen[name] {
			d.add(line, path, "stands twice; the first is in line %d", d.lines[path])
			continue
		}
		seen[name] = true
		d.lines[path] = line
		place, unit, done := field(name)
		if !place.IsValid() {
			d.add(line, path, "no such key%s", suggestKey(v.Type(), name))
			continue
		}
		d.value(it.Value(), place, path, unit)
		done()
	}
}

// list decodes a sequence; one plain value stands for a list of one.
func (d *decoder) list(node ast.Node, v reflect.Value, key string) {
	items := []ast.Node{node}
	if seq, ok := node.(*ast.SequenceNode); ok {
		items = seq.Values
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		path := key + "[" + strconv.Itoa(i) + "]"
		d.lines[path] = lineOf(item)
		d.value(item, v.Index(i), path, "")
	}
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, key, unit string) {
	text, ok := scalarText(node)
	if !ok {
		d.add(lineOf(node), key, "want %s, got %s", wantedOf(v), gotOf(node))
		return
	}
	raw := text
	text, err := expand(raw, key == urlKey, d.env, d.readFile)
	if err == nil {
		err = setScalar(v, text, unit)
	}
	if err != nil && text != raw && text != "" { // the error would show what stands in a secret file
		err = fmt.Errorf("want %s; what stands for %s is none", wantedOf(v), raw)
	}
	if err != nil {
		d.add(lineOf(node), key, "%v", err)
	}
}

// scalarText is what stands in the file, so that version: 1.10 stays "1.10".
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

// lineOf is the first line of a node. A mapping's token is its first colon.
func lineOf(node ast.Node) int {
	if m, ok := node.(ast.MapNode); ok {
		if it := m.MapRange(); it.Next() {
			return it.Key().GetToken().Position.Line
		}
	}
	if t := node.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func joinKey(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// fieldByKey is the field of a struct that a key names, and its unit.
func fieldByKey(v reflect.Value, key string) (reflect.Value, string) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Tag.Get("yaml") == key {
			return v.Field(i), f.Tag.Get("unit")
		}
	}
	return reflect.Value{}, ""
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
	if strings.Contains(text, "://") { // a URL of the database at the wrong place
		text = mask.URL(text)
	}
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return strconv.Quote(text)
}
