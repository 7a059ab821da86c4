package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/releases"
)

func (a *app) releaseStatusCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the release, the environments, the versions with their shares, and every process",
		Args:  cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			st, err := releases.Look(ctx, to)
			if err != nil {
				return err
			}
			if err := a.printStatus(st, time.Now()); err != nil || st.Frozen == "" {
				return err
			}
			return &exitError{exitUnreachable, nil} // the table says FROZEN
		}),
	}
}
