package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

var (
	// ErrNotFound: the store has no such artifact.
	ErrNotFound = errors.New("the store has no such artifact")
	// ErrConflict: the store has another artifact of the same service, version and platform.
	ErrConflict = errors.New("the version exists with other content")
	// ErrFull: the disk has no room, or less than [Options.Floor] would stay free. The store is as before.
	ErrFull = errors.New("the disk has too little room")
	// ErrUntrusted: no trusted key has signed.
	ErrUntrusted = errors.New("no trusted signature")
	// ErrDamaged: a blob is missing or has other content than its name says.
	ErrDamaged = errors.New("the store is damaged")
)

// Options are the settings of a store.
type Options struct {
	Floor   int64  // bytes that stay free on the disk; nothing is added below it
	Cluster string // bundles for another cluster are refused; "" takes all
}

// Store holds artifacts in a directory in OCI image layout. Its methods may be called from any goroutine, and by
// several processes at a time.
type Store struct {
	dir     string
	options Options
	now     func() time.Time
}

// Artifact is an artifact of a store.
type Artifact struct {
	Digest   Digest
	Manifest Manifest
	Pins     []string // reasons to keep it, sorted
	Good     int      // grows each time when a version has proved good; 0: it never has
	Added    time.Time
	Signer   string // of an artifact in a bundle: the trusted builder

	entry descriptor
	outer ociManifest
}

const ownDir = "skerry" // below the store: what is not in the OCI layout

// Open opens a store, and makes it if the directory is missing or empty.
func Open(dir string, o Options) (*Store, error) {
	if dir == "" {
		return nil, errors.New("open the store: no directory is named")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := &Store{dir: dir, options: o, now: time.Now}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open the store %s: %w", dir, err)
	}
	return s, nil
}

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *Store) blobPath(d Digest) string { return s.path("blobs", "sha256", d.Hex()) }

func (s *Store) ingestPath(name string) string { return s.path(ownDir, "ingest", name) }

func (s *Store) prepare() error {
	if err := statedir.Make(s.dir); err != nil {
		return err
	}
	text, err := statedir.ReadFile(s.path(layoutFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s.create()
	}
	if err != nil {
		return err
	}
	var layout struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(text, &layout); err != nil || layout.Version != "1.0.0" {
		return fmt.Errorf("%s does not say that this is an OCI image layout 1.0.0; name another directory", layoutFile)
	}
	return s.makeDirs()
}

func (s *Store) makeDirs() error {
	for _, dir := range []string{"blobs", filepath.Join("blobs", "sha256"), ownDir, filepath.Join(ownDir, "ingest")} {
		if err := statedir.Make(s.path(dir)); err != nil {
			return err
		}
	}
	return nil
}

// create makes a store in an empty directory. The layout file comes last: with it the store is complete.
func (s *Store) create() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	ours := []string{"blobs", ownDir, indexFile, layoutFile} // another process makes them now, or was killed before
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) && !strings.HasSuffix(e.Name(), ".new") {
			return fmt.Errorf("it holds %.60q and is no store; name an empty directory", e.Name())
		}
	}
	if err := s.makeDirs(); err != nil {
		return err
	}
	return s.locked(context.Background(), func() error {
		if _, err := os.Lstat(s.path(indexFile)); errors.Is(err, fs.ErrNotExist) {
			if err := s.writeIndex(ociIndex{}); err != nil {
				return err
			}
		}
		return statedir.WriteFile(s.path(layoutFile), []byte(layoutText))
	})
}

// lockPatience is how long a change waits for another process's change.
const lockPatience = 30 * time.Second

// locked runs do while no other process changes the store.
func (s *Store) locked(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		lock, err := statedir.Lock(s.path(ownDir, "lock"))
		if err == nil {
			return errors.Join(do(), lock.Close())
		}
		if !errors.Is(err, statedir.ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process changes the store %s; try again when it has ended: %w", s.dir, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Store) readIndex() (ociIndex, error) {
	text, err := statedir.ReadFile(s.path(indexFile))
	if err != nil {
		return ociIndex{}, fmt.Errorf("read the store: %w", err)
	}
	return parseIndex(text)
}

func (s *Store) writeIndex(x ociIndex) error {
	text, err := x.encode()
	if err != nil {
		return err
	}
	if len(text) > maxIndex {
		return fmt.Errorf("the index of the store would have %d bytes, at most %d are taken", len(text), maxIndex)
	}
	return full(statedir.WriteFile(s.path(indexFile), text))
}

// change replaces the index by what edit makes of it.
func (s *Store) change(ctx context.Context, edit func(*ociIndex) error) error {
	return s.locked(ctx, func() error {
		x, err := s.readIndex()
		if err != nil {
			return err
		}
		if err := edit(&x); err != nil {
			return err
		}
		return s.writeIndex(x)
	})
}

// readBlob reads a small blob and checks its content.
func (s *Store) readBlob(d descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("the blob %s has %d bytes, at most %d are taken", d.Digest.Short(), d.Size, limit)
	}
	f, err := s.openBlob(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, d.Size+1))
	if err != nil {
		return nil, err
	}
	if digestOf(content) != d.Digest {
		return nil, fmt.Errorf("%w: the blob %s has other content than its name says", ErrDamaged, d.Digest)
	}
	return content, nil
}

