package main

import (
	"cmp"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/site/agent"
)

func (a *app) siteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "site",
		Short: "Say what runs where on a site, and take hosts into it",
		Long: `A site is its hosts, each with an agent, and one plan that says what runs where. An
operator signs the plan; the agents obey it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.siteInitCommand(), a.siteInviteCommand(), a.sitePlanCommand(), a.siteApplyCommand(),
		a.siteShowCommand(), a.siteStatusCommand(), a.siteHistoryCommand(), a.siteUndoCommand())
	return c
}

// systemDir is the directory of this host's files.
func systemDir() string { return filepath.Dir(systemFile("x")) }

// hostFlags say how a host becomes one of a site.
type hostFlags struct {
	dir    string
	state  string
	host   string
	users  []string
	labels map[string]string
}

func (f *hostFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "dir", systemDir(), "`DIR` for the files of the site")
	c.Flags().StringVar(&f.state, "state", "", "`DIR` in which the agent has its directory and its store (default "+
		filepath.Dir(agent.DefaultDir)+")")
	c.Flags().StringVar(&f.host, "host", "", "`NAME` of this host in plans (default the system's)")
	c.Flags().StringSliceVar(&f.users, "user", nil, "`USER` as which services may run here; may be repeated")
	c.Flags().StringToStringVar(&f.labels, "label", nil, "`NAME=VALUE` of this host, by which plans choose hosts; may "+
		"be repeated")
	c.MarkFlagDirname("dir")
	c.MarkFlagDirname("state")
}

// agentDir is the directory of the agent, storeDir that of its store.
func (f *hostFlags) agentDir() string {
	return filepath.Join(cmp.Or(f.state, filepath.Dir(agent.DefaultDir)), "agent")
}

func (f *hostFlags) storeDir() string {
	if f.state == "" && runtime.GOOS == "windows" {
		return systemFile("store")
	}
	return filepath.Join(cmp.Or(f.state, filepath.Dir(agent.DefaultDir)), "store")
}
