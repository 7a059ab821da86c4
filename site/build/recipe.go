package build

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/site/artifact"
)

// DefaultRecipe is the path of the recipe in a repository.
const DefaultRecipe = ".skerry/build.yaml"

const (
	maxRecipe      = 64 << 10 // bytes
	maxSteps       = 64
	maxStep        = 16 << 10 // bytes
	maxPlatforms   = 16
	maxEnv         = 64
	minTime        = time.Second
	defaultTime    = 20 * time.Minute
	platformHolder = "${platform}"
)

// Recipe is how a service is built: the file .skerry/build.yaml of its repository.
type Recipe struct {
	Service   string            `yaml:"service"`
	Platforms []string          `yaml:"platforms"` // OS/ARCH, or any; default: that of the builder
	Tools     []string          `yaml:"tools"`     // programs that the builder must have
	Env       map[string]string `yaml:"env"`
	Steps     []string          `yaml:"steps"`   // lines of sh, one after the other, in the checkout
	Outputs   string            `yaml:"outputs"` // a directory or a file of the checkout; ${platform} in it is replaced
	Run       artifact.Run      `yaml:"run"`
	Timeout   time.Duration     `yaml:"timeout"` // of all steps together; default 20 min
}

var (
	platformForm = regexp.MustCompile(`^(any|[a-z0-9]{1,20}/[a-z0-9]{1,20})$`)
	toolForm     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,62}$`)
	envForm      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

// ParseRecipe reads a recipe for a service. path names it in errors, own is the platform of the builder.
func ParseRecipe(path string, text []byte, service, own string) (*Recipe, error) {
	r := &Recipe{}
	doc := yamlfile.Decode(text, r, nil)
	if len(doc.Problems) == 0 {
		if len(r.Platforms) == 0 {
			r.Platforms = []string{own}
		}
		if r.Timeout == 0 {
			r.Timeout = defaultTime
		}
		r.check(service, func(key, format string, args ...any) {
			doc.Problems = append(doc.Problems, yamlfile.Problem{Line: doc.Lines[key], Column: doc.Columns[key],
				Key: key, Text: fmt.Sprintf(format, args...)})
		})
	}
	if len(doc.Problems) > 0 {
		return nil, &yamlfile.Error{File: path, Problems: doc.Problems}
	}
	return r, nil
}

func (r *Recipe) check(service string, wrong func(key, format string, args ...any)) {
	if err := registry.CheckName("service", r.Service); err != nil {
		wrong("service", "%v", err)
	} else if r.Service != service {
		wrong("service", "the recipe is that of %q, and the project names the repository as that of %q", r.Service,
			service)
	}
	r.checkPlatforms(wrong)
	for i, t := range r.Tools {
		if !toolForm.MatchString(t) {
			wrong(fmt.Sprintf("tools[%d]", i), "%.80q is no name of a program", t)
		}
	}
	checkEnv("env", r.Env, wrong)
	if _, ok := r.Env["PATH"]; ok {
		wrong("env.PATH", "it is the builder's; write a step such as: export PATH=$PATH:/opt/x; make")
	}
	if len(r.Steps) == 0 || len(r.Steps) > maxSteps {
		wrong("steps", "%d steps; write 1 to %d lines, such as \"make dist\"", len(r.Steps), maxSteps)
	}
	for i, s := range r.Steps {
		if strings.TrimSpace(s) == "" || len(s) > maxStep || strings.ContainsRune(s, 0) {
			wrong(fmt.Sprintf("steps[%d]", i), "write a line of sh of at most %d bytes", maxStep)
		}
	}
	for _, p := range r.Platforms {
		if _, err := r.output(p); err != nil {
			wrong("outputs", "%v", err)
			break
		}
	}
	if r.Run.Command == "" {
		wrong("run.command", "it is missing; write ./PATH of a file of the outputs, or a program of the host")
	}
	if r.Timeout < minTime || r.Timeout > 24*time.Hour {
		wrong("timeout", "%v; write %v to 24h", r.Timeout, minTime)
	}
}

func (r *Recipe) checkPlatforms(wrong func(key, format string, args ...any)) {
	if len(r.Platforms) > maxPlatforms {
		wrong("platforms", "%d platforms, at most %d are taken", len(r.Platforms), maxPlatforms)
	}
	for i, p := range r.Platforms {
		if !platformForm.MatchString(p) {
			wrong("platforms", "%.40q; write OS/ARCH such as linux/amd64, or any", p)
		}
		if slices.Contains(r.Platforms[:i], p) {
			wrong("platforms", "%.40q is there twice", p)
		}
	}
	if len(r.Platforms) > 1 && !strings.Contains(r.Outputs, platformHolder) {
		wrong("outputs", "%d platforms have one output; write ${platform} into it", len(r.Platforms))
	}
}

// checkEnv checks variables of steps.
func checkEnv(key string, env map[string]string, wrong func(key, format string, args ...any)) {
	if len(env) > maxEnv {
		wrong(key, "%d variables, at most %d are taken", len(env), maxEnv)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !envForm.MatchString(name) || strings.HasPrefix(name, "SKERRY_") {
			wrong(key+"."+name, "%.80q is no name of letters, digits and _ that does not begin with SKERRY_", name)
		}
		if v := env[name]; len(v) > maxStep || strings.ContainsRune(v, 0) {
			wrong(key+"."+name, "the value has more than %d bytes, or a zero byte", maxStep)
		}
	}
}

// output is the path of the output for a platform, relative to the checkout.
func (r *Recipe) output(platform string) (string, error) {
	p := path.Clean(strings.ReplaceAll(r.Outputs, platformHolder, platform))
	switch {
	case r.Outputs == "":
		return "", errors.New("it is missing; name the directory or the file that the steps make, such as dist")
	case strings.Contains(p, "${"):
		return "", fmt.Errorf("%.120q: ${platform} is the only variable", r.Outputs)
	case p == "." || strings.ContainsAny(p, "\x00\\") || !filepath.IsLocal(p):
		return "", fmt.Errorf("%.120q is no path below the checkout; write one such as dist/${platform}", r.Outputs)
	}
	return p, nil
}