// openBlob opens a blob of the store. Its content is unchecked.
func (s *Store) openBlob(d descriptor) (*os.File, error) {
	f, err := statedir.OpenPlain(s.blobPath(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the blob %s is missing", ErrDamaged, d.Digest)
	}
	return f, err
}

// Blob opens a blob for reading, of an artifact, a manifest or a signature. Its content is unchecked: a reader
// compares it with the digest. The error of a missing blob is fs.ErrNotExist.
func (s *Store) Blob(d Digest) (*os.File, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return nil, err
	}
	return statedir.OpenPlain(s.blobPath(d))
}

// Signatures returns the armored signatures of an artifact; none if the store does not have it.
func (s *Store) Signatures(d Digest) ([][]byte, error) { return s.signatures(d) }

// Used is the number of bytes of all blobs.
func (s *Store) Used() (bytes int64, err error) {
	entries, err := os.ReadDir(s.path("blobs", "sha256"))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it was removed meanwhile
			bytes += info.Size()
		}
	}
	return bytes, nil
}

// Room is the number of bytes that may be added before less than [Options.Floor] is free.
func (s *Store) Room() (bytes int64, err error) {
	have, err := free(s.dir)
	return max(0, have-s.options.Floor), err
}

// List returns the artifacts of the store in the order in which they were added. An artifact that can't be read is
// left out, and named by the error.
func (s *Store) List() ([]Artifact, error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	return s.listOf(x)
}

// listOf returns the artifacts of an index that was read before.
func (s *Store) listOf(x ociIndex) (all []Artifact, err error) {
	for _, d := range x.Manifests {
		if d.ArtifactType != artifactType {
			continue
		}
		a, wrong := s.read(d)
		switch {
		case wrong == nil:
			all = append(all, a)
		case !s.removed(d.Digest):
			err = errors.Join(err, wrong)
		}
	}
	return all, err
}

// removed reports whether GC has removed an artifact since the index was read.
func (s *Store) removed(d Digest) bool {
	now, err := s.readIndex()
	return err == nil && now.find(d) < 0
}

// read reads the manifest of an entry of the index.
func (s *Store) read(d descriptor) (a Artifact, err error) {
	text, err := s.readBlob(d, maxOCI)
	if err != nil {
		return a, err
	}
	a.Digest, a.entry = d.Digest, d
	if a.outer, err = parseOCI(text, artifactType); err != nil {
		return a, fmt.Errorf("%s: %w", d.Digest, err)
	}
	config, err := s.readBlob(a.outer.Config, maxManifest)
	if err != nil {
		return a, err
	}
	if a.Manifest, err = parseManifest(config); err != nil {
		return a, fmt.Errorf("%s: %w", d.Digest, err)
	}
	if err := a.agrees(); err != nil {
		return a, fmt.Errorf("%s: %w", d.Digest, err)
	}
	notes := d.Annotations
	a.Good, _ = strconv.Atoi(notes[goodNote])
	if seconds, err := strconv.ParseInt(notes[addedNote], 10, 64); err == nil {
		a.Added = time.Unix(seconds, 0)
	}
	if text := notes[pinsNote]; text != "" {
		if err := json.Unmarshal([]byte(text), &a.Pins); err != nil {
			return a, fmt.Errorf("%s: its pins can't be read: %w", d.Digest, err)
		}
	}
	return a, nil
}

// agrees checks that the outer manifest, which is signed and copied, lists exactly the blobs of the inner one.
func (a Artifact) agrees() error {
	want := layersOf(a.Manifest)
	got := a.outer.Layers
	if !slices.EqualFunc(want, got, func(a, b descriptor) bool { return a.Digest == b.Digest && a.Size == b.Size }) {
		return errors.New("its two manifests list different files")
	}
	return nil
}

// layersOf are the blobs of a manifest's files, each once, sorted by digest.
func layersOf(m Manifest) []descriptor {
	var all []descriptor
	for _, f := range m.Files {
		all = append(all, descriptor{MediaType: blobType, Digest: f.Digest, Size: f.Size})
	}
	slices.SortFunc(all, func(a, b descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return slices.CompactFunc(all, func(a, b descriptor) bool { return a.Digest == b.Digest && a.Size == b.Size })
}

// Get returns the artifact with a digest.
func (s *Store) Get(d Digest) (Artifact, error) {
	x, err := s.readIndex()
	if err != nil {
		return Artifact{}, err
	}
	if i := x.find(d); i >= 0 {
		a, err := s.read(x.Manifests[i])
		if err == nil || !s.removed(d) {
			return a, err
		}
	}
	return Artifact{}, fmt.Errorf("%w: %s", ErrNotFound, d)
}

// Find returns the artifact of a service and version for a platform OS/ARCH, or the one for any platform.
func (s *Store) Find(service, version, platform string) (Artifact, error) {
	all, err := s.List()
	for _, want := range []string{platform, anyPlatform} {
		for _, a := range all {
			if m := a.Manifest; m.Service == service && m.Version == version && m.Platform == want {
				return a, nil
			}
		}
	}
	if err != nil {
		return Artifact{}, err
	}
	return Artifact{}, fmt.Errorf("%w: %s %s for %s", ErrNotFound, service, version, platform)
}

// find is the index of the entry of an artifact, -1 without one.
func (x ociIndex) find(d Digest) int {
	return slices.IndexFunc(x.Manifests, func(e descriptor) bool {
		return e.ArtifactType == artifactType && e.Digest == d
	})
}

// full makes ErrFull of the system's errors for a full disk.
func full(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
