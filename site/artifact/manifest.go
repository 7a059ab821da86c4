package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/registry"
)

// Manifest describes one service in one version for one platform.
type Manifest struct {
	Format   int      `json:"format"`          // 1
	Needs    []string `json:"needs,omitempty"` // what a reader must know; a reader that does not refuses the artifact
	Service  string   `json:"service"`
	Version  string   `json:"version"`
	Platform string   `json:"platform"` // OS/ARCH as Go names them, or any
	Source   Source   `json:"source,omitzero"`
	Run      Run      `json:"run"`
	Files    []File   `json:"files"` // sorted by path
}

// Source says what an artifact was built from.
type Source struct {
	Repo   string `json:"repo,omitempty" yaml:"repo"`
	Commit string `json:"commit,omitempty" yaml:"commit"`
}

// File is one file of an artifact.
type File struct {
	Path       string `json:"path"` // with /, below the artifact's directory
	Executable bool   `json:"executable,omitempty"`
	Size       int64  `json:"size"` // bytes
	Digest     Digest `json:"digest"`

	// Pieces are the digests of the file's pieces of PieceSize bytes, so that several hosts can serve one file. A
	// file of one piece has none.
	Pieces []Digest `json:"pieces,omitempty"`
}

// PieceSize is the number of bytes of each piece of a file but its last one.
const PieceSize = 4 << 20

const (
	manifestFormat = 1
	maxManifest    = 16 << 20 // bytes
	maxFiles       = 50_000
	maxFile        = 8<<30 - 1 // bytes; the largest number in the head of a tar file
	maxTotal       = 64 << 30  // bytes of all files of an artifact
	anyPlatform    = "any"     // for programs that run everywhere, such as those of Python
	maxSource      = 512       // bytes of each text
	maxNeeds       = 16
)

// Size is the number of bytes of all files.
func (m Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// Name is SERVICE/VERSION/PLATFORM.
func (m Manifest) Name() string { return m.Service + "/" + m.Version + "/" + m.Platform }

// RunsOn reports whether the artifact is for the platform OS/ARCH.
func (m Manifest) RunsOn(platform string) bool {
	return m.Platform == anyPlatform || m.Platform == platform
}

// encode writes the manifest. The same manifest always has the same bytes.
func (m Manifest) encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	return append(text, '\n'), err
}

// parseManifest reads and checks a manifest. Fields that it does not know are passed over: what a reader must know
// stands in needs.
func parseManifest(text []byte) (m Manifest, err error) {
	if len(text) > maxManifest {
		return m, fmt.Errorf("the manifest has %d bytes, at most %d are taken", len(text), maxManifest)
	}
	if err := decode(text, &m, maxFiles+maxNeeds); err != nil {
		return m, fmt.Errorf("the manifest can't be read: %w", err)
	}
	return m, m.validate()
}

func (m Manifest) validate() error {
	switch {
	case m.Format != manifestFormat:
		return fmt.Errorf("the manifest has format %d, and this skerry knows %d; a newer skerry may read it", m.Format,
			manifestFormat)
	case len(m.Needs) > 0:
		return fmt.Errorf("the manifest needs %.100q, which this skerry does not know; take a newer one",
			strings.Join(m.Needs[:min(maxNeeds, len(m.Needs))], ", "))
	case len(m.Source.Repo) > maxSource || len(m.Source.Commit) > maxSource:
		return fmt.Errorf("source: a text is longer than %d bytes", maxSource)
	}
	if err := registry.CheckName("service", m.Service); err != nil {
		return err
	}
	if m.Version == "" {
		return errors.New("the version is missing")
	}
	if err := registry.CheckName("version", m.Version); err != nil {
		return err
	}
	if err := checkPlatform(m.Platform); err != nil {
		return err
	}
	if err := m.checkFiles(); err != nil {
		return err
	}
	return m.Run.validate(m.Files)
}

func checkPlatform(p string) error {
	system, arch, both := strings.Cut(p, "/")
	lower := func(s string) bool {
		return s != "" && len(s) < 20 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
	}
	if p == anyPlatform || both && lower(system) && lower(arch) {
		return nil
	}
	return fmt.Errorf("platform %.40q: write OS/ARCH such as linux/amd64, or any", p)
}

func (m Manifest) checkFiles() error {
	if len(m.Files) == 0 || len(m.Files) > maxFiles {
		return fmt.Errorf("%d files, and an artifact has 1 to %d", len(m.Files), maxFiles)
	}
	total := int64(0)
	var paths []string
	for _, f := range m.Files {
		paths = append(paths, f.Path)
		if f.Size < 0 || f.Size > maxFile {
			return fmt.Errorf("file %.120q: %d bytes, at most %d are taken", f.Path, f.Size, int64(maxFile))
		}
		if total += f.Size; total > maxTotal {
			return fmt.Errorf("the files have more than %d bytes together", int64(maxTotal))
		}
		if err := f.checkDigests(); err != nil {
			return fmt.Errorf("file %.120q: %w", f.Path, err)
		}
	}
	if err := checkPaths(paths); err != nil {
		return err
	}
	if !slices.IsSorted(paths) {
		return errors.New("the files are not sorted by path")
	}
	return nil
}

func (f File) checkDigests() error {
	if _, err := ParseDigest(string(f.Digest)); err != nil {
		return err
	}
	want := 0
	if f.Size > PieceSize {
		want = int((f.Size + PieceSize - 1) / PieceSize)
	}
	if len(f.Pieces) != want {
		return fmt.Errorf("%d pieces, and %d bytes have %d", len(f.Pieces), f.Size, want)
	}
	for _, p := range f.Pieces {
		if _, err := ParseDigest(string(p)); err != nil {
			return err
		}
	}
	return nil
}

// decode reads a JSON text with at most so many objects: an empty one of three bytes takes a hundred in memory.
func decode(text []byte, to any, objects int) error {
	if n := bytes.Count(text, []byte("{")); n > objects {
		return fmt.Errorf("it has %d objects, at most %d are taken", n, objects)
	}
	return json.Unmarshal(text, to)
}
