package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
)

const (
	agentService = "skerry-agent"
	agentUnit    = agentService + ".service"
)

// unitOf is the unit of systemd of an agent. KillMode: instances outlive the agent. Delegate: their control groups are
// the agent's.
func unitOf(program, file string) string {
	return `[Unit]
Description=skerry agent: keeps on this host running what the site's plan wants
After=local-fs.target
Wants=network.target
After=network.target

[Service]
ExecStart=` + systemdWord(program) + ` agent run --file ` + systemdWord(file) + `
KillMode=process
Delegate=yes
Restart=always
RestartSec=1
TimeoutStopSec=30
LimitNOFILE=65536
TasksMax=infinity
OOMScoreAdjust=-500
UMask=0022

[Install]
WantedBy=multi-user.target
`
}

// systemdWord writes a path as one word of ExecStart.
func systemdWord(path string) string {
	return strconv.Quote(strings.NewReplacer("%", "%%", "$", "$$").Replace(path))
}

func (a *app) agentInstallCommand() *cobra.Command {
	file, dir, prints := "", "", false
	c := &cobra.Command{
		Use:   "install",
		Short: "Have systemd, or Windows, run the agent of this host, now and after each start",
		Long: `Copies this binary below the directory of the agent, writes a unit of systemd, and
enables and starts it. On Windows it is a service. The unit starts what skerry agent upgrade has put in place
last. Instances go on when the agent is stopped or restarted.`,
		Example: `  skerry agent install
  skerry agent install --print`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.agentInstall(cmd.Context(), file, dir, prints)
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "/etc/skerry/agent.yaml", "configuration `FILE` of the agent")
	c.Flags().StringVar(&dir, "units", "/etc/systemd/system", "`DIRECTORY` of units")
	c.Flags().BoolVar(&prints, "print", false, "print what would be done, and do nothing")
	return c
}

func (a *app) agentInstall(ctx context.Context, file, units string, prints bool) error {
	c, err := agent.ReadConfig(file)
	if err != nil {
		return usagef("%w", err)
	}
	if file, err = filepath.Abs(file); err != nil {
		return problemf("%w", err)
	}
	own, err := os.Executable()
	if err != nil {
		return problemf("%w", err)
	}
	if runtime.GOOS == "windows" {
		return a.agentInstallService(c, own, file, prints)
	}
	unit, text := filepath.Join(units, agentUnit), unitOf(agent.Program(c.Dir), file)
	steps := [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "enable", agentUnit},
		{"systemctl", "restart", agentUnit}}
	if prints {
		a.printf("copy %s to %s\nwrite %s:\n\n", own, agent.Program(c.Dir), unit)
		for line := range strings.Lines(text + "\n") {
			a.printf("%s\n", strings.TrimSuffix(line, "\n"))
		}
		for _, s := range steps {
			a.printf("%s\n", strings.Join(s, " "))
		}
		return nil
	}
	if _, err := exec.LookPath("systemctl"); err != nil {
		return problemf("this host has no systemd: %w; have its service manager run %s agent run --file %s, and start "+
			"it again when it ends", err, own, file)
	}
	if _, _, err := agent.Place(c.Dir, own); err != nil {
		return problemf("%w", err)
	}
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		return problemf("%w", err)
	}
	for _, s := range steps {
		if out, err := exec.CommandContext(ctx, s[0], s[1:]...).CombinedOutput(); err != nil {
			return problemf("%s: %w: %.500s", strings.Join(s, " "), err, strings.TrimSpace(string(out)))
		}
	}
	a.note("the agent is installed; skerry agent status shows it")
	return nil
}

// agentInstallService installs the agent as a service of Windows.
func (a *app) agentInstallService(c agent.Config, own, file string, prints bool) error {
	a.printf("copy %s to %s\nservice %s: %s agent run --file %s; started again 1 s after it has ended\n", own,
		agent.Program(c.Dir), agentService, agent.Program(c.Dir), file)
	if prints {
		return nil
	}
	if _, _, err := agent.Place(c.Dir, own); err != nil {
		return problemf("%w", err)
	}
	if err := installService(agent.Program(c.Dir), file); err != nil {
		return problemf("%w", err)
	}
	return nil
}

func (a *app) agentUpgradeCommand() *cobra.Command {
	file, within := "", time.Minute
	c := &cobra.Command{
		Use:   "upgrade FILE|SERVICE/VERSION",
		Short: "Put another version of skerry in the place of the agent",
		Long: `Takes a binary of skerry, or the one that an artifact of the store runs. It has to
read all states and to reach all shims before anything is changed. Then the agent
ends, the service manager starts the new one, and that one has a minute to prove
the same; else the agent of before comes back. Instances run on meanwhile.`,
		Example: `  skerry agent upgrade ./skerry
  skerry agent upgrade skerry/v1.3.0`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.agentUpgrade(cmd.Context(), file, args[0], within)
		},
	}
	c.Flags().DurationVar(&within, "within", within, "`TIME` that the new agent has to prove itself")
	c.Flags().StringVarP(&file, "file", "f", "/etc/skerry/agent.yaml", "configuration `FILE` of the agent")
	return c
}

func (a *app) agentUpgrade(ctx context.Context, file, what string, within time.Duration) error {
	c, err := agent.ReadConfig(file)
	if err != nil {
		return usagef("%w", err)
	}
	if file, err = filepath.Abs(file); err != nil {
		return problemf("%w", err)
	}
	binary, remove, err := upgradeOf(ctx, c, what)
	if err != nil {
		return problemf("%w", err)
	}
	defer remove()
	if err := agent.Upgrade(ctx, c, file, binary, within, func(text string) { a.note("%s", text) }); err != nil {
		return problemf("%w", err)
	}
	return nil
}

// upgradeOf returns the binary that a file or an artifact names.
func upgradeOf(ctx context.Context, c agent.Config, what string) (binary string, remove func(), err error) {
	none := func() {}
	if _, err := os.Stat(what); err == nil {
		return what, none, nil
	}
	service, version, named := strings.Cut(what, "/")
	if !named || service == "" || strings.Contains(version, "/") {
		return "", none, fmt.Errorf("there is no file %q, and it is no SERVICE/VERSION of an artifact", what)
	}
	store, err := artifact.Open(c.Store.Dir, artifact.Options{Floor: c.Store.Floor})
	if err != nil {
		return "", none, err
	}
	x, err := store.Find(service, version, runtime.GOOS+"/"+runtime.GOARCH)
	if err != nil {
		return "", none, err
	}
	own, is := strings.CutPrefix(x.Manifest.Run.Command, "./")
	if !is {
		return "", none, errors.New("the artifact runs a program of the host, and brings none")
	}
	builders, err := artifact.ReadSigners(c.Builders)
	if err != nil {
		return "", none, err
	}
	base, err := os.MkdirTemp(c.Dir, ".upgrade-")
	if err != nil {
		return "", none, err
	}
	remove = func() { os.RemoveAll(base) }
	if err := store.Stage(ctx, x.Digest, builders, filepath.Join(base, "files")); err != nil {
		remove()
		return "", none, err
	}
	return filepath.Join(base, "files", filepath.FromSlash(own)), remove, nil
}

func (a *app) agentProveCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use:    "prove",
		Short:  "Read all states of this host's instances and reach all shims",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := agent.ReadConfig(file)
			if err == nil {
				err = agent.Prove(cmd.Context(), c)
			}
			if err != nil {
				return problemf("%w", err)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "/etc/skerry/agent.yaml", "configuration `FILE` of the agent")
	return c
}
