package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// keyMembers gives a rotation access to the site.
type keyMembers interface {
	// Rings returns, for each process of the site, the keys by which it verifies.
	// The process signs with the first one.
	Rings(ctx context.Context) ([]memberRing, error)
	// Renew signs the end of the release log with the key that signs now, so that
	// the old key may go. It acts only where the site's key signs the log.
	Renew(ctx context.Context) error
}

// liveMembers implements keyMembers for the processes of the configured site.
type liveMembers struct {
	n         *skerry.Node
	operators bool // the operators sign the release log in place of the site's key
}

// openSiteMembers reaches the members as a guest of the site.
func (a *app) openSiteMembers(ctx context.Context) (keyMembers, func(), error) {
	n, c, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return nil, nil, err
	}
	a.look(ctx, n, "")
	return &liveMembers{n, c.Site.Operators != ""}, func() { n.Close() }, nil
}

// Rings implements keyMembers. A process that does not answer has no keys.
func (m *liveMembers) Rings(ctx context.Context) ([]memberRing, error) {
	list, silent, err := control.Keyrings(ctx, m.n)
	if err != nil {
		return nil, err
	}
	var out []memberRing
	for _, k := range list {
		out = append(out, memberRing{k.Process, k.Keys})
	}
	for _, process := range silent {
		out = append(out, memberRing{Process: process + " (which does not answer)"})
	}
	return out, nil
}

// Renew implements keyMembers. It does nothing where neither a process nor a database
// keeps a log.
func (m *liveMembers) Renew(ctx context.Context) error {
	if m.operators {
		return nil
	}
	err := control.Releases(m.n, control.Operator{Name: "key rotate"}).Countersign(ctx)
	if list, _, _ := control.Keyrings(ctx, m.n); len(list) == 0 && errors.Is(err, operator.ErrFrozen) {
		return nil
	}
	return err
}

// memberRing holds the fingerprints of one process's keys.
type memberRing struct {
	Process      string // HOST/PID and its services, as printed
	Fingerprints []string
}

// leaving is the note of the key that a rotation removes at its end. It tells the next
// command how far the rotation is.
const leaving = "leaving"

// rotationStep is the next step, with its precondition.
type rotationStep struct {
	deed    string
	verify  sitekey.Key // every process verifies by it
	signs   bool        // and every process signs with it
	lines   []sitekey.Line
	endsHow string
}

// nextRotation derives the state of a rotation from the file alone. The states are one
// key, a new key behind it, and the new key in front of the leaving one.
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
			deed:    "add a new key, " + fresh.Key.Fingerprint() + ", behind the one that signs",
			lines:   append(slices.Clone(now), fresh),
			endsHow: "when every host has this file, run skerry key rotate again",
		}, nil
	case len(now) == 2:
		old := now[0]
		old.Note = leaving
		return rotationStep{
			deed:    "sign with the new key " + now[1].Key.Fingerprint(),
			verify:  now[1].Key,
			lines:   []sitekey.Line{now[1], old},
			endsHow: "when every host has this file, run skerry key rotate again",
		}, nil
	}
	return rotationStep{}, fmt.Errorf("the file holds %d keys; a rotation knows of two: take those out that no host "+
		"signs with", len(now))
}

// lacks returns the processes that are not ready for the step.
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

// waitForMembers returns when every process is ready for the step. It calls tell with
// the processes that are not ready each time that their list changes.
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
			return fmt.Errorf("nothing was changed: %s still lack the key %s",
				strings.Join(names, ", "), s.verify.Fingerprint())
		}
	}
}

// rotationPeriod is the time between two checks of the members, the same as between a
// process's checks of its files.
const rotationPeriod = keyfile.Period

