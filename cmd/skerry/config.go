package main

import (
	"cmp"
	"errors"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/mask"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/statedir"
)

// foundConfig is read from the current directory only if no other user can have
// written it, because the directory may belong to another user.
const foundConfig = "skerry.yaml"

// maxFile bounds an operator's files, in bytes: configuration, manifest, URL.
const maxFile = 1 << 20

// configPath returns the file that the command line, the directory or the
// environment names; "" when there is none.
func (a *app) configPath() string {
	if a.flags.config != "" {
		return a.flags.config
	}
	if _, err := os.Lstat(foundConfig); err == nil {
		return foundConfig
	}
	return os.Getenv("SKERRY_CONFIG")
}

// readConfig reads a configuration. A file that no option names must be safe from other
// users, because it names servers to connect to and other files to read.
func (a *app) readConfig(path string) (skerry.Config, error) {
	if path != foundConfig || a.flags.config == path {
		return config.Read(path)
	}
	text, err := readFound(path)
	if err != nil {
		return skerry.Config{}, err
	}
	return config.Parse(path, text)
}

// readFound reads a file of the current directory that no option names.
func readFound(path string) ([]byte, error) {
	text, err := statedir.ReadUnasked(path, maxFile)
	if unsafe, ok := errors.AsType[*statedir.UnsafeError](err); ok {
		option := "--config ./" + path
		if path == manifestFile {
			option = "--file ./" + path
		}
		return nil, quote.Errorf("%s was found in the current directory, and another user may have written it: %w\n"+
			"If you mean this file, name it: %s", path, unsafe, option)
	}
	return text, err
}

// databaseURL returns the URL of the command line or the environment, "" without one.
func (a *app) databaseURL() (string, error) {
	given := a.flags.database
	if file, ok := strings.CutPrefix(given, "@"); ok {
		text, err := statedir.ReadNamed(file, maxFile)
		if err != nil {
			return "", usagef("--database: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	if mask.HasSecret(given) && !a.warned {
		a.warned = true
		a.note("--database: every user of this host can see a password in the arguments of a command; " +
			"write --database @FILE, or set SKERRY_DATABASE_URL")
	}
	return cmp.Or(given, os.Getenv("SKERRY_DATABASE_URL")), nil
}

// config reads the configuration and applies the flags over it.
func (a *app) config() (skerry.Config, error) {
	var c skerry.Config
	if path := a.configPath(); path != "" {
		var err error
		if c, err = a.readConfig(path); err != nil {
			return c, usagef("%w", err)
		}
	}
	if a.flags.cluster != "" {
		c.Cluster = a.flags.cluster
	}
	if a.flags.mode != "" {
		c.Mode = config.Mode(a.flags.mode)
	}
	url, err := a.databaseURL()
	if err != nil {
		return c, err
	}
	if url != "" {
		c.Database.URL = url
	}
	if err := c.Validate(); err != nil {
		return c, usagef("%w", err)
	}
	return c, nil
}

// consumer returns the configuration of a node that offers and keeps nothing, so
// that several nodes may run beside the process of the file.
func consumer(c skerry.Config) skerry.Config {
	c.Service, c.Services = config.Service{}, nil
	c.StateDir = "none"
	c.Stats.Interval = -1
	c.Log.Level = "error"
	return c
}

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check and show the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	show := false
	check := &cobra.Command{
		Use:     "check [FILE]",
		Aliases: []string{"validate"},
		Short:   "Report everything that is wrong with a configuration",
		Long: `Reports all mistakes at once, each with file and line: unknown keys, values that
can't be, intervals that contradict each other, variables that are not set, and
files of keys, operators, certificates and routes that can't be read: all that a
process would refuse to start with. Exit code 1 when there is any, 2 when the
file itself can't be read.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.flags.config = args[0] // the arguments name the file
			}
			return a.checkConfig(show)
		},
	}
	check.Flags().BoolVar(&show, "show", false, "also print the effective values")
	c.AddCommand(check, &cobra.Command{
		Use:   "show",
		Short: "Print the effective configuration: defaults, file and flags; secrets masked",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.showConfig(cfg)
		},
	})
	return c
}

func (a *app) checkConfig(show bool) error {
	path := a.configPath()
	if path == "" {
		return usagef("no configuration to check: there is no ./skerry.yaml, and neither --config nor SKERRY_CONFIG " +
			"names one")
	}
	cfg, err := a.readConfig(path)
	err = checkFiles(path, cfg, err)
	wrong, isConfig := errors.AsType[*config.Error](err)
	if err != nil && !isConfig {
		return usagef("%w", err)
	}
	if a.flags.json {
		list := []config.Problem{}
		if isConfig {
			list = wrong.Problems
		}
		if err := a.printJSON(map[string]any{"file": path, "problems": list}); err != nil {
			return err
		}
	} else if isConfig {
		a.printf("%s\n", configError{wrong}.Safe())
	} else {
		a.printf("%s: nothing is wrong with it\n", path)
		if reflect.DeepEqual(cfg, skerry.Config{}) {
			a.note("%s sets nothing: it is a node of the cluster \"default\", and without a site key it is found "+
				"on this host alone; "+
				"name the cluster (cluster: NAME), and make a key: skerry key new", path)
		}
	}
	if isConfig {
		return &exitError{exitProblem, nil}
	}
	if show && !a.flags.json {
		return a.showConfig(cfg)
	}
	return nil
}
