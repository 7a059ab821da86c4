package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/site/artifact"
)

// pinReason is the reason of a pin without one.
const pinReason = "an operator"

func (a *app) artifactPinCommand(f *storeFlags) *cobra.Command {
	return a.pinCommand(f, "pin REF", "Keep an artifact, whatever the collection of garbage would do",
		(*artifact.Store).Pin)
}

func (a *app) artifactUnpinCommand(f *storeFlags) *cobra.Command {
	return a.pinCommand(f, "unpin REF", "Take a reason to keep an artifact back", (*artifact.Store).Unpin)
}

func (a *app) pinCommand(f *storeFlags, use, short string,
	do func(*artifact.Store, context.Context, artifact.Digest, string) error) *cobra.Command {
	reason := pinReason
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			one, err := findOne(s, args[0])
			if err != nil {
				return err
			}
			if err := do(s, cmd.Context(), one.Digest, reason); err != nil {
				return problemf("%w", err)
			}
			if one, err = s.Get(one.Digest); err != nil {
				return problemf("%w", err)
			}
			return a.printArtifact(a.artifactRow(s, f, one))
		},
	}
	c.Flags().StringVar(&reason, "reason", pinReason, "`TEXT` that says for what it is kept")
	return c
}

func (a *app) artifactUnpackCommand(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "unpack REF DIR",
		Short: "Unpack an artifact that a trusted builder has signed to a new directory",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			builders, err := f.trustedBuilders()
			if err != nil {
				return err
			}
			one, err := findOne(s, args[0])
			if err != nil {
				return err
			}
			dir, err := filepath.Abs(args[1])
			if err != nil {
				return problemf("%w", err)
			}
			if err := s.Stage(cmd.Context(), one.Digest, builders, dir); errors.Is(err, fs.ErrExist) {
				return problemf("%s exists; name a new directory", dir)
			} else if err != nil {
				return problemf("%w", err)
			}
			return a.printUnpacked(dir, one)
		},
	}
}

func (a *app) printUnpacked(dir string, one artifact.Artifact) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"dir": dir, "artifact": one.Manifest.Name(), "digest": one.Digest})
	}
	a.printf("%s is in %s, %s with %s\n", one.Manifest.Name(), dir, count(len(one.Manifest.Files), "file", "files"),
		sizeText(one.Manifest.Size()))
	return nil
}

// garbageReport is what artifact gc has removed.
type garbageReport struct {
	Removed []string `json:"removed"`
	Freed   int64    `json:"freed"`
	DryRun  bool     `json:"dry_run"`
}

func (a *app) artifactGCCommand(f *storeFlags) *cobra.Command {
	rule := artifact.Garbage{}
	const week = 7 * 24 * time.Hour
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove artifacts that nothing keeps, and what interrupted commands have left",
		Long: `Kept are artifacts that are pinned (agents pin what runs and what the plan names),
the last good versions of each service and platform, and what is younger than
--age. A version is good when its instance was up for a while. Where fewer are
good, the newest others fill up the number.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rule.Keep < 1 || rule.Age < 0 {
				return usagef("--keep is at least 1, and --age not negative")
			}
			s, err := f.open()
			if err != nil {
				return err
			}
			removed, freed, err := s.GC(cmd.Context(), rule)
			if err != nil {
				return problemf("%w", err)
			}
			r := garbageReport{Removed: []string{}, Freed: freed, DryRun: rule.DryRun}
			for _, one := range removed {
				r.Removed = append(r.Removed, one.Manifest.Name())
			}
			return a.printGarbage(r)
		},
	}
	c.Flags().IntVar(&rule.Keep, "keep", 3, "`NUMBER` of good versions that stay, of each service and platform")
	c.Flags().DurationVar(&rule.Age, "age", week, "what is younger stays")
	c.Flags().BoolVar(&rule.DryRun, "dry-run", false, "remove nothing, and show what would be")
	return c
}

func (a *app) printGarbage(r garbageReport) error {
	if a.flags.json {
		return a.printJSON(r)
	}
	for _, name := range r.Removed {
		if r.DryRun {
			a.printf("%s would be removed\n", name)
		} else {
			a.printf("%s is removed\n", name)
		}
	}
	if r.DryRun {
		a.printf("%s would be freed\n", sizeText(r.Freed))
	} else {
		a.printf("%s freed\n", sizeText(r.Freed))
	}
	return nil
}
