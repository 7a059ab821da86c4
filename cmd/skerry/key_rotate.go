package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/spf13/cobra"
)

// keyMembers is the site as a rotation sees it.
type keyMembers interface {
	// Rings says for each process of the site by which keys it verifies; the
	// first one signs.
	Rings(ctx context.Context) ([]memberRing, error)
}

// memberRing is the ring of one process.
type memberRing struct {
	Process      string // for a person: HOST/PID and what it offers
	Fingerprints []string
}

// leaving is the note of the key that a rotation takes out at its end, so that
// the next command knows how far it has come.
const leaving = "leaving"

// rotationStep is what comes next, and what must hold before.
type rotationStep struct {
	deed    string
	verify  sitekey.Key // every process verifies by it
	signs   bool        // and every process signs with it, too
	lines   []sitekey.Line
	endsHow string
}

// nextRotation tells from the file alone how far a rotation is: one key, a new
// one behind it, the new one in front of the leaving one.
func nextRotation(now []sitekey.Line, newKey func() sitekey.Key) (rotationStep, error) {
	switch at := slices.IndexFunc(now, func(l sitekey.Line) bool { return l.Note == leaving }); {
	case len(now) == 0:
		return rotationStep{}, errors.New("there is no key to change")
	case at == 0:
		return rotationStep{}, errors.New("the first key, which signs, is marked as leaving; put the other one first")
	case at > 0:
		return rotationStep{
			deed: "take the old key " + now[at].Key.Fingerprint() + " out", verify: now[0].Key, signs: true,
			lines: slices.Delete(slices.Clone(now), at, at+1), endsHow: "the rotation is over when every host has " +
				"this file",
		}, nil
	case len(now) == 1:
		fresh := sitekey.Line{Key: newKey()}
		return rotationStep{
			deed: "add a new key, " + fresh.Key.Fingerprint() + ", behind the one that signs", lines: append(slices.Clone(now), fresh),
			endsHow: "when every host has this file, run skerry key rotate again",
		}, nil
	case len(now) == 2:
		old := now[0]
		old.Note = leaving
		return rotationStep{
			deed: "sign with the new key " + now[1].Key.Fingerprint(), verify: now[1].Key, lines: []sitekey.Line{now[1], old},
			endsHow: "when every host has this file, run skerry key rotate again",
		}, nil
	}
	return rotationStep{}, fmt.Errorf("the file holds %d keys; a rotation knows of two: take those out that no host "+
		"signs with", len(now))
}

// lacks names the processes for which the step comes too early.
func (s rotationStep) lacks(rings []memberRing) (names []string) {
	if s.verify.IsZero() {
		return nil
	}
	want := s.verify.Fingerprint()
	for _, r := range rings {
		has := slices.Contains(r.Fingerprints, want)
		if !has || s.signs && r.Fingerprints[0] != want {
			names = append(names, r.Process)
		}
	}
	return names
}

// waitForMembers returns when every process is ready for the step. It tells
// which ones are not each time that the list changes.
func waitForMembers(ctx context.Context, m keyMembers, s rotationStep, tell func(names []string)) error {
	var told []string
	for {
		rings, err := m.Rings(ctx)
		if err != nil {
			return err
		}
		names := s.lacks(rings)
		if len(names) == 0 {
			return nil
		}
		if !slices.Equal(names, told) {
			tell(names)
			told = names
		}
		if err := run.Sleep(ctx, rotationPeriod); err != nil {
			return fmt.Errorf("nothing was changed: %s still lack the key "+
				"%s", strings.Join(names, ", "), s.verify.Fingerprint())
		}
	}
}

// rotationPeriod is the time between two looks at the members; a process looks
// at its files as often.
const rotationPeriod = keyfile.Period

func (a *app) keyRotateCommand() *cobra.Command {
	f := &releaseFlags{}
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Change the site's key, a step with each call",
		Long: `Goes three steps: a new key behind the one that signs; the new one in front;
the old one out. Each call takes the next step in the key file of this host, and
says how the others get it. Before a step that needs it, every process of the
site must have the file of the step before.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyRotate(cmd.Context(), f) },
	}
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask; every host has the file of the step before")
	return c
}

func (a *app) keyRotate(ctx context.Context, f *releaseFlags) error {
	k, err := a.keys()
	if err != nil {
		return err
	}
	if len(k.found) == 0 {
		return k.none()
	}
	if !k.inConfig.IsZero() {
		return problemf("lan.key holds the key; store it in a file: skerry key show | skerry key set, and take " +
			"lan.key out of the configuration")
	}
	path := k.found[0].Path
	var now []sitekey.Line
	for _, l := range k.found {
		if l.Path != path {
			return problemf("the keys lie in %s and %s; put them into one file, which a rotation can change at "+
				"once", path, l.Path)
		}
		now = append(now, l.Line)
	}
	step, err := nextRotation(now, sitekey.New)
	if err != nil {
		return problemf("%s: %w", path, err)
	}
	if err := a.readyToRotate(ctx, f, path, step); err != nil {
		return err
	}
	if err := keyfile.ReplaceKeys(path, step.lines); err != nil {
		return problemf("%w", err)
	}
	var list []sitekey.Key
	for _, l := range step.lines {
		list = append(list, l.Key)
	}
	if err := a.keyWritten(k, path, list, "changed"); err != nil {
		return err
	}
	a.note("\nNext: %s.", step.endsHow)
	return nil
}

// readyToRotate asks the members, where the command can reach them, else the
// operator.
func (a *app) readyToRotate(ctx context.Context, f *releaseFlags, path string, step rotationStep) error {
	plan := []string{step.deed + ", in " + path}
	if a.openMembers != nil && !step.verify.IsZero() {
		members, done, err := a.openMembers(ctx)
		if err != nil {
			return err
		}
		defer done()
		err = waitForMembers(ctx, members, step, func(names []string) {
			a.note("waiting for %s to have the key %s", strings.Join(names, ", "), step.verify.Fingerprint())
		})
		if err != nil {
			return problemf("%w", err)
		}
	} else if !step.verify.IsZero() {
		what := "verifies by"
		if step.signs {
			what = "signs with"
		}
		plan = append(plan, fmt.Sprintf("cut off every host that does not have the file of the step before: each "+
			"one %s the key %s now (skerry key ls there)", what, step.verify.Fingerprint()))
	}
	return a.confirm(f, plan...)
}
