package project

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/gitrepo"
	"github.com/skerry/skerry/internal/statedir"
)

// Addition is a service that is added to a project.
type Addition struct {
	Project string // its name, for the first service
	Name    string
	Service Service
	Owner   string   // account that the new repository belongs to; only root may name one
	Hook    []string // command that the hook calls; the name of the service and --dir follow
}

const (
	hookMark = "# Made by skerry project add."
	maxHook  = 64 << 10
)

// Add makes the repository of a service if there is none, installs its hook, and writes the service into project.yaml.
// A second call with the same service repairs the hook.
func Add(ctx context.Context, dir string, a Addition) (*Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := checkService(a.Name); err != nil {
		return nil, err
	}
	if a.Service.Repo == "" {
		a.Service.Repo = a.Name + ".git"
	}
	if err := checkRepo(a.Service.Repo); err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	lock, err := statedir.Lock(filepath.Join(dir, "project.lock"))
	if errors.Is(err, statedir.ErrLocked) {
		return nil, errors.New("another command changes the project; run it again")
	}
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	p, text, err := a.manifest(dir)
	if err != nil {
		return nil, err
	}
	if err := a.repository(ctx, p); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, manifestFile)
	if err := statedir.WriteFile(file, text); err != nil {
		return nil, err
	}
	return p, os.Chmod(file, 0o644) // the hook reads it, as the account that pushes
}

// manifest is the project with the service.
func (a Addition) manifest(dir string) (*Project, []byte, error) {
	file := filepath.Join(dir, manifestFile)
	text, err := readManifest(dir)
	if err != nil {
		return nil, nil, err
	}
	if text != nil {
		m, err := parseManifest(file, text)
		if err != nil {
			return nil, nil, err
		}
		if old, known := m.Services[a.Name]; known {
			if old.Repo != a.Service.Repo {
				return nil, nil, fmt.Errorf("the service %s is there, with the repository %q; change it in %s", a.Name,
					old.Repo, file)
			}
			return &Project{m, dir}, text, nil
		}
		if a.Project != "" && a.Project != m.Project {
			return nil, nil, fmt.Errorf("%s is the project %q, not %q", dir, m.Project, a.Project)
		}
	}
	if text, err = a.Service.add(file, text, a.Project, a.Name); err != nil {
		return nil, nil, err
	}
	m, err := parseManifest(file, text)
	return &Project{m, dir}, text, err
}

// repository makes what the service needs on this host.
func (a Addition) repository(ctx context.Context, p *Project) error {
	dir := p.repoDir(a.Name)
	if kindOf(a.Service.Repo) != local {
		if a.Owner != "" {
			return errors.New("--owner is for repositories that are pushed to on this host")
		}
		_, err := p.Repository(ctx, a.Name)
		return err
	}
	_, err := os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		if err = makeDir(filepath.Dir(dir)); err == nil {
			_, err = gitrepo.Init(ctx, dir)
		}
	} else if err == nil {
		_, err = gitrepo.Open(ctx, dir)
	}
	if err != nil {
		return err
	}
	if err := a.hook(p.dir, dir); err != nil {
		return err
	}
	if a.Owner == "" || !fresh {
		return nil
	}
	return chown(dir, a.Owner)
}

// hook installs the hook of a repository.
func (a Addition) hook(project, repo string) error {
	var words []string
	for _, w := range append(a.Hook, a.Name, "--dir", project) {
		words = append(words, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	call := strings.Join(words, " ")
	path := filepath.Join(repo, "hooks", "post-receive")
	old, err := statedir.ReadNamed(path, maxHook)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && !strings.Contains(string(old), hookMark) {
		if strings.Contains(string(old), call) {
			return nil
		}
		return fmt.Errorf("%s is a hook of its own; add this line to it, and run the command again: %s", path, call)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text := "#!/bin/sh\n" + hookMark + " It says what a push means.\n" + call + " || :\n"
	part := path + ".new"
	if err := os.WriteFile(part, []byte(text), 0o755); err != nil {
		return err
	}
	return errors.Join(os.Chmod(part, 0o755), os.Rename(part, path))
}

// chown gives a repository to an account.
func chown(dir, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(at string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(at, uid, gid)
	})
}

// Repository is the repository of a service on this host. A bundle and a repository that SSH reaches are fetched first.
func (p *Project) Repository(ctx context.Context, name string) (*gitrepo.Repo, error) {
	s, err := p.service(name)
	if err != nil {
		return nil, err
	}
	dir := p.repoDir(name)
	if kindOf(s.Repo) == local {
		repo, err := gitrepo.Open(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no repository %q; make it: skerry project add %s", dir, name)
		}
		return repo, err
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	repo, err := gitrepo.Init(ctx, dir)
	if err != nil {
		return nil, err
	}
	source, bundle := strings.CutPrefix(s.Repo, bundlePrefix)
	if bundle && !filepath.IsAbs(source) {
		source = filepath.Join(p.dir, source)
	}
	if err := repo.Fetch(ctx, source); err != nil {
		return nil, fmt.Errorf("fetch %q: %w", s.Repo, err)
	}
	return repo, nil
}

// copied is the repository as it was when it was fetched last.
func (p *Project) copied(ctx context.Context, name string) (*gitrepo.Repo, error) {
	if kindOf(p.Services[name].Repo) == local {
		return p.Repository(ctx, name)
	}
	repo, err := gitrepo.Open(ctx, p.repoDir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return p.Repository(ctx, name)
	}
	return repo, err
}
