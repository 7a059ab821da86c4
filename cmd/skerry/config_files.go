package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/internal/yamlfile"
)

// checkFiles adds to err the mistakes in the files that the configuration names.
// A service would find those of the site when it starts, and skerry gateway those
// of its section. Other processes with this configuration, and commands that make
// these files, may run without them.
func checkFiles(path string, c skerry.Config, err error) error {
	wrong, isConfig := err.(*config.Error)
	if err != nil && !isConfig {
		return err
	}
	if wrong == nil {
		wrong = &config.Error{}
	}
	known := func(key string) bool { // the key already has a mistake
		return slices.ContainsFunc(wrong.Problems, func(p config.Problem) bool { return strings.HasPrefix(p.Key, key) })
	}
	found := siteProblems(c, known)
	if !reflect.DeepEqual(c.Gateway, config.Gateway{}) {
		found = append(found, gatewayProblems(c.WithDefaults().Gateway, known)...)
	}
	found = append(found, thriftProblems(c, known)...)
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

// wholeConfig returns the errors of `skerry config check` for the file.
func (a *app) wholeConfig() error {
	path := a.configPath()
	if path == "" {
		return nil
	}
	c, err := a.readConfig(path)
	if err := checkFiles(path, c, err); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// siteProblems reads the files of the site's keys and operators.
func siteProblems(c skerry.Config, known func(key string) bool) []config.Problem {
	if known("site") || known("lan.key") || known("cluster") {
		return nil
	}
	_, err := siteTrust(c)
	if err == nil {
		return nil
	}
	key, text, _ := strings.Cut(err.Error(), ": ")
	return []config.Problem{{Key: key, Text: text}}
}

// siteTrust opens the keys of the configured site without a node.
func siteTrust(c skerry.Config) (*trust.Trust, error) {
	c = c.WithDefaults()
	return trust.New(trust.Config{
		Cluster:   c.Cluster,
		Mode:      c.Site.KeyMode(),
		KeyFiles:  c.Site.Keys,
		Key:       c.LAN.Key,
		Operators: c.Site.Operators,
	})
}

// gatewayProblems checks the .thrift files of routes and the certificate.
func gatewayProblems(g config.Gateway, known func(key string) bool) (found []config.Problem) {
	for i, r := range g.Routes {
		key := fmt.Sprintf("gateway.routes[%d]", i)
		if known(key) {
			continue
		}
		if err := gateway.CheckRoute(r); err != nil {
			found = append(found, config.Problem{Key: key, Text: err.Error()})
		}
	}
	if g.TLS.Cert != "" && g.TLS.Key != "" {
		if _, err := tls.LoadX509KeyPair(g.TLS.Cert, g.TLS.Key); err != nil {
			found = append(found, config.Problem{Key: "gateway.tls", Text: err.Error()})
		}
	}
	return found
}

// thriftProblems checks the .thrift files that describe the services of the process and of programs behind its proxy.
func thriftProblems(c skerry.Config, known func(key string) bool) (found []config.Problem) {
	check := func(key, service, path string) {
		if path == "" || known(key) {
			return
		}
		file, err := dynamic.Load(path)
		if err == nil {
			_, err = file.Find("", service, "")
		}
		if err != nil {
			found = append(found, config.Problem{Key: key, Text: err.Error()})
		}
	}
	check("service.thrift", c.Service.Name, c.Service.Thrift)
	for i, s := range c.Services {
		check(fmt.Sprintf("services[%d].thrift", i), s.Name, s.Thrift)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Proxy.Programs)) {
		for i, v := range c.Proxy.Programs[name].Provides {
			check(fmt.Sprintf("proxy.programs.%s.provides[%d].thrift", name, i), v.Service, v.Thrift)
		}
	}
	return found
}

// linesOf returns the line of each key of a configuration.
func linesOf(path string) map[string]int {
	text, err := statedir.ReadNamed(path, maxFile)
	if err != nil {
		return nil
	}
	var c skerry.Config
	return yamlfile.Decode(text, &c, func(string, string) (string, error) { return "", nil }).Lines
}
