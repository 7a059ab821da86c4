package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/skerry/skerry/examples/device"
)

// lull is how long the load goes on between two scenes.
const lull = time.Second

// line is a promise, what was measured, and whether it was kept.
type line struct {
	promise, measured string
	kept              bool
}

func playAll(ctx context.Context, bin, dir string, out io.Writer) (kept bool, err error) {
	var all []line
	for name, act := range map[string]func(context.Context, *site, *load) ([]line, error){"releases": releases} {
		lines, err := perform(ctx, bin, filepath.Join(dir, name), out, act)
		if err != nil {
			return false, err
		}
		all = append(all, lines...)
	}
	fmt.Fprintln(out, "\nThe same at a site that knows no releases: v2 is started, then v1 is stopped, as people do it.")
	lines, err := perform(ctx, bin, filepath.Join(dir, "restart"), out, restart)
	if err != nil {
		return false, err
	}
	return summary(out, append(all, lines...)), nil
}

// perform plays an act at a site of its own, with pump v1 under load.
func perform(ctx context.Context, bin, dir string, out io.Writer, act func(context.Context, *site, *load) ([]line, error)) ([]line, error) {
	s, err := newSite(bin, dir, out)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if _, err := s.start("v1"); err != nil {
		return nil, err
	}
	l, err := newLoad(ctx, s)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return act(ctx, s, l)
}

// releases brings out v2, then v3. v2 is started by hand, when the command
// says so; v3 stands ready before it may begin, as a supervisor does it.
func releases(ctx context.Context, s *site, l *load) ([]line, error) {
	s.say("Pump v1 runs and owns the device; %d callers move it. v2 comes by the strategy blocking.", callers)
	byHand := func(said string) error {
		if strings.HasPrefix(said, "START pump/v2") {
			s.say("> pump v2 is started")
			_, err := s.start("v2")
			return err
		}
		return nil
	}
	first, err := bringOut(ctx, s, l, "v2", []string{"--strategy", "blocking"}, byHand)
	if err != nil {
		return nil, err
	}
	s.say("\nv3 comes by the strategy waiting. It is started too early: it waits for its turn, and is not called.")
	if _, err := s.start("v3"); err != nil {
		return nil, err
	}
	second, err := bringOut(ctx, s, l, "v3", []string{"--strategy", "waiting", "--patience", "10s"}, nil)
	return append(first, second...), err
}

// bringOut releases a version of the pump from start to clean.
func bringOut(ctx context.Context, s *site, l *load, version string, how []string, hear func(string) error) ([]line, error) {
	time.Sleep(lull)
	before := l.look()
	_, err := s.screamed(nil)
	for _, step := range [][]string{
		{"start", "--by", "demo", "--reason", "pump " + version},
		append([]string{"ship", "pump", "--version", version}, how...),
		{"commit"},
		{"clean"},
	} {
		if err == nil {
			err = s.release(ctx, hear, step...)
		}
	}
	if err == nil {
		err = l.meets(ctx, version)
	}
	if err != nil {
		return nil, err
	}
	time.Sleep(lull)
	return s.judge(strings.Join(how[:2], " ")[len("--"):]+" to "+version, before, l.look())
}

// judge holds a release against what is promised.
func (s *site) judge(title string, before, after seen) ([]line, error) {
	screams, err := s.screamed(nil)
	failed := append(before.failed, after.failed...)
	text := fmt.Sprintf("%d of %d requests failed", len(failed), before.answers+after.answers+len(failed))
	if len(failed) > 0 {
		text += "; the first: " + failed[0].Error()
	}
	return []line{
		{title + ", no request fails", text, len(failed) == 0},
		{title + ", no request meets two versions", fmt.Sprintf("%d did", after.mixed), after.mixed == 0},
		{title + ", the device has one owner", fmt.Sprintf("it screamed %d times", screams), screams == 0},
		{title + ", requests are held no longer than their deadline", fmt.Sprintf("the slowest took %v of %v", after.slowest.Round(time.Millisecond), deadline), after.slowest < deadline},
	}, err
}

// screamed counts what the device has screamed; one is given the words.
func (s *site) screamed(one func(string)) (int, error) {
	all, err := device.Screams(s.device())
	for _, words := range all {
		if one != nil {
			one(words)
		}
	}
	return len(all), err
}

// restart starts v2, again whenever it ends, as a supervisor does, and then
// stops v1.
func restart(ctx context.Context, s *site, l *load) ([]line, error) {
	time.Sleep(lull)
	old := s.running[0]
	var tries int
	for begun := time.Now(); ; tries++ {
		next, err := s.start("v2")
		if err != nil {
			return nil, err
		}
		if tries == 2 {
			s.say("> v1 is asked to stop, after %v", time.Since(begun).Round(time.Second))
			old.stop()
		}
		if !next.ended(2 * time.Second) {
			break // it runs
		}
		if tries == 20 || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("v2 has ended %d times", tries), ctx.Err())
		}
	}
	if err := l.meets(ctx, "v2"); err != nil {
		return nil, err
	}
	after := l.look()
	screams, err := s.screamed(func(words string) { s.say("  the device screams: %s", words) })
	return []line{{"plain restart, it goes wrong, visibly", fmt.Sprintf("the device screamed %d times, %d of %d requests failed", screams, len(after.failed), after.answers+len(after.failed)), screams > 0 && len(after.failed) > 0}}, err
}

// summary prints what was promised and what was measured.
func summary(out io.Writer, lines []line) bool {
	fmt.Fprint(out, "\nSummary\n")
	all := true
	for _, l := range lines {
		mark := "kept  "
		if !l.kept {
			mark, all = "BROKEN", false
		}
		fmt.Fprintf(out, "  %s  %s: %s\n", mark, l.promise, l.measured)
	}
	return all
}
