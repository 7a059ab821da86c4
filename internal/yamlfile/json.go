package yamlfile

import (
	"encoding/json"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// JSON is any value of a file, as JSON. Texts are in quotes; numbers, true, false and null are as in the file.
type JSON []byte

// json is the value of a node as JSON, nil after a problem.
func (d *decoder) json(node ast.Node, key string, depth int) JSON {
	if depth > maxDepth { // aliases nest deeper than the text
		d.add(placeOf(node), key, "nested deeper than %d levels", maxDepth)
		d.full = true
		return nil
	}
	if _, isAlias := node.(*ast.AliasNode); isAlias {
		d.depth++
		defer func() { d.depth-- }()
	}
	if node = d.bare(node, key); node == nil || !d.spend(node) {
		return nil
	}
	switch n := node.(type) {
	case *ast.SequenceNode:
		list := make([]json.RawMessage, 0, len(n.Values))
		for i, item := range n.Values {
			list = append(list, json.RawMessage(d.json(item, key+"["+strconv.Itoa(i)+"]", depth+1)))
		}
		return d.marshal(list)
	case ast.MapNode:
		object := map[string]json.RawMessage{}
		for _, e := range d.entries(n, key) {
			object[e.name] = json.RawMessage(d.json(e.value, joinKey(key, e.name), depth+1))
		}
		return d.marshal(object)
	case *ast.NullNode:
		return JSON("null")
	case *ast.BoolNode:
		return JSON(strconv.FormatBool(n.Value))
	}
	text, _ := scalarText(node)
	switch node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if json.Valid([]byte(text)) {
			return JSON(text)
		}
	}
	return d.marshal(text)
}

// marshal writes a text, or a list or object of values that are JSON already. After a problem one of these may be
// nil, which is written as null.
func (d *decoder) marshal(v any) JSON {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and JSON of this file only
	}
	return text
}
