package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
)

func (a *app) releaseAcknowledgeCommand(f *releaseFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "acknowledge",
		Short: "Say that the envelope's key was used by an operator",
		Long: `release status and doctor show every step that the key of the envelope has
signed, until another operator acknowledges it. acknowledge adds an empty step
under your key that names them; it changes no rule.

Afterwards take the line of the envelope's key out of the file of operators, on
every host, and make another one: skerry operator envelope.`,
		Args: cobra.NoArgs,
		RunE: a.inRelease(f, func(ctx context.Context, to releases.Operations, _ []string) error {
			if f.envelope {
				return usagef("what the envelope's key has signed is acknowledged by another key: leave --envelope out")
			}
			s, err := to.State(ctx)
			if err == nil {
				err = s.Whole()
			}
			if err != nil {
				return err
			}
			uses := s.Envelope()
			if len(uses) == 0 {
				return problemf("the key of the envelope has signed nothing that is not acknowledged")
			}
			plan, seen := []string{}, []rollout.Position{}
			for _, u := range uses {
				plan = append(plan, fmt.Sprintf("acknowledge generation %v, %q by %s", u.Generation, u.Step, u.By))
				seen = append(seen, u.Position)
			}
			if err := a.confirm(f, append(plan, "add an empty step under your key")...); err != nil {
				return err
			}
			if err := to.Acknowledge(ctx, seen...); err != nil {
				return err
			}
			if s, err = to.State(ctx); err != nil {
				return err
			}
			if len(s.Envelope()) > 0 {
				return problemf("the step was signed by the envelope's key itself, and acknowledges nothing\n" +
					"Next: the same command with your own --key")
			}
			r, _ := s.Newest()
			return a.stepped(r, "Acknowledged. Next: take the line "+operatorkey.Breakglass+" out of the file of "+
				"operators on every host, and make another: skerry operator envelope")
		}),
	}
}
