package gateway

import "github.com/skerry/skerry/internal/dynamic"

// Check reports the errors of a route. It reads the route's .thrift file.
func (r Route) Check() error {
	_, _, err := r.place()
	if err == nil && r.Thrift != "" {
		_, err = r.methods()
	}
	return err
}

// methods returns the methods of a Thrift route, as its .thrift file describes them.
func (r Route) methods() (*dynamic.Service, error) {
	file, err := dynamic.Load(r.Thrift, r.Include...)
	if err != nil {
		return nil, err
	}
	return file.Find(r.Interface, r.Service, "")
}
