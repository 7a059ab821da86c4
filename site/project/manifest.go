package project

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/site/build"
)

const (
	manifestFile = "project.yaml"
	maxServices  = 500
	maxRepo      = 512 // bytes of the name of a repository
)

// Manifest is the file project.yaml.
type Manifest struct {
	Project  string             `yaml:"project"`
	Services map[string]Service `yaml:"services"`
}

// Service is where a service comes from.
type Service struct {
	// Repo is a directory (relative to repos of the project), bundle:FILE (relative to the project), [USER@]HOST:PATH
	// or ssh://…. Default: SERVICE.git.
	Repo string `yaml:"repo"`

	Recipe string `yaml:"recipe"` // default .skerry/build.yaml
}

// Project is a project in a directory.
type Project struct {
	Manifest
	dir string
}

// Dir is the directory of the project.
func (p *Project) Dir() string { return p.dir }

// Open reads the project of a directory. Without one the error is fs.ErrNotExist.
func Open(dir string) (*Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, manifestFile)
	text, err := statedir.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(file, text)
	if err != nil {
		return nil, err
	}
	return &Project{m, dir}, nil
}

func parseManifest(file string, text []byte) (m Manifest, err error) {
	if len(text) > yamlfile.MaxFile {
		return m, fmt.Errorf("%q has %d bytes, at most %d are read", file, len(text), yamlfile.MaxFile)
	}
	doc := yamlfile.Decode(text, &m, nil)
	if len(doc.Problems) == 0 {
		m.check(func(key, format string, args ...any) {
			doc.Problems = append(doc.Problems, yamlfile.Problem{Line: doc.Lines[key], Column: doc.Columns[key],
				Key: key, Text: fmt.Sprintf(format, args...)})
		})
	}
	if len(doc.Problems) > 0 {
		return m, &yamlfile.Error{File: file, Problems: doc.Problems}
	}
	for name, s := range m.Services {
		if s.Repo == "" {
			s.Repo = name + ".git"
		}
		if s.Recipe == "" {
			s.Recipe = build.DefaultRecipe
		}
		m.Services[name] = s
	}
	return m, nil
}

func (m Manifest) check(wrong func(key, format string, args ...any)) {
	if err := registry.CheckName("project", m.Project); err != nil || m.Project == "" {
		wrong("project", "write the name of the project, such as launch-control")
	}
	if len(m.Services) > maxServices {
		wrong("services", "%d services, at most %d are taken", len(m.Services), maxServices)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Services)) {
		if err := checkService(name); err != nil {
			wrong("services."+name, "%v", err)
		}
		s := m.Services[name]
		if err := checkRepo(s.Repo); s.Repo != "" && err != nil {
			wrong("services."+name+".repo", "%v", err)
		}
		if r := s.Recipe; r != "" && (!filepath.IsLocal(r) || path.Clean(r) != r || strings.Contains(r, `\`)) {
			wrong("services."+name+".recipe", "%.120q is no path in a repository", r)
		}
	}
}

// checkService checks a name that also names a directory.
func checkService(name string) error {
	if err := registry.CheckName("service", name); err != nil {
		return err
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return fmt.Errorf("service %.80q: the name is none of a directory", name)
	}
	return nil
}

// kind is where a repository is.
type kind int

const (
	local kind = iota
	bundled
	remote
)

const bundlePrefix = "bundle:"

// kindOf tells the kinds of repositories apart, as git does: a colon before the first slash is that of a host.
func kindOf(repo string) kind {
	head, _, _ := strings.Cut(repo, "/")
	switch {
	case strings.HasPrefix(repo, bundlePrefix):
		return bundled
	case filepath.IsAbs(repo):
		return local
	case strings.HasPrefix(repo, "ssh://"), strings.Contains(head, ":"):
		return remote
	}
	return local
}

func checkRepo(repo string) error {
	bad := fmt.Errorf("%.120q is no repository: write a directory, bundle:FILE, USER@HOST:PATH or ssh://…", repo)
	if repo == "" || len(repo) > maxRepo || strings.HasPrefix(repo, "-") || strings.ContainsAny(repo, "\x00\n\r") {
		return bad
	}
	switch kindOf(repo) {
	case bundled:
		if repo == bundlePrefix {
			return bad
		}
	case remote:
		host, _, _ := strings.Cut(strings.TrimPrefix(repo, "ssh://"), "/")
		if i := strings.LastIndex(host, "@"); i >= 0 {
			host = host[i+1:]
		}
		if strings.HasPrefix(host, "-") || host == "" || host[0] == ':' || strings.Contains(repo, "::") ||
			strings.Contains(repo, "://") && !strings.HasPrefix(repo, "ssh://") {
			return bad
		}
	default:
		if !filepath.IsAbs(repo) && !filepath.IsLocal(repo) {
			return bad
		}
	}
	return nil
}

// add puts a service into the text of a manifest, and leaves the rest as it is.
func (s Service) add(file string, text []byte, project, name string) ([]byte, error) {
	line := fmt.Sprintf("  %s: {repo: %q", name, s.Repo)
	if s.Recipe != "" {
		line += fmt.Sprintf(", recipe: %q", s.Recipe)
	}
	line += "}"
	if text == nil {
		if project == "" {
			return nil, errors.New("there is no project yet; give it a name: --project NAME")
		}
		text = []byte("project: " + project + "\nservices:\n")
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	at := slices.IndexFunc(lines, func(l string) bool {
		return strings.TrimRight(strings.Split(l, "#")[0], " \r") == "services:"
	})
	if at < 0 {
		return nil, fmt.Errorf("%s has no line \"services:\"; add the service by hand: %s", file,
			strings.TrimSpace(line))
	}
	for _, l := range lines[at+1:] { // indented as the others are
		if body := strings.TrimLeft(l, " "); body != "" && body[0] != '#' {
			if n := len(l) - len(body); n > 0 {
				line = l[:n] + strings.TrimSpace(line)
			}
			break
		}
	}
	lines = slices.Insert(lines, at+1, line)
	text = []byte(strings.Join(lines, "\n") + "\n")
	m, err := parseManifest(file, text)
	if err == nil && m.Services[name].Repo != s.Repo {
		err = fmt.Errorf("%s can't be changed by this command; add the service by hand: %s", file,
			strings.TrimSpace(line))
	}
	return text, err
}

// readManifest returns the text of the manifest, nil without one.
func readManifest(dir string) ([]byte, error) {
	text, err := statedir.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// repoDir is the directory of a repository: its own, or that of the copy.
func (p *Project) repoDir(name string) string {
	repo := p.Services[name].Repo
	switch {
	case kindOf(repo) != local:
		return filepath.Join(p.dir, "repos", name+".git")
	case filepath.IsAbs(repo):
		return repo
	}
	return filepath.Join(p.dir, "repos", filepath.FromSlash(repo))
}

// service returns what the manifest says of a service.
func (p *Project) service(name string) (Service, error) {
	s, known := p.Services[name]
	if !known {
		return s, fmt.Errorf("the project %s has no service %q; its services are %s", p.Project, name,
			strings.Join(slices.Sorted(maps.Keys(p.Services)), ", "))
	}
	return s, nil
}

// makeDir makes a directory of the project, which others may go through: accounts that push, and that run steps.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return statedir.Check(dir)
}
