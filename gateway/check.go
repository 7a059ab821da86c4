package gateway

import (
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/dynamic"
)

// CheckRoute reports the errors of a route that [config.Gateway.Validate] does not see: it reads the
// .thrift file.
func CheckRoute(r config.Route) error {
	if r.Thrift == "" {
		return nil
	}
	_, err := methodsOf(r)
	return err
}

// methodsOf returns the methods of a Thrift route, as its .thrift file describes them.
func methodsOf(r config.Route) (*dynamic.Service, error) {
	file, err := dynamic.Load(r.Thrift, r.Include...)
	if err != nil {
		return nil, err
	}
	return file.Find(r.Interface, r.Service, "")
}
