package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skerry/skerry/internal/words"
)

// setHelp has the help of skerry itself in the language of its reader. The commands' own help is English.
func (a *app) setHelp(root *cobra.Command) {
	root.InitDefaultHelpFlag() // else --help takes the next word for its value
	english := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if l, err := languageOf(a.flags.lang, os.Getenv); err == nil && l == words.Chinese && cmd == root {
			a.printHelp(root, l)
			return
		}
		english(cmd, args)
	})
}

// printHelp prints the help of skerry itself.
func (a *app) printHelp(root *cobra.Command, l words.Language) {
	a.printf("%s\n\n%s\n  skerry [flags]\n  skerry [command]\n\n%s\n",
		l.Format(strings.ReplaceAll(root.Long, "\n", " ")), l.Format("Usage:"), l.Format("Commands:"))
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			a.printf("  %-11s %s\n", c.Name(), l.Format(c.Short))
		}
	}
	options := pflag.NewFlagSet("skerry", pflag.ContinueOnError)
	root.Flags().VisitAll(func(f *pflag.Flag) {
		said := *f
		said.Usage = l.Format(f.Usage)
		options.AddFlag(&said)
	})
	a.printf("\n%s\n", l.Format("Flags:"))
	for line := range strings.Lines(options.FlagUsages()) {
		a.printf("%s\n", strings.TrimSuffix(line, "\n"))
	}
	a.printf("\n%s\n",
		l.Format(`Use "skerry [command] --help" for more information about a command. It is in English.`))
}
