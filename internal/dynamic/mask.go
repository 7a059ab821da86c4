package dynamic

import "go.uber.org/thriftrw/compile"

// Masked stands in the place of a secret value.
const Masked = "(secret)"

// Mask replaces the values of fields that the .thrift file marks as secret, by the annotation (secret) of the field or
// of a typedef that it has. The result is for showing only.
func (r *Result) Mask() { mask(&r.Struct) }

func mask(s *Struct) {
	for _, f := range s.fields {
		v, ok := s.values[f.ID]
		if !ok {
			continue
		}
		_, marked := f.Annotations["secret"]
		if marked || secret(f.Type) {
			s.values[f.ID] = Masked
			continue
		}
		s.values[f.ID] = maskedValue(v, f.Type)
	}
}

// maskedValue masks what a value has inside.
func maskedValue(v value, spec compile.TypeSpec) value {
	if secret(spec) {
		return Masked
	}
	spec = compile.RootTypeSpec(spec)
	switch v := v.(type) {
	case *Struct:
		mask(v)
	case []value:
		for i := range v {
			v[i] = maskedValue(v[i], elementOf(spec))
		}
	case []pair:
		m := spec.(*compile.MapSpec)
		for i := range v {
			v[i] = pair{maskedValue(v[i].key, m.KeySpec), maskedValue(v[i].value, m.ValueSpec)}
		}
	}
	return v
}

// secret reports whether a typedef of a type is marked.
func secret(spec compile.TypeSpec) bool {
	for {
		t, ok := spec.(*compile.TypedefSpec)
		if !ok {
			return false
		}
		if _, marked := t.Annotations["secret"]; marked {
			return true
		}
		spec = t.Target
	}
}
