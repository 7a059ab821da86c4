package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/yamlfile"
)

// WithDefaults returns the configuration with all defaults filled in and the services in one list,
// as a node uses it.
func (c Config) WithDefaults() Config {
	if c.Service.Name != "" {
		c.Services = append([]Service{c.Service}, c.Services...)
		c.Service = Service{}
	}
	fillDefaults(reflect.ValueOf(&c).Elem())
	services := make([]Service, len(c.Services))
	for i, s := range c.Services {
		fillDefaults(reflect.ValueOf(&s).Elem())
		if s.Zone == "" {
			s.Zone = c.Zone
		}
		services[i] = s
	}
	c.Services = services
	c.Consumers = c.withDefaultConsumers()
	c.Gateway = c.Gateway.WithDefaults()
	c.Proxy = c.Proxy.withDefaults()
	c.Site = c.Site.withDefaults()
	c.Policy = c.Policy.withDefaults()
	if c.StateDir == "" {
		c.StateDir = defaultStateDir()
	}
	return c
}

// withDefaultConsumers are the effective rules: each consumer's own, then those of "*", then the
// defaults.
func (c Config) withDefaultConsumers() map[string]Consumer {
	if c.Consumers == nil {
		return nil
	}
	all := make(map[string]Consumer, len(c.Consumers))
	for name := range c.Consumers {
		all[name] = c.ConsumerOf(name)
	}
	return all
}

// IsEntry reports whether calls of the method may begin traces.
func (c Config) IsEntry(service, method string) bool {
	return slices.ContainsFunc(c.Services, func(s Service) bool {
		return s.Name == service && (slices.Contains(s.Entry, "*") || slices.Contains(s.Entry, method))
	})
}

// ConsumerOf returns the rules for a service: its own, then those of "*", then the defaults.
func (c Config) ConsumerOf(service string) Consumer {
	own := c.Consumers[service]
	fillFrom(reflect.ValueOf(&own).Elem(), reflect.ValueOf(c.Consumers["*"]))
	fillDefaults(reflect.ValueOf(&own).Elem())
	return own
}

// fillDefaults writes the default tags into the zero fields of a struct.
func fillDefaults(v reflect.Value) {
	for i := range v.NumField() {
		field, tag := v.Field(i), v.Type().Field(i).Tag
		if field.Kind() == reflect.Struct {
			fillDefaults(field)
			continue
		}
		text, ok := tag.Lookup("default")
		if !ok || !field.IsZero() {
			continue
		}
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		if err := yamlfile.SetScalar(field, text, tag.Get("unit")); err != nil {
			// a wrong tag; every test finds it
			panic(fmt.Sprintf("config: default of %s: %v", v.Type().Field(i).Name, err))
		}
	}
}

// fillFrom copies the fields of from into the zero fields of to.
func fillFrom(to, from reflect.Value) {
	for i := range to.NumField() {
		switch field := to.Field(i); {
		case field.Kind() == reflect.Struct:
			fillFrom(field, from.Field(i))
		case field.IsZero():
			field.Set(from.Field(i))
		}
	}
}

// defaultStateDir is the default of StateDir; "" without a directory of the process's user alone.
func defaultStateDir() string {
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "skerry")
	}
	return ""
}
