package dynamic

import (
	"fmt"
	"slices"
	"strings"

	"go.uber.org/thriftrw/compile"
)

// Service is one service of a .thrift file, with its inherited methods.
type Service struct {
	Name string
	spec *compile.ServiceSpec
}

// Method is one method of a Service.
type Method struct {
	Name   string
	OneWay bool

	args       compile.FieldGroup
	returns    compile.TypeSpec // nil: void
	exceptions compile.FieldGroup

	annotations compile.Annotations
}

// Methods lists the methods by name, inherited ones included.
func (s *Service) Methods() []*Method {
	seen := map[string]*compile.FunctionSpec{}
	var names []string
	for spec := s.spec; spec != nil; spec = spec.Parent {
		for name, f := range spec.Functions {
			if _, ok := seen[name]; !ok {
				seen[name] = f
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	methods := make([]*Method, len(names))
	for i, name := range names {
		methods[i] = newMethod(seen[name])
	}
	return methods
}

// Method finds a method; the error for an unknown one lists the known ones.
func (s *Service) Method(name string) (*Method, error) {
	if m := s.lookup(name); m != nil {
		return m, nil
	}
	var names []string
	for _, m := range s.Methods() {
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("service %s has no methods", s.Name)
	}
	return nil, fmt.Errorf("service %s has no method %q%s; it has %s", s.Name, name, didYouMean(name, names),
		strings.Join(names, ", "))
}

func (s *Service) lookup(name string) *Method {
	for spec := s.spec; spec != nil; spec = spec.Parent {
		if f, ok := spec.Functions[name]; ok {
			return newMethod(f)
		}
	}
	return nil
}

func newMethod(f *compile.FunctionSpec) *Method {
	m := &Method{Name: f.Name, OneWay: f.OneWay, args: compile.FieldGroup(f.ArgsSpec),
		annotations: f.Annotations}
	if f.ResultSpec != nil {
		m.returns, m.exceptions = f.ResultSpec.ReturnType, f.ResultSpec.Exceptions
	}
	return m
}

// Signature is the method in the form of the .thrift file, in one line.
func (m *Method) Signature() string {
	var b strings.Builder
	switch {
	case m.OneWay:
		b.WriteString("oneway void ")
	case m.returns == nil:
		b.WriteString("void ")
	default:
		b.WriteString(m.returns.ThriftName() + " ")
	}
	b.WriteString(m.Name + "(" + fieldList(m.args) + ")")
	if len(m.exceptions) > 0 {
		b.WriteString(" throws (" + fieldList(m.exceptions) + ")")
	}
	if st, err := m.Stream(); err == nil && st != nil {
		b.WriteString(" (" + markStream + " = \"" + st.Mode + "\")")
	}
	return b.String()
}

func fieldList(fields compile.FieldGroup) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Type.ThriftName() + " " + f.Name
		if f.ID > 0 { // other ids were counted by the parser
			parts[i] = fmt.Sprintf("%d: %s", f.ID, parts[i])
		}
	}
	return strings.Join(parts, ", ")
}
