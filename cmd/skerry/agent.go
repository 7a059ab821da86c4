package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/agent/shim"
)

// agentFlags are those of all commands of the agent.
type agentFlags struct{ dir string }

func (a *app) agentCommand() *cobra.Command {
	f := &agentFlags{}
	c := &cobra.Command{
		Use:   "agent",
		Short: "Keep on this host running what the site's plan wants",
		Long: `The agent of a host starts what a signed plan wants there, from signed artifacts of
the store. Its instances run on when the agent ends, and the next agent finds them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.PersistentFlags().StringVar(&f.dir, "dir", agent.DefaultDir, "`DIRECTORY` of the agent")
	c.AddCommand(a.agentInstallCommand(), a.agentUpgradeCommand(), a.agentProveCommand())
	c.AddCommand(a.agentRunCommand(), a.agentJoinCommand(), a.agentLogsCommand(f), &cobra.Command{
		Use:   "status",
		Short: "Show the plan that this host obeys, its instances and what is wrong with them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := agent.Look(cmd.Context(), f.dir)
			if err != nil {
				return problemf("%w", err)
			}
			return a.printAgent(r)
		},
	}, &cobra.Command{
		Use:   "restart INSTANCE",
		Short: "Stop an instance politely, and start it again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.agentRestart(cmd.Context(), f.dir, args[0])
		},
	}, a.agentLockCommand(f, "lock", "Have this host take no new plan; what runs goes on", true),
		a.agentLockCommand(f, "unlock", "Have this host take plans again", false))
	return c
}

func (a *app) agentRunCommand() *cobra.Command {
	path := ""
	c := &cobra.Command{
		Use:   "run",
		Short: "Be the agent of this host",
		Long: `Runs until SIGTERM or ctrl-C; the instances go on then. A service manager must not end
them with it: KillMode=process in a unit of systemd.`,
		Example: `  skerry agent run --file /etc/skerry/agent.yaml

  cluster: launch-site-2
  users: [site]`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := agent.ReadConfig(path)
			if err != nil {
				return usagef("%w", err)
			}
			own, err := os.Executable()
			if err != nil {
				return problemf("%w", err)
			}
			agent := agent.New(c, own, "shim")
			err = inService(cmd.Context(), func(ctx context.Context) error {
				return agent.Run(ctx, agentNetwork(agent)...)
			})
			if err != nil {
				return problemf("%w", err)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&path, "file", "f", "/etc/skerry/agent.yaml", "configuration `FILE` of the agent")
	return c
}

func (a *app) agentLogsCommand(f *agentFlags) *cobra.Command {
	lines, follow, proxy := 0, false, false
	c := &cobra.Command{
		Use:   "logs INSTANCE",
		Short: "Print the last lines that an instance has written",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lines < 0 {
				return usagef("--lines %d: a number of lines is 0 or more", lines)
			}
			dir, err := agent.Find(f.dir, args[0])
			if err != nil {
				return problemf("%w", err)
			}
			if proxy {
				dir = filepath.Join(f.dir, "proxies", filepath.Base(dir))
			}
			if err := shim.Logs(cmd.Context(), dir, lines, follow, flushed{a}); err != nil {
				return problemf("%w", err)
			}
			return nil
		},
	}
	c.Flags().IntVarP(&lines, "lines", "n", 100, "how many `LINES` of those that are there")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new lines until ctrl-C")
	c.Flags().BoolVar(&proxy, "proxy", false, "those of the proxy beside it")
	return c
}

// flushed prints what it gets at once.
type flushed struct{ a *app }

func (w flushed) Write(text []byte) (int, error) {
	n, err := w.a.out.Write(text)
	w.a.out.Flush()
	return n, cmp.Or(err, w.a.out.Err())
}

func (a *app) agentRestart(ctx context.Context, dir, name string) error {
	path, err := agent.Find(dir, name)
	if err == nil {
		_, err = shim.Ask(ctx, path, shim.DoRestart, -1)
	}
	if err != nil {
		return problemf("%w", err)
	}
	a.note("%s is being restarted", name)
	return nil
}

func (a *app) agentLockCommand(f *agentFlags, name, short string, locks bool) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Stat(filepath.Join(f.dir, "lock")); err != nil {
				return problemf("no agent has run in %q: %w", f.dir, err)
			}
			if err := agent.Lock(f.dir, locks); err != nil {
				return problemf("%w", err)
			}
			return nil
		},
	}
}

func (a *app) printAgent(r agent.Report) error {
	if a.flags.json {
		return a.printJSON(r)
	}
	running, order := "the agent runs", "no plan yet"
	if !r.Running {
		running = "no agent runs"
	}
	if r.Plan > 0 {
		order = "plan " + strconv.FormatInt(r.Plan, 10) + " of " + r.SignedBy
	}
	if r.Locked {
		order += ", locked: no new plan is taken"
	}
	a.printf("%s of %s: %s, %s\n", r.Host, r.Cluster, running, order)
	if r.Problem != "" {
		a.printf("%s\n", r.Problem)
	}
	if r.Network != "" {
		a.printf("network: %s\n", r.Network)
	}
	for _, line := range r.Fetching {
		a.printf("fetching %s\n", line)
	}
	var rows [][]string
	for _, i := range r.Instances {
		phase, pid, since := i.Phase, "", ""
		if i.CrashLooping {
			phase += ", crash looping"
		}
		if i.PID > 0 {
			pid = strconv.Itoa(i.PID)
		}
		if !i.Since.IsZero() {
			since = durationText(time.Since(i.Since).Round(time.Second))
		}
		var ports []string
		for _, p := range i.Ports {
			ports = append(ports, strconv.Itoa(p))
		}
		rows = append(rows, []string{i.Name, phase, since, pid, strings.Join(ports, ","), strconv.Itoa(i.Restarts),
			i.Problem})
	}
	a.printTable([]string{"INSTANCE", "PHASE", " FOR", " PID", "PORTS", " RESTARTS", "PROBLEM"}, rows)
	return nil
}
