package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

const (
	maxPins    = 256
	maxPinText = 200 // bytes
)

// Pin keeps an artifact from the collection of garbage for a reason, such as "plan 17" or "runs: auth/v15#1". An
// artifact may have several reasons; a reason that it has already changes nothing.
func (s *Store) Pin(ctx context.Context, d Digest, reason string) error {
	if reason == "" || len(reason) > maxPinText {
		return fmt.Errorf("the reason to keep it has 1 to %d bytes", maxPinText)
	}
	return s.editPins(ctx, d, func(pins []string) ([]string, error) {
		if slices.Contains(pins, reason) {
			return pins, nil
		}
		if len(pins) >= maxPins {
			return nil, fmt.Errorf("it has %d pins, the most that one may have", maxPins)
		}
		return append(pins, reason), nil
	})
}

// Unpin takes one reason back. A reason that the artifact does not have changes nothing.
func (s *Store) Unpin(ctx context.Context, d Digest, reason string) error {
	return s.editPins(ctx, d, func(pins []string) ([]string, error) {
		return slices.DeleteFunc(pins, func(p string) bool { return p == reason }), nil
	})
}

func (s *Store) editPins(ctx context.Context, d Digest, edit func([]string) ([]string, error)) error {
	return s.annotate(ctx, d, func(notes map[string]string) error {
		var pins []string
		if text := notes[pinsNote]; text != "" {
			if err := json.Unmarshal([]byte(text), &pins); err != nil {
				return fmt.Errorf("the pins of %s can't be read: %w", d.Short(), err)
			}
		}
		pins, err := edit(pins)
		if err != nil {
			return err
		}
		slices.Sort(pins)
		text, err := json.Marshal(pins)
		if notes[pinsNote] = string(text); len(pins) == 0 {
			delete(notes, pinsNote)
		}
		return err
	})
}

// MarkGood notes that an artifact has proved good: its instance was up for a while. The last good versions of each
// service stay.
func (s *Store) MarkGood(ctx context.Context, d Digest) error {
	return s.change(ctx, func(x *ociIndex) error {
		last := 0
		for _, e := range x.Manifests {
			n, _ := strconv.Atoi(e.Annotations[goodNote])
			last = max(last, n)
		}
		return x.annotate(d, func(notes map[string]string) error {
			if notes[goodNote] != strconv.Itoa(last) || last == 0 {
				notes[goodNote] = strconv.Itoa(last + 1)
			}
			return nil
		})
	})
}

// annotate edits the annotations of an artifact.
func (s *Store) annotate(ctx context.Context, d Digest, edit func(map[string]string) error) error {
	return s.change(ctx, func(x *ociIndex) error { return x.annotate(d, edit) })
}

func (x *ociIndex) annotate(d Digest, edit func(map[string]string) error) error {
	i := x.find(d)
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, d)
	}
	if x.Manifests[i].Annotations == nil {
		x.Manifests[i].Annotations = map[string]string{}
	}
	return edit(x.Manifests[i].Annotations)
}

// Garbage says what the collection of garbage keeps, besides pinned artifacts.
type Garbage struct {
	Keep   int           // how many of the last good versions stay for each service and platform, else of the newest
	Age    time.Duration // how long an artifact stays at least after it was added
	DryRun bool          // removes nothing
}

// GC removes artifacts that nothing keeps, and blobs that belong to none. It returns the removed artifacts and the
// freed bytes. An artifact that can't be read is kept, with all that it names, and the error says so.
func (s *Store) GC(ctx context.Context, rule Garbage) (removed []Artifact, freed int64, err error) {
	if rule.Keep < 1 {
		return nil, 0, errors.New("at least one good version of each service is kept")
	}
	err = s.locked(ctx, func() error {
		x, err := s.readIndex()
		if err != nil {
			return err
		}
		var all []Artifact
		for _, e := range x.Manifests {
			if e.ArtifactType != artifactType {
				continue
			}
			a, err := s.read(e)
			if err != nil {
				return fmt.Errorf("nothing is removed, as it is not known what belongs to %s: %w", e.Digest, err)
			}
			all = append(all, a)
		}
		removed = s.garbage(all, rule)
		gone := map[Digest]bool{}
		for _, a := range removed {
			gone[a.Digest] = true
		}
		x.Manifests = slices.DeleteFunc(x.Manifests, func(e descriptor) bool {
			return gone[e.Digest] || e.ArtifactType == signatureType && gone[Digest(e.Annotations[subjectNote])]
		})
		used, err := s.reachable(x)
		if err != nil {
			return err
		}
		if !rule.DryRun {
			if err := s.writeIndex(x); err != nil {
				return err
			}
		}
		freed, err = s.sweep(ctx, used, rule)
		return err
	})
	return removed, freed, err
}

