package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/skerry/skerry"
	"github.com/spf13/cobra"
)

// configPath is the file that the command line, the directory or the
// environment names; "" when there is none.
func (a *app) configPath() string {
	if a.flags.config != "" {
		return a.flags.config
	}
	if _, err := os.Stat("skerry.yaml"); err == nil {
		return "skerry.yaml"
	}
	return os.Getenv("SKERRY_CONFIG")
}

// config reads the configuration and lays the flags over it.
func (a *app) config() (skerry.Config, error) {
	var c skerry.Config
	if path := a.configPath(); path != "" {
		var err error
		if c, err = skerry.ReadConfig(path); err != nil {
			return c, usagef("%w", err)
		}
	}
	if a.flags.cluster != "" {
		c.Cluster = a.flags.cluster
	}
	if a.flags.mode != "" {
		c.Mode = skerry.Mode(a.flags.mode)
	}
	if a.flags.database != "" {
		c.Database.URL = a.flags.database
	}
	if err := c.Validate(); err != nil {
		return c, usagef("%w", err)
	}
	return c, nil
}

// consumer is the configuration of a node that offers nothing and keeps
// nothing: several may run beside the process that the file is for.
func consumer(c skerry.Config) skerry.Config {
	c.Service, c.Services = skerry.Service{}, nil
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
		Use:   "check [FILE]",
		Short: "Report everything that is wrong with a configuration",
		Long: `Reports all mistakes at once, each with file and line: unknown keys, values that
can't be, intervals that contradict each other, variables that are not set.
Exit code 1 when there is any.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.checkConfig(first(args), show) },
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

func (a *app) checkConfig(path string, show bool) error {
	if path == "" {
		path = a.configPath()
	}
	if path == "" {
		return usagef("no configuration to check: there is no ./skerry.yaml, and neither --config nor SKERRY_CONFIG names one")
	}
	cfg, err := skerry.ReadConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("%w", err)
	}
	wrong, isConfig := errors.AsType[*skerry.ConfigError](err)
	if err != nil && !isConfig {
		return err
	}
	if a.flags.json {
		list := []skerry.Problem{}
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
	}
	if isConfig {
		return &exitError{exitProblem, nil}
	}
	if show && !a.flags.json {
		return a.showConfig(cfg)
	}
	return nil
}
