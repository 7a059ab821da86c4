package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/console"
)

func (a *app) consoleHistoryCommand() *cobra.Command {
	dir, kind, last := "", "", 0
	c := &cobra.Command{
		Use:   "history",
		Short: "Show what was done in the console of this host, and which processes it saw come and go",
		Long: `Shows what the console of this host keeps in state_dir, oldest first: sign-ins,
what was done in it, and which processes it has seen join, leave, vanish and come
back. The page History has these beside releases (skerry release log) and policies
(skerry policy history), and also as CSV.`,
		Example: "  skerry console history --last 20\n  skerry console history --kind processes --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !slices.Contains([]string{"", "processes", "terminal", "key"}, kind) {
				return usagef("--kind %s: want processes, terminal (done in the console) or key (sign-ins)", kind)
			}
			if dir == "" {
				cfg, err := a.config()
				if err != nil {
					return err
				}
				if dir = consoleDir(cfg); dir == "" {
					return usagef("the console keeps its files in state_dir, which says none; name a directory: " +
						"--dir DIR")
				}
			}
			list, err := console.History(dir)
			if err != nil {
				return problemf("%w", err)
			}
			list = slices.DeleteFunc(list, func(l console.HistoryLine) bool { return kind != "" && l.Kind != kind })
			if n := len(list) - last; last > 0 && n > 0 {
				list = list[n:]
			}
			return a.printConsoleHistory(dir, list)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`DIR` with the console's files (default: that of state_dir)")
	c.Flags().StringVar(&kind, "kind", "", "only `KIND`: processes, terminal (done in the console) or key (sign-ins)")
	c.Flags().IntVarP(&last, "last", "n", 0, "only the last `N` lines")
	c.MarkFlagDirname("dir")
	return c
}

func (a *app) printConsoleHistory(dir string, list []console.HistoryLine) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"dir": dir, "history": list})
	}
	var rows [][]string
	for _, l := range list {
		why := l.Cause
		if l.Reason != "" {
			why = l.Reason
		}
		rows = append(rows, []string{l.At.Local().Format(time.DateTime), l.What, orDash(why), orDash(l.By)})
	}
	a.printTable([]string{"WHEN", "WHAT", "WHY", "BY"}, rows)
	return nil
}
