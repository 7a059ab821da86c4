package project

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/gitrepo"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/build"
)

const (
	maxBranches = 50  // of one service in a tree
	maxCommits  = 100 // of one branch that are looked at for builds
	maxRecipe   = 64 << 10
	maxPushed   = 1000 // lines that a hook reads
)

// Where tells where an artifact runs, as SERVICE/VERSION#N@HOST, by what agents say.
type Where interface {
	Running(digest artifact.Digest) []string
}

// Tree is what became of the commits of a project.
type Tree struct {
	Project  string `json:"project"`
	Services []Root `json:"services"`
}

// Root is a service in a tree.
type Root struct {
	Service  string   `json:"service"`
	Repo     string   `json:"repo"`
	Problem  string   `json:"problem,omitempty"` // the repository can't be read
	Branches []Branch `json:"branches"`          // the one with the newest commit first
	More     int      `json:"more"`              // branches that are left out
}

// Branch is a branch in a tree: its last commit, and those before it that were built.
type Branch struct {
	Name    string   `json:"name"` // "": commits with builds that are on no branch
	Commits []Commit `json:"commits"`
}

// Commit is a commit in a tree.
type Commit struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time,omitzero"`
	Author  string    `json:"author,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Builds  []Build   `json:"builds"` // the last one first
}

// Build is a build in a tree.
type Build struct {
	ID        int           `json:"id"`
	Outcome   build.Outcome `json:"outcome"`
	Why       string        `json:"why,omitempty"`
	Version   string        `json:"version"`
	By        string        `json:"by"`
	Began     time.Time     `json:"began"`
	Artifacts []Leaf        `json:"artifacts"`
}

// Leaf is an artifact in a tree.
type Leaf struct {
	Platform string          `json:"platform"`
	Digest   artifact.Digest `json:"digest"`
	Running  []string        `json:"running"` // null: no agent tells it
}

// Tree returns the tree, of one service if it is named. results are those of the builder; where may be nil.
func (p *Project) Tree(ctx context.Context, service string, results []build.Result, where Where) (Tree, error) {
	t := Tree{Project: p.Project, Services: []Root{}}
	names := slices.Sorted(maps.Keys(p.Services))
	if service != "" {
		if _, err := p.service(service); err != nil {
			return t, err
		}
		names = []string{service}
	}
	for _, name := range names {
		t.Services = append(t.Services, p.root(ctx, name, results, where))
	}
	return t, ctx.Err()
}

func (p *Project) root(ctx context.Context, name string, results []build.Result, where Where) Root {
	r := Root{Service: name, Repo: p.Services[name].Repo, Branches: []Branch{}}
	builds := map[string][]Build{}
	var order []string
	for _, one := range results {
		if one.Service == name {
			if builds[one.Commit] == nil {
				order = append(order, one.Commit)
			}
			builds[one.Commit] = append(builds[one.Commit], grow(one, where))
		}
	}
	seen := map[string]bool{}
	if err := p.branches(ctx, &r, builds, seen); err != nil {
		r.Problem = err.Error()
	}
	lost := Branch{}
	for _, id := range order {
		if !seen[id] {
			lost.Commits = append(lost.Commits, Commit{ID: id, Builds: builds[id]})
		}
	}
	if len(lost.Commits) > 0 {
		r.Branches = append(r.Branches, lost)
	}
	return r
}

// branches fills in the branches of a service.
func (p *Project) branches(ctx context.Context, r *Root, builds map[string][]Build, seen map[string]bool) error {
	repo, err := p.copied(ctx, r.Service)
	if err != nil {
		return err
	}
	all, err := repo.Branches(ctx)
	if err != nil {
		return err
	}
	r.More = max(0, len(all)-maxBranches)
	for _, b := range all[:len(all)-r.More] {
		log, err := repo.Log(ctx, b.ID, maxCommits)
		if err != nil {
			return err
		}
		branch := Branch{Name: b.Name}
		for i, c := range log {
			if own := builds[c.ID]; i == 0 || own != nil {
				seen[c.ID] = true
				branch.Commits = append(branch.Commits, Commit{c.ID, c.Time, c.Author, c.Subject,
					append([]Build{}, own...)})
			}
		}
		r.Branches = append(r.Branches, branch)
	}
	return nil
}

// grow is a result in a tree.
func grow(r build.Result, where Where) Build {
	b := Build{r.ID, r.Outcome, r.Why, r.Version, r.By, r.Began, []Leaf{}}
	for _, a := range r.Artifacts {
		leaf := Leaf{Platform: a.Platform, Digest: a.Digest}
		if where != nil {
			leaf.Running = append([]string{}, where.Running(a.Digest)...)
		}
		b.Artifacts = append(b.Artifacts, leaf)
	}
	return b
}

// Pushed is what a push means for one branch.
type Pushed struct {
	Step    string        `json:"step"`    // push
	Target  string        `json:"target"`  // SERVICE@COMMIT
	Outcome build.Outcome `json:"outcome"` // refused: the commit can't be built
	Why     string        `json:"why,omitempty"`
	Branch  string        `json:"branch"`
	Commit  string        `json:"commit"` // "": the branch was removed
}

// Pushed reads what git tells a hook, "OLD NEW REF" a line, and the recipe of each new commit.
func (p *Project) Pushed(ctx context.Context, service string, from io.Reader) ([]Pushed, error) {
	s, err := p.service(service)
	if err != nil {
		return nil, err
	}
	repo, err := p.Repository(ctx, service)
	if err != nil {
		return nil, err
	}
	all := []Pushed{}
	lines := bufio.NewScanner(from)
	for lines.Scan() && len(all) < maxPushed {
		old, rest, _ := strings.Cut(lines.Text(), " ")
		id, ref, ok := strings.Cut(rest, " ")
		if !ok || old == "" {
			return all, fmt.Errorf("%.120q is no line that git gives to a hook", lines.Text())
		}
		name, isBranch := strings.CutPrefix(ref, "refs/heads/")
		if !isBranch {
			continue
		}
		one := Pushed{Step: "push", Target: service + "@" + id[:min(12, len(id))], Outcome: build.Succeeded,
			Branch: name, Commit: id}
		if strings.Trim(id, "0") == "" {
			one.Commit, one.Target = "", service
		} else if err := checkRecipe(ctx, repo, id, s.Recipe, service); err != nil {
			one.Outcome, one.Why = build.Refused, err.Error()
		}
		all = append(all, one)
	}
	return all, lines.Err()
}

// checkRecipe reads the recipe of a commit as a builder would.
func checkRecipe(ctx context.Context, repo *gitrepo.Repo, id, recipe, service string) error {
	c, err := repo.Resolve(ctx, id)
	if err != nil {
		return err
	}
	text, err := repo.File(ctx, c.ID, recipe, maxRecipe)
	if err != nil {
		return fmt.Errorf("the recipe: %w", err)
	}
	_, err = build.ParseRecipe(recipe, text, service, runtime.GOOS+"/"+runtime.GOARCH)
	return err
}

// Tips are the branches that a pattern of names lets through and whose last commit has no result yet.
func (p *Project) Tips(ctx context.Context, service string, results []build.Result,
	let func(branch string) bool) ([]gitrepo.Branch, error) {
	repo, err := p.Repository(ctx, service)
	if err != nil {
		return nil, err
	}
	all, err := repo.Branches(ctx)
	built := map[string]bool{}
	for _, r := range results {
		if r.Service == service {
			built[r.Commit] = true
		}
	}
	return slices.DeleteFunc(all, func(b gitrepo.Branch) bool { return built[b.ID] || !let(b.Name) }), err
}
