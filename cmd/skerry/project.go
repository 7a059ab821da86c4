package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/site/build"
	"github.com/skerry/skerry/site/project"
)

// projectFlags are those of all commands of projects and builds.
type projectFlags struct{ dir string }

func (f *projectFlags) register(c *cobra.Command) {
	c.PersistentFlags().StringVar(&f.dir, "dir", "", "`DIR` of the project (default $SKERRY_PROJECT, else that of the "+
		"system or, for other users than root, of the user)")
	c.MarkPersistentFlagDirname("dir")
}

// directory is the absolute directory of the project.
func (f *projectFlags) directory() (string, error) {
	dir := cmp.Or(f.dir, os.Getenv("SKERRY_PROJECT"))
	if dir == "" {
		store := defaultStore()
		if store == "" {
			return "", usagef("no project is named; say --dir DIR")
		}
		dir = filepath.Join(filepath.Dir(store), "project")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", problemf("%w", err)
	}
	return dir, nil
}

// open opens the project and its builder.
func (f *projectFlags) open() (*project.Project, *build.Builder, build.Config, error) {
	dir, err := f.directory()
	if err != nil {
		return nil, nil, build.Config{}, err
	}
	p, err := project.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is no project; begin it: skerry project add SERVICE --project NAME", dir)
	}
	if err != nil {
		return nil, nil, build.Config{}, problemf("%w", err)
	}
	c, err := build.ReadConfig(filepath.Join(dir, "builder.yaml"))
	if err != nil {
		return nil, nil, c, problemf("%w", err)
	}
	return p, build.New(dir, c), c, nil
}

func (a *app) projectCommand() *cobra.Command {
	f := &projectFlags{}
	c := &cobra.Command{
		Use:   "project",
		Short: "Keep the services of a project: repositories, branches, builds, and where they run",
		Long: `A project is a directory on a host of the site: project.yaml names its services,
and repos has their bare Git repositories. A push is checked by a hook; skerry build
makes artifacts of commits. The program git is needed on this host.

  project: launch-control
  services:
    auth: {repo: auth.git}                 # a directory in repos, or an absolute one
    proc: {repo: "bundle:proc.bundle"}     # a file of git bundle from a stick
    db: {repo: "git@ops-1:db.git"}         # a repository that SSH reaches`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.register(c)
	c.AddCommand(a.projectAddCommand(f), a.projectLsCommand(f), a.projectTreeCommand(f), a.projectPushedCommand(f))
	return c
}

func (a *app) projectAddCommand(f *projectFlags) *cobra.Command {
	add := project.Addition{}
	c := &cobra.Command{
		Use:   "add SERVICE",
		Short: "Add a service: make its repository, and install the hook of pushes",
		Example: `  skerry project add auth --project launch-control
  skerry project add auth --owner git    # git push git@ops-1:/var/lib/skerry/project/repos/auth.git
  skerry project add proc --repo bundle:/media/stick/proc.bundle`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := f.directory()
			if err != nil {
				return err
			}
			own, err := os.Executable()
			if err != nil {
				return problemf("%w", err)
			}
			add.Name, add.Hook = args[0], []string{own, "project", "pushed"}
			p, err := project.Add(cmd.Context(), dir, add)
			if err != nil {
				return problemf("%w", err)
			}
			return a.printProject(p)
		},
	}
	set := c.Flags()
	set.StringVar(&add.Project, "project", "", "`NAME` of the project, with its first service")
	set.StringVar(&add.Service.Repo, "repo", "", "`REPOSITORY`: a directory, bundle:FILE, USER@HOST:PATH or ssh://… "+
		"(default SERVICE.git in repos of the project)")
	set.StringVar(&add.Service.Recipe, "recipe", "", "`PATH` of the recipe in the repository (default "+
		build.DefaultRecipe+")")
	set.StringVar(&add.Owner, "owner", "", "`ACCOUNT` that pushes; only root may name one")
	return c
}

func (a *app) projectLsCommand(f *projectFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"show"},
		Short:   "Show the services of the project, and their repositories",
		Args:    cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			p, _, _, err := f.open()
			if err != nil {
				return err
			}
			return a.printProject(p)
		},
	}
}

// projectRow is a service of a project.
type projectRow struct {
	Service string `json:"service"`
	Repo    string `json:"repo"`
	Recipe  string `json:"recipe"`
}