// garbage are the artifacts that no rule keeps.
func (s *Store) garbage(all []Artifact, rule Garbage) (gone []Artifact) {
	kept := map[Digest]bool{}
	lines := map[string][]Artifact{}
	for _, a := range all {
		if len(a.Pins) > 0 || s.now().Sub(a.Added) < rule.Age {
			kept[a.Digest] = true
		}
		line := a.Manifest.Service + " " + a.Manifest.Platform
		lines[line] = append(lines[line], a)
	}
	for _, line := range lines {
		slices.Reverse(line)
		slices.SortStableFunc(line, func(a, b Artifact) int { return b.Good - a.Good }) // good ones, then the newest
		for _, a := range line[:min(rule.Keep, len(line))] {
			kept[a.Digest] = true
		}
	}
	for _, a := range all {
		if !kept[a.Digest] {
			gone = append(gone, a)
		}
	}
	return gone
}

// reachable are the blobs that the entries of an index name, those of other tools included.
func (s *Store) reachable(x ociIndex) (map[string]bool, error) {
	used := map[string]bool{}
	todo := slices.Clone(x.Manifests)
	for len(todo) > 0 {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if used[d.Digest.Hex()] {
			continue
		}
		used[d.Digest.Hex()] = true
		if !strings.HasSuffix(d.MediaType, "+json") || !strings.Contains(d.MediaType, ".manifest.") &&
			!strings.Contains(d.MediaType, ".index.") && !strings.Contains(d.MediaType, ".manifest.list.") ||
			d.MediaType == configType {
			continue
		}
		text, err := s.readBlob(d, maxOCI)
		if err != nil {
			return nil, fmt.Errorf("nothing is removed, as it is not known what belongs to %s: %w", d.Digest, err)
		}
		var m struct {
			Config    *descriptor  `json:"config"`
			Layers    []descriptor `json:"layers"`
			Manifests []descriptor `json:"manifests"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return nil, fmt.Errorf("nothing is removed, as %s can't be read: %w", d.Digest, err)
		}
		if m.Config != nil {
			todo = append(todo, *m.Config)
		}
		todo = append(append(todo, m.Layers...), m.Manifests...)
	}
	return used, nil
}

// sweep removes blobs that are not used, and what ended additions have left in ingest.
func (s *Store) sweep(ctx context.Context, used map[string]bool, rule Garbage) (freed int64, err error) {
	dir := s.path("blobs", "sha256")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return freed, context.Cause(ctx)
		}
		if used[e.Name()] {
			continue
		}
		info, err := e.Info()
		if err == nil && !rule.DryRun {
			err = os.Remove(s.path("blobs", "sha256", e.Name()))
		}
		if err != nil {
			return freed, err
		}
		freed += info.Size()
	}
	left, err := s.sweepIngest(rule)
	if err != nil {
		return freed + left, err
	}
	others, err := s.sweepBundles(rule)
	return freed + left + others, err
}

// sweepBundles removes the other files of bundles, but for the newest bundle and those that are young.
func (s *Store) sweepBundles(rule Garbage) (freed int64, err error) {
	entries, err := os.ReadDir(s.path(ownDir, "bundles"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var dirs []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() {
			dirs = append(dirs, info)
		}
	}
	slices.SortFunc(dirs, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for i, info := range dirs {
		if i == 0 || s.now().Sub(info.ModTime()) < rule.Age {
			continue
		}
		dir := s.path(ownDir, "bundles", info.Name())
		lock, err := statedir.Lock(strings.TrimSuffix(dir, partSuffix) + lockSuffix)
		if err != nil {
			continue // it is being imported
		}
		freed += sizeOf(dir)
		if !rule.DryRun {
			err = os.RemoveAll(dir)
		}
		os.Remove(lock.Name())
		if err = errors.Join(err, lock.Close()); err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// sizeOf is the number of bytes of the files below a directory.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // what can't be read is not counted
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// sweepIngest removes unfinished blobs that no process writes, and finished ones that were not committed for a while.
func (s *Store) sweepIngest(rule Garbage) (freed int64, err error) {
	entries, err := os.ReadDir(s.path(ownDir, "ingest"))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it was committed meanwhile
		}
		if !strings.HasSuffix(e.Name(), partSuffix) && s.now().Sub(info.ModTime()) < rule.Age {
			continue
		}
		if !rule.DryRun && !removeUnlocked(s.ingestPath(e.Name())) {
			continue
		}
		freed += info.Size()
	}
	return freed, nil
}

// removeUnlocked removes a file, unless a process holds its lock. On Windows, where an open file can't be removed, the
// lock ends a moment before.
func removeUnlocked(path string) bool {
	lock, err := statedir.Lock(path)
	if err != nil {
		return false
	}
	if runtime.GOOS == "windows" {
		lock.Close()
	}
	err = os.Remove(path)
	lock.Close()
	return err == nil
}
