package main

import (
	"time"

	"github.com/spf13/cobra"
)

// flags holds the global flags.
type flags struct {
	config   string
	cluster  string
	mode     string
	database string // a URL, or @ and the file that holds the URL
	timeout  time.Duration
	json     bool
	lang     string // en or zh; "": by the environment
}

// spell makes the help show the default of a duration in short form: 2m, not 2m0s.
func spell(c *cobra.Command, flag string, d time.Duration) {
	c.Flags().Lookup(flag).DefValue = durationText(d)
}

func (f *flags) register(root *cobra.Command) {
	set := root.PersistentFlags()
	set.StringVarP(&f.config, "config", "c", "",
		"configuration `FILE` (default ./skerry.yaml when it is safe, then $SKERRY_CONFIG)")
	set.StringVar(&f.cluster, "cluster", "", "`NAME` of the cluster, in place of the configured one")
	set.StringVar(&f.mode, "mode", "",
		"`MODE` of discovery, in place of the configured one: auto, database or broadcast")
	set.StringVar(&f.database, "database", "",
		"`URL` of the database, or @FILE that holds it (default $SKERRY_DATABASE_URL)")
	set.DurationVar(&f.timeout, "timeout", 3*time.Second, "how long to wait for the registry or the service")
	set.BoolVar(&f.json, "json", false, "print JSON")
	set.StringVar(&f.lang, "lang", "",
		"`LANGUAGE` of policy, doctor and this help: en or zh (default $SKERRY_LANG, then that of the locale)")
	root.RegisterFlagCompletionFunc("mode",
		cobra.FixedCompletions([]string{"auto", "database", "broadcast"}, cobra.ShellCompDirectiveNoFileComp))
	root.RegisterFlagCompletionFunc("lang",
		cobra.FixedCompletions([]string{"en", "zh"}, cobra.ShellCompDirectiveNoFileComp))
	root.MarkPersistentFlagFilename("config", "yaml", "yml")
}