func (a *app) printProject(p *project.Project) error {
	rows := []projectRow{}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		rows = append(rows, projectRow{name, p.Services[name].Repo, p.Services[name].Recipe})
	}
	if a.flags.json {
		return a.printJSON(map[string]any{"project": p.Project, "dir": p.Dir(), "services": rows})
	}
	a.printf("%s in %s\n", p.Project, p.Dir())
	var cells [][]string
	for _, r := range rows {
		cells = append(cells, []string{r.Service, r.Repo, r.Recipe})
	}
	a.printTable([]string{"SERVICE", "REPOSITORY", "RECIPE"}, cells)
	return nil
}

func (a *app) projectTreeCommand(f *projectFlags) *cobra.Command {
	agents := false
	c := &cobra.Command{
		Use:   "tree [SERVICE]",
		Short: "Show services, branches, commits, builds, and where each build runs",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, b, _, err := f.open()
			if err != nil {
				return err
			}
			results, failed := b.Results()
			var where project.Where
			if agents {
				if where, err = a.where(cmd.Context()); err != nil {
					return err
				}
			}
			t, err := p.Tree(cmd.Context(), strings.Join(args, ""), results, where)
			if err != nil {
				return problemf("%w", err)
			}
			if err := a.printTree(t); err != nil {
				return err
			}
			if failed != nil {
				return problemf("%w", failed)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&agents, "agents", false, "ask the agents of the configured site where artifacts run")
	return c
}

func (a *app) printTree(t project.Tree) error {
	if a.flags.json {
		return a.printJSON(t)
	}
	a.printf("%s\n", t.Project)
	for _, s := range t.Services {
		a.printf("  %s  %s\n", s.Service, s.Repo)
		if s.Problem != "" {
			a.printf("    %s\n", s.Problem)
		}
		for _, b := range s.Branches {
			a.printf("    %s\n", cmp.Or(b.Name, "(on no branch)"))
			for _, c := range b.Commits {
				a.printTreeCommit(c)
			}
		}
		if s.More > 0 {
			a.printf("    %s more branches\n", strconv.Itoa(s.More))
		}
	}
	return nil
}

func (a *app) printTreeCommit(c project.Commit) {
	id, when := c.ID[:min(12, len(c.ID))], ""
	if !c.Time.IsZero() {
		when = c.Time.Local().Format("2006-01-02 15:04")
	}
	a.printf("      %s\n", strings.Join(slices.DeleteFunc([]string{cmp.Or(id, "?"), when, c.Author, c.Subject},
		func(s string) bool { return s == "" }), "  "))
	for _, b := range c.Builds {
		text := strings.Join(slices.DeleteFunc([]string{"build " + strconv.Itoa(b.ID), string(b.Outcome), b.Version,
			"by " + b.By, b.Why}, func(s string) bool { return s == "" }), "  ")
		a.printf("        %s\n", text)
		for _, l := range b.Artifacts {
			runs := "runs nowhere"
			switch {
			case l.Running == nil:
				runs = "where it runs is unknown"
			case len(l.Running) > 0:
				runs = "runs: " + strings.Join(l.Running, ", ")
			}
			a.printf("          %s  %s  %s\n", l.Platform, l.Digest.Short(), runs)
		}
	}
}

func (a *app) projectPushedCommand(f *projectFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "pushed SERVICE",
		Short: "Tell what a push means; the hook of a repository calls it",
		Long: `Reads "OLD NEW REF" a line from standard input, as git gives it to the hook
post-receive, and the recipe of each commit. What it prints is what the person that
pushes sees. It changes nothing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, _, c, err := f.open()
			if err != nil {
				return err
			}
			all, err := p.Pushed(cmd.Context(), args[0], cmd.InOrStdin())
			if err != nil {
				return problemf("%w", err)
			}
			return a.printPushed(p, c, args[0], all)
		},
	}
}

func (a *app) printPushed(p *project.Project, c build.Config, service string, all []project.Pushed) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"project": p.Project, "pushed": all})
	}
	for _, one := range all {
		id := one.Commit[:min(12, len(one.Commit))]
		switch {
		case one.Commit == "":
			a.printf("%s: the branch %s is removed\n", service, one.Branch)
		case one.Outcome == build.Refused:
			a.printf("%s: %s of %s can't be built: %s\n", service, id, one.Branch, one.Why)
		case c.Lets(one.Branch):
			a.printf("%s: %s of %s is built by skerry build run\n", service, id, one.Branch)
		default:
			a.printf("%s: %s of %s can be built: skerry build %s --commit %s\n", service, id, one.Branch, service, id)
		}
	}
	return nil
}
