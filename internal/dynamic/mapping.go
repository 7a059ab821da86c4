package dynamic

import (
	"encoding/json"
	"fmt"

	"go.uber.org/thriftrw/compile"
)

// scalarKey reports whether keys of a type are written as the names of a JSON object.
func scalarKey(spec compile.TypeSpec) bool {
	switch compile.RootTypeSpec(spec).(type) {
	case *compile.ListSpec, *compile.SetSpec, *compile.MapSpec, *compile.StructSpec:
		return false
	}
	return true
}

// mapping reads an object, or an array of {"key", "value"}, as a map.
func (e *encoder) mapping(path string, n node, spec *compile.MapSpec) value {
	var pairs []pair
	switch v := n.value.(type) {
	case []member:
		if !scalarKey(spec.KeySpec) {
			return e.wrong(path, `keys of %s are no names: write it as an array of {"key": …, "value": …}`,
				spec.ThriftName())
		}
		for _, m := range v {
			at := fmt.Sprintf("%s[%q]", path, m.name)
			pairs = append(pairs, pair{e.keyOf(at, m.name, spec.KeySpec), e.convert(at, m.node, spec.ValueSpec)})
		}
	case []node:
		for i, entry := range v {
			if p, ok := e.entry(fmt.Sprintf("%s[%d]", path, i), entry, spec); ok {
				pairs = append(pairs, p)
			}
		}
	default:
		return e.wrong(path, "want %s, have %s", spec.ThriftName(), n.kind())
	}
	keys := make([]value, len(pairs))
	for i, p := range pairs {
		keys[i] = p.key
	}
	e.distinct(path, keys, spec.KeySpec, "key")
	return pairs
}

// keyOf reads the name of an object's member as a map key.
func (e *encoder) keyOf(path, name string, spec compile.TypeSpec) value {
	n := node{name}
	switch root := compile.RootTypeSpec(spec).(type) {
	case *compile.StringSpec, *compile.BinarySpec:
	case *compile.EnumSpec:
		if _, known := root.LookupItem(name); !known && isNumber(name) {
			n.value = json.Number(name)
		}
	case *compile.BoolSpec:
		if name == "true" || name == "false" {
			n.value = name == "true"
		}
	default:
		if isNumber(name) {
			n.value = json.Number(name)
		}
	}
	return e.convert(path+" (key)", n, spec)
}

func isNumber(s string) bool {
	n, err := parseJSON([]byte(s))
	_, ok := n.value.(json.Number)
	return err == nil && ok
}

// entry reads one {"key": …, "value": …}.
func (e *encoder) entry(path string, n node, spec *compile.MapSpec) (pair, bool) {
	members, _ := n.value.([]member)
	var p pair
	found := 0
	for _, m := range members {
		switch m.name {
		case "key":
			p.key = e.convert(path+".key", m.node, spec.KeySpec)
			found++
		case "value":
			p.value = e.convert(path+".value", m.node, spec.ValueSpec)
			found++
		}
	}
	if found != 2 || len(members) != 2 {
		e.wrong(path, `want {"key": …, "value": …}, have %s`, n.kind())
		return pair{}, false
	}
	return p, true
}
