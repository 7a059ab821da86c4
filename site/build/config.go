package build

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/yamlfile"
)

// Config is the file builder.yaml of a builder. All of it may be left out, but User by a builder that is root.
type Config struct {
	User    string            `yaml:"user"`    // as which steps run; only root may name one
	Sandbox string            `yaml:"sandbox"` // preferred (default) or required
	Read    []string          `yaml:"read"`    // absolute paths that a sandbox shows; it hides what is around them
	Env     map[string]string `yaml:"env"`     // of each step, such as PATH or GOPROXY
	Timeout time.Duration     `yaml:"timeout"` // the most that a recipe may ask for; default 1 h
	Keep    int               `yaml:"keep"`    // results that are kept; default 200
	Key     string            `yaml:"key"`     // file of the key that signs
	Builds  []string          `yaml:"builds"`  // patterns of branches that skerry build run builds when they are pushed
}

const (
	required  = "required"
	preferred = "preferred"
	maxKeep   = 10_000
)

// ReadConfig reads the file of a builder. Without it the defaults hold.
func ReadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Config{}, err
	}
	return parseConfig(path, text)
}

func parseConfig(path string, text []byte) (c Config, err error) {
	if len(text) > yamlfile.MaxFile {
		return c, fmt.Errorf("%q has %d bytes, at most %d are read", path, len(text), yamlfile.MaxFile)
	}
	var doc yamlfile.Document
	if len(text) > 0 {
		doc = yamlfile.Decode(text, &c, nil)
	}
	c.Sandbox = cmp.Or(c.Sandbox, preferred)
	c.Timeout = cmp.Or(c.Timeout, time.Hour)
	c.Keep = cmp.Or(c.Keep, 200)
	wrong := func(key, format string, args ...any) {
		doc.Problems = append(doc.Problems, yamlfile.Problem{Line: doc.Lines[key], Column: doc.Columns[key],
			Key: key, Text: fmt.Sprintf(format, args...)})
	}
	if len(doc.Problems) == 0 {
		c.check(wrong)
	}
	if len(doc.Problems) > 0 {
		return c, &yamlfile.Error{File: path, Problems: doc.Problems}
	}
	return c, nil
}

func (c Config) check(wrong func(key, format string, args ...any)) {
	if c.Sandbox != required && c.Sandbox != preferred {
		wrong("sandbox", "%.40q; write %s or %s", c.Sandbox, preferred, required)
	}
	for i, p := range c.Read {
		if !filepath.IsAbs(p) {
			wrong(fmt.Sprintf("read[%d]", i), "%.120q is no absolute path", p)
		}
	}
	checkEnv("env", c.Env, wrong)
	if c.Timeout < minTime || c.Timeout > 24*time.Hour {
		wrong("timeout", "%v; write %v to 24h", c.Timeout, minTime)
	}
	if c.Keep < 1 || c.Keep > maxKeep {
		wrong("keep", "%d; write 1 to %d", c.Keep, maxKeep)
	}
	if c.Key != "" && !filepath.IsAbs(c.Key) {
		wrong("key", "%.120q is no absolute path", c.Key)
	}
	for i, p := range c.Builds {
		if _, err := path.Match(p, ""); err != nil {
			wrong(fmt.Sprintf("builds[%d]", i), "%.80q is no pattern such as main or release-*", p)
		}
	}
}

// Lets reports whether skerry build run builds a branch.
func (c Config) Lets(branch string) bool {
	return slices.ContainsFunc(c.Builds, func(pattern string) bool {
		ok, err := path.Match(pattern, branch)
		return ok && err == nil
	})
}
