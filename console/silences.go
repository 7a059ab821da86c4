package console

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// silence is a finding that an operator does not want to see among the others for a while.
type silence struct {
	ID     string              `json:"id"`    // finding.ID
	Kind   string              `json:"kind"`  // finding.Kind
	About  []string            `json:"about"` // finding.About: what was found when it was silenced
	What   map[language]string `json:"what"`
	By     string              `json:"by"`
	Reason string              `json:"reason"`
	At     time.Time           `json:"at"`
	Until  time.Time           `json:"until"`
}

const (
	silencesFile = "console-silences.json"
	silenceTime  = time.Hour
	mostSilences = 100
)

// ID names a finding: what it is, and what it is about.
func (f finding) ID() string {
	h := sha256.New()
	for _, part := range append([]string{f.Kind}, f.About...) {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// covers reports whether a finding is silenced. It must be about nothing that was not found when the silence began.
func (s *silence) covers(f finding) bool {
	return f.Kind == s.Kind && len(without(f.About, s.About)) == 0
}

// silenced is a silence as a page shows it.
type silenced struct {
	silence
	Now *finding `json:"-"` // nil: it is not found any more
}

// silences are those of a console.
type silences struct {
	now func() time.Time

	mu   sync.Mutex
	dir  string // "": memory only
	list []silence
}

// split parts findings into those that are shown and the silences, in the order of their ends.
func (s *silences) split(findings []finding) (shown []finding, quiet []silenced) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	for _, one := range s.list {
		quiet = append(quiet, silenced{silence: one})
	}
	for _, f := range findings {
		i := slices.IndexFunc(quiet, func(q silenced) bool { return q.covers(f) })
		if i < 0 {
			shown = append(shown, f)
			continue
		}
		quiet[i].Now = &f
	}
	return shown, quiet
}

// expire takes out what has ended. mu is held.
func (s *silences) expire() {
	now := s.now()
	s.list = slices.DeleteFunc(s.list, func(one silence) bool {
		return !now.Before(one.Until) || one.At.Sub(now) > silenceTime // the clock was set back by more
	})
}

// change changes the list. The new list is on disk before it counts.
func (s *silences) change(do func([]silence) ([]silence, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	list, err := do(slices.Clone(s.list))
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b silence) int { return cmp.Compare(a.Until.UnixNano(), b.Until.UnixNano()) })
	if s.dir != "" {
		text, err := json.Marshal(list)
		if err == nil {
			err = statedir.WriteFile(filepath.Join(s.dir, silencesFile), text)
		}
		if err != nil {
			return err
		}
	}
	s.list = list
	return nil
}

// load takes those of the last run.
func (s *silences) load(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dir = dir
	path := filepath.Join(dir, silencesFile)
	if err := private(path); err != nil {
		return err
	}
	text, err := statedir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var list []silence
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.list = list[:min(len(list), mostSilences)]
	return nil
}

// silenceFinding is the action of that name.
func (c *handler) silenceFinding(ctx context.Context, by actor, form url.Values) (outcome, error) {
	s := c.snapshot(ctx)
	i := slices.IndexFunc(s.Findings, func(f finding) bool { return f.ID() == form.Get("finding") })
	if i < 0 {
		return outcome{}, refuse("silence.changed")
	}
	f, now := s.Findings[i], c.silences.now()
	one := silence{ID: f.ID(), Kind: f.Kind, About: f.About, What: map[language]string{}, By: by.Name,
		Reason: form.Get("reason"), At: now, Until: now.Add(silenceTime)}
	for _, l := range languages {
		one.What[l] = f.What.In(l)
	}
	err := c.silences.change(func(list []silence) ([]silence, error) {
		list = slices.DeleteFunc(list, func(old silence) bool { return old.ID == one.ID })
		if len(list) >= mostSilences {
			return nil, refuse("silence.many", "n", mostSilences)
		}
		return append(list, one), nil
	})
	until := one.Until.Local().Format("15:04")
	return outcome{Said: say("silence.done", "finding", f.What, "until", until), Before: one.What[english],
		After: "silenced until " + one.Until.UTC().Format(time.RFC3339)}, err
}

// endSilence is the action of showing a finding again.
func (c *handler) endSilence(_ context.Context, _ actor, form url.Values) (outcome, error) {
	var ended silence
	err := c.silences.change(func(list []silence) ([]silence, error) {
		i := slices.IndexFunc(list, func(one silence) bool { return one.ID == form.Get("finding") })
		if i < 0 {
			return nil, refuse("silence.gone")
		}
		ended = list[i]
		return slices.Delete(list, i, i+1), nil
	})
	if err != nil {
		return outcome{}, err
	}
	return outcome{Said: say("silence.ended"), Before: ended.What[english], After: "shown again"}, nil
}
