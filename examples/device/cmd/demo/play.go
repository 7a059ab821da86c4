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
	released, err := perform(ctx, bin, filepath.Join(dir, "released"), out, releases)
	if err != nil {
		return false, err
	}
	fmt.Fprintln(out, "\nThe same at a site without releases: v2 is started, and v1 is stopped, as people do it.")
	restarted, err := perform(ctx, bin, filepath.Join(dir, "restarted"), out, restart)
	if err != nil {
		return false, err
	}
	return summary(out, append(released, restarted...)), nil
}

// perform plays an act at a site of its own, with pump v1 under load.
func perform(ctx context.Context, bin, dir string, out io.Writer, act func(context.Context, *site, *load) ([]line,
	error)) ([]line, error) {
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

// releases releases v2, then v3. v2 is started by hand when the command says so. v3 is started
// before it may begin, as a supervisor does.
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
	told, err := s.says(ctx, "v3", "may not run yet")
	if err != nil {
		return nil, err
	}
	s.say("> pump v3 is started; it says: %s", told)
	second, err := bringOut(ctx, s, l, "v3", []string{"--strategy", "waiting", "--patience", "10s"}, nil)
	return append(first, second...), err
}

// bringOut releases a version of the pump from start to clean.
func bringOut(ctx context.Context, s *site, l *load, version string, how []string, hear func(string) error) ([]line,
	error) {
	time.Sleep(lull)
	l.look()
	var err error
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
	return s.judge(how[1]+", to "+version, l.look())
}

// judge compares the observations of a release with the promises.
func (s *site) judge(title string, saw seen) ([]line, error) {
	screams, err := device.Screams(s.device())
	text := fmt.Sprintf("%d of %d failed, %d met two versions", len(saw.failed), saw.answers+len(saw.failed), saw.mixed)
	if len(saw.failed) > 0 {
		text += "; the first failed by " + saw.failed[0].Error()
	}
	held := fmt.Sprintf("the slowest took %v, a call may take %v", saw.slowest.Round(time.Millisecond), deadline)
	return []line{
		{title + ": no request fails, none meets two versions", text, len(saw.failed) == 0 && saw.mixed == 0},
		{title + ": requests are held for less than their deadline", held, saw.slowest < deadline},
		{title + ": the device has one owner", fmt.Sprintf("it screamed %d times", len(screams)), len(screams) == 0},
	}, err
}

// restart starts v2, repeatedly after it ends, as a supervisor does. It then stops v1.
func restart(ctx context.Context, s *site, l *load) ([]line, error) {
	time.Sleep(lull)
	old := s.running[0]
	for tries := 1; ; tries++ {
		next, err := s.start("v2")
		if err != nil {
			return nil, err
		}
		if tries == 3 {
			old.stop()
		}
		for waited := 0; l.latest() != "v2" && waited < 60 && !next.ended(restartEvery); waited++ {
		}
		if l.latest() == "v2" {
			break
		}
		if tries == 60 || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("v2 has ended %d times", tries), ctx.Err())
		}
	}
	saw := l.look()
	screams, err := device.Screams(s.device())
	for _, words := range screams {
		s.say("  the device screams, %s", words)
	}
	text := fmt.Sprintf("the device screamed %d times, %d of %d requests failed", len(screams), len(saw.failed),
		saw.answers+len(saw.failed))
	return []line{{"plain restart: it goes wrong, and that can be seen", text, len(screams) > 0}}, err
}

// restartEvery is the interval at which a supervisor checks its process.
const restartEvery = time.Second

// summary prints promises and measurements.
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
