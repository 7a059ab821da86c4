package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
)

// checkGateway adds to err what only skerry gateway would find in the section
// of its name: it alone reads these files. Processes of services that share the
// configuration need not be able to.
func checkGateway(path string, c skerry.Config, err error) error {
	wrong, isConfig := err.(*config.Error)
	if err != nil && !isConfig {
		return err
	}
	if reflect.DeepEqual(c.Gateway, config.Gateway{}) {
		return err
	}
	if wrong == nil {
		wrong = &config.Error{}
	}
	known := func(key string) bool { // the same mistake, with the same key
		return slices.ContainsFunc(wrong.Problems, func(p config.Problem) bool { return strings.HasPrefix(p.Key, key) })
	}
	found := gatewayProblems(c.WithDefaults().Gateway, known)
	lines := linesOf(path)
	for _, p := range found {
		p.File = path
		for key := p.Key; key != "" && p.Line == 0; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
			p.Line = lines[key]
		}
		wrong.Problems = append(wrong.Problems, p)
	}
	if len(wrong.Problems) == 0 {
		return nil
	}
	slices.SortStableFunc(wrong.Problems, func(a, b config.Problem) int { return cmp.Compare(a.Line, b.Line) })
	return wrong
}

// gatewayProblems looks at the routes, their .thrift files and the certificate.
func gatewayProblems(g config.Gateway, known func(key string) bool) (found []config.Problem) {
	for i, r := range edgeRoutes(g) {
		key := fmt.Sprintf("gateway.routes[%d]", i)
		if known(key) {
			continue
		}
		if err := r.Check(); err != nil {
			found = append(found, config.Problem{Key: key, Text: err.Error()})
		}
	}
	if len(found) == 0 && len(g.Routes) > 0 && !known("gateway") {
		routes := gateway.Config{Routes: edgeRoutes(g)} // two of one path, spelt in two ways
		if err := routes.Validate(); err != nil {
			found = append(found, config.Problem{Key: "gateway.routes", Text: strings.TrimPrefix(err.Error(), "gateway: ")})
		}
	}
	if g.TLS.Cert != "" && g.TLS.Key != "" {
		if _, err := tls.LoadX509KeyPair(g.TLS.Cert, g.TLS.Key); err != nil {
			found = append(found, config.Problem{Key: "gateway.tls", Text: err.Error()})
		}
	}
	return found
}

// linesOf finds the lines of the keys of a configuration.
func linesOf(path string) map[string]int {
	text, err := statedir.ReadNamed(path, maxFile)
	if err != nil {
		return nil
	}
	var c skerry.Config
	return yamlfile.Decode(text, &c, func(string, string) (string, error) { return "", nil }).Lines
}