func (a *app) keyRotateCommand() *cobra.Command {
	f, keep := &releaseFlags{}, ""
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Change the site's key, a step with each call",
		Long: `Goes three steps: a new key behind the one that signs; the new one in front;
the old one out. Each call takes the next step in the key file of this host, and
says how the others get it. Before a step that needs it, every process of the
site must have the file of the step before.

Where the database holds the key, one call goes all three steps, and waits
between them until every process of the site has followed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyRotate(cmd.Context(), f, keep) },
	}
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask; every host has the file of the step before")
	c.Flags().StringVar(&keep, "keep", "",
		"`FINGERPRINT` of the key in the database that stays, to go on with a rotation that was cut off")
	return c
}

func (a *app) keyRotate(ctx context.Context, f *releaseFlags, keep string) error {
	k, err := a.keys()
	if err != nil {
		return err
	}
	if len(k.found) == 0 {
		if c, err := a.config(); err == nil && c.Database.URL != "" {
			return a.keyRotateDatabase(ctx, f, c, keep)
		}
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
			return problemf("the keys lie in %s and %s; put them into one file, which a rotation can change at once",
				path, l.Path)
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

// readyToRotate asks the members where the command can reach them, else the operator.
func (a *app) readyToRotate(ctx context.Context, f *releaseFlags, path string, step rotationStep) error {
	plan := []string{step.deed + ", in " + path}
	if step.verify.IsZero() {
		return a.confirm(f, plan...)
	}
	if a.openMembers != nil {
		members, done, err := a.openMembers(ctx)
		if err != nil {
			return err
		}
		defer done()
		err = waitForMembers(ctx, members, step, func(names []string) {
			a.note("waiting for %s to have the key %s", strings.Join(names, ", "), step.verify.Fingerprint())
		})
		if err == nil && step.signs {
			err = members.Renew(ctx)
		}
		if err != nil {
			return problemf("%w", err)
		}
	}
	what := "verifies by"
	if step.signs {
		what = "signs with"
	}
	plan = append(plan, fmt.Sprintf("cut off every host that does not have the file of the step before: each "+
		"one %s the key %s now (skerry key ls there)", what, step.verify.Fingerprint()))
	return a.confirm(f, plan...)
}

// keyRotateDatabase changes the key that the database holds.
func (a *app) keyRotateDatabase(ctx context.Context, f *releaseFlags, c skerry.Config, keep string) error {
	db, err := postgres.New(postgres.Config{
		URL: c.Database.URL, Cluster: c.WithDefaults().Cluster, Owner: registry.NewOwner(),
	})
	if err != nil {
		return usagef("%w", err)
	}
	ring, err := db.Keys(ctx)
	if err != nil {
		return unreachablef("read the site's key in the database: %w", err)
	}
	old, fresh, err := rotationInDatabase(ring, keep)
	if err != nil {
		return problemf("%w", err)
	}
	plan := []string{"put the new key " + fresh.Fingerprint() + " into the database behind " + old.Fingerprint() +
		", and wait until every process verifies by it",
		"let it sign, and wait until every process does so", "take " + old.Fingerprint() + " out"}
	if err := a.confirm(f, plan...); err != nil {
		return err
	}
	members, done, err := a.openMembers(ctx)
	if err != nil {
		return err
	}
	defer done()
	a.note("the new key is %s", fresh.Fingerprint())
	both := []string{old.Text(), fresh.Text()}
	if len(ring) == 1 {
		if err := db.SetKeys(ctx, ring, both); err != nil {
			return problemf("%w", err)
		}
		ring = both
	}
	step := rotationStep{verify: fresh}
	for _, next := range [][]string{{fresh.Text(), old.Text()}, {fresh.Text()}} {
		err := waitForMembers(ctx, members, step, func(names []string) {
			a.note("waiting for %s to follow", strings.Join(names, ", "))
		})
		if err == nil && step.signs {
			err = members.Renew(ctx)
		}
		if err == nil {
			err = db.SetKeys(ctx, ring, next)
		}
		if err != nil {
			return problemf("%w\nNext: skerry key rotate --keep %s", err, fresh.Fingerprint())
		}
		ring, step.signs = next, true
	}
	a.printf("The site's key is %s.\n", fresh.Fingerprint())
	return nil
}

// rotationInDatabase returns the old key and the new one. Two keys in the database
// belong to an interrupted rotation. The table does not tell its state, so keep names
// the key that stays.
func rotationInDatabase(ring []string, keep string) (old, fresh sitekey.Key, err error) {
	var keys []sitekey.Key
	for _, text := range ring {
		k, err := sitekey.Parse(text)
		if err != nil {
			return old, fresh, fmt.Errorf("a key of the database is none: %w", err)
		}
		keys = append(keys, k)
	}
	switch {
	case len(keys) == 1 && keep == "":
		return keys[0], sitekey.New(), nil
	case len(keys) == 2 && keys[0].Fingerprint() == keep:
		return keys[1], keys[0], nil
	case len(keys) == 2 && keys[1].Fingerprint() == keep:
		return keys[0], keys[1], nil
	case len(keys) == 2:
		return old, fresh, fmt.Errorf("the database holds the keys %s and %s: a rotation was cut off; go on with it "+
			"by --keep, the fingerprint of the key that stays",
			keys[0].Fingerprint(), keys[1].Fingerprint())
	}
	return old, fresh, fmt.Errorf("the database holds %d keys; a rotation begins with one", len(keys))
}
