package agent

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/site/plan"
)

// Config is the file agent.yaml of a host.
type Config struct {
	Cluster   string   `yaml:"cluster"`
	Host      string   `yaml:"host"`      // as plans name it; default: the name of the host
	Dir       string   `yaml:"dir"`       // default /var/lib/skerry/agent
	Plan      string   `yaml:"plan"`      // default /etc/skerry/plan.yaml; its signature is beside it: plan.yaml.sig
	Operators string   `yaml:"operators"` // keys that sign plans; default /etc/skerry/operators
	Builders  string   `yaml:"builders"`  // keys that sign artifacts; default /etc/skerry/builders
	Store     Store    `yaml:"store"`
	Users     []string `yaml:"users"`   // as which instances may run; the agent's own user need not be named
	Secrets   string   `yaml:"secrets"` // directory of secrets, a file each; default /etc/skerry/secrets

	Labels map[string]string `yaml:"labels"` // of the host, by which plans choose hosts

	// Keep is how many good versions of each service stay in the store, beside what runs and what the plan names.
	// Default 3.
	Keep int `yaml:"keep"`

	// Site is the configuration of the site, skerry.yaml, by which the agent talks with other hosts, and the proxies
	// of programs in other languages with the site. Without it the agent works alone.
	Site string `yaml:"site"`
	Rate int64  `yaml:"rate" unit:"bytes"` // sent to other hosts in a second, and fetched; default: no limit

	// Listed tells whether the registry of the site lists an instance that runs as a process of this host. With nil
	// a program without a check is up when its process is.
	Listed func(i plan.Instance, pid int) bool `yaml:"-"`
}

// Store is where the artifacts are.
type Store struct {
	Dir   string `yaml:"dir"`                // default /var/lib/skerry/store
	Floor int64  `yaml:"floor" unit:"bytes"` // that stay free on the disk; default 1 GiB
}

// ReadConfig reads the file of a host.
func ReadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	return parseConfig(path, text)
}

func parseConfig(path string, text []byte) (c Config, err error) {
	if len(text) > yamlfile.MaxFile {
		return c, fmt.Errorf("%q has %d bytes, at most %d are read", path, len(text), yamlfile.MaxFile)
	}
	if err := yamlfile.Unmarshal(path, text, &c); err != nil {
		return c, err
	}
	if err := registry.CheckName("cluster", c.Cluster); err != nil {
		return c, fmt.Errorf("%q: %w", path, err)
	}
	if c.Host == "" {
		if c.Host, err = os.Hostname(); err != nil {
			return c, fmt.Errorf("%q: host is not set, and the system does not tell it: %w", path, err)
		}
	}
	if err := registry.CheckName("host", c.Host); err != nil {
		return c, fmt.Errorf("%q: %w", path, err)
	}
	for _, label := range slices.Sorted(maps.Keys(c.Labels)) {
		err := registry.CheckName("label", label)
		if err := cmp.Or(err, registry.CheckName("value of "+label, c.Labels[label])); err != nil {
			return c, fmt.Errorf("%q: labels: %w", path, err)
		}
	}
	c.Dir = cmp.Or(c.Dir, DefaultDir)
	c.Plan = cmp.Or(c.Plan, "/etc/skerry/plan.yaml")
	c.Operators = cmp.Or(c.Operators, "/etc/skerry/operators")
	c.Builders = cmp.Or(c.Builders, "/etc/skerry/builders")
	c.Secrets = cmp.Or(c.Secrets, "/etc/skerry/secrets")
	c.Store.Dir = cmp.Or(c.Store.Dir, "/var/lib/skerry/store")
	c.Store.Floor = cmp.Or(c.Store.Floor, 1<<30)
	if c.Keep = cmp.Or(c.Keep, 3); c.Keep < 1 {
		return c, fmt.Errorf("%q: keep: %d; at least one good version of each service is kept", path, c.Keep)
	}
	if c.Store.Floor < 0 {
		return c, fmt.Errorf("%q: store.floor is negative", path)
	}
	if c.Rate < 0 {
		return c, fmt.Errorf("%q: rate is negative; leave it out for no limit", path)
	}
	for _, p := range []struct{ key, path string }{{"site", cmp.Or(c.Site, "/")}, {"dir", c.Dir}, {"plan", c.Plan},
		{"operators", c.Operators}, {"builders", c.Builders}, {"secrets", c.Secrets}, {"store.dir", c.Store.Dir}} {
		if !filepath.IsAbs(p.path) {
			return c, fmt.Errorf("%q: %s: %q is no absolute path", path, p.key, p.path)
		}
	}
	return c, nil
}
