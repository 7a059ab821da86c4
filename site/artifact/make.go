package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
)

// Make adds an artifact with the files of a directory, or with a single file, and signs it. The manifest says
// everything but Format and Files. A nil signer leaves the artifact unsigned, so that [Store.AddSignature] can follow.
// The same files and the same manifest make the same artifact on every host.
func (s *Store) Make(ctx context.Context, from string, m Manifest, signer Signer) (Artifact, error) {
	files, err := collect(from)
	if err != nil {
		return Artifact{}, err
	}
	m.Format, m.Files, m.Run = manifestFormat, nil, m.Run.withDefaults()
	for _, in := range files {
		f, err := in.describe(ctx, m.Run.Command)
		if err != nil {
			return Artifact{}, fmt.Errorf("read %s: %w", in.path, err)
		}
		m.Files = append(m.Files, f)
	}
	if err := m.validate(); err != nil {
		return Artifact{}, err
	}
	if err := checkProgram(m, files); err != nil {
		return Artifact{}, err
	}
	var a addition
	for i, f := range m.Files {
		if err := s.putFile(ctx, &a, files[i].path, f); err != nil {
			return Artifact{}, err
		}
	}
	d, err := s.putManifests(ctx, &a, m, signer)
	if err != nil {
		return Artifact{}, err
	}
	if err := s.commit(ctx, a); err != nil {
		return Artifact{}, err
	}
	return s.Get(d)
}

// input is one file that an artifact is made of.
type input struct {
	name string // in the artifact
	path string
	info fs.FileInfo
}

// collect finds the plain files of a directory, sorted by their names in the artifact.
func collect(from string) (all []input, err error) {
	info, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return []input{{filepath.Base(from), from, info}}, nil
	}
	err = filepath.WalkDir(from, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s is a symbolic link; an artifact has plain files, as links differ between systems: "+
				"put the file in its place, or leave it out", at)
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is no plain file (%v)", at, e.Type())
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if len(all) == maxFiles {
			return fmt.Errorf("%s has more than %d files, which is the most of an artifact", from, maxFiles)
		}
		all = append(all, input{filepath.ToSlash(rel), at, info})
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s has no file", from)
	}
	slices.SortFunc(all, func(a, b input) int { return strings.Compare(a.name, b.name) })
	return all, err
}

// describe hashes a file, and its pieces if it has several.
func (in input) describe(ctx context.Context, command string) (f File, err error) {
	in2, err := statedir.OpenPlain(in.path)
	if err != nil {
		return f, err
	}
	defer in2.Close()
	f.Path = in.name
	whole := sha256.New()
	var head []byte
	for {
		piece := sha256.New()
		start := &prefix{most: 4}
		n, err := io.Copy(io.MultiWriter(whole, piece, start), io.LimitReader(contextReader{ctx, in2}, PieceSize))
		if err != nil {
			return f, err
		}
		if f.Size == 0 {
			head = start.text
		}
		if n > 0 {
			f.Pieces = append(f.Pieces, sumDigest(piece.Sum(nil)))
		}
		if f.Size += n; f.Size > maxFile {
			return f, fmt.Errorf("more than %d bytes", int64(maxFile))
		}
		if n < PieceSize {
			break
		}
	}
	if len(f.Pieces) < 2 {
		f.Pieces = nil
	}
	f.Digest = sumDigest(whole.Sum(nil))
	f.Executable = in.info.Mode()&0o111 != 0
	if runtime.GOOS == "windows" { // its files have no such mode
		f.Executable = path.Join("./", in.name) == path.Clean(command) || isProgram(head)
	}
	return f, nil
}

// prefix keeps the first bytes that are written to it.
type prefix struct {
	text []byte
	most int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.text = append(p.text, b[:min(len(b), p.most-len(p.text))]...)
	return len(b), nil
}

// isProgram reports whether a file begins like a program: ELF, PE or a script.
func isProgram(head []byte) bool {
	for _, magic := range []string{"\x7fELF", "MZ", "#!"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// putFile writes the content of a file, which must not have changed since it was described.
func (s *Store) putFile(ctx context.Context, a *addition, from string, f File) error {
	in, err := statedir.OpenPlain(from)
	if err != nil {
		return err
	}
	defer in.Close()
	d := descriptor{MediaType: blobType, Digest: f.Digest, Size: f.Size}
	a.blobs = append(a.blobs, d)
	if err := s.put(ctx, d, in); err != nil {
		return fmt.Errorf("add %s: %w", from, err)
	}
	return nil
}

// putManifests writes both manifests and the signature.
func (s *Store) putManifests(ctx context.Context, a *addition, m Manifest, signer Signer) (Digest, error) {
	text, err := m.encode()
	if err != nil {
		return "", err
	}
	config, err := s.putBytes(ctx, a, configType, text)
	if err != nil {
		return "", err
	}
	outer, err := ociManifest{ArtifactType: artifactType, Config: config, Layers: layersOf(m)}.encode()
	if err != nil {
		return "", err
	}
	entry, err := s.putBytes(ctx, a, manifestType, outer)
	if err != nil {
		return "", err
	}
	a.entries = append(a.entries, entryOf(entry, m))
	a.name(entry.Digest, m)
	if signer == nil {
		return entry.Digest, nil
	}
	blob, err := signer.Sign(sshsig.Artifact, outer)
	if err != nil {
		return "", err
	}
	return entry.Digest, s.putSignature(ctx, a, entry, sshsig.Armor(blob))
}

// entryOf is the entry of an artifact in the index.
func entryOf(d descriptor, m Manifest) descriptor {
	e := descriptor{MediaType: manifestType, Digest: d.Digest, Size: d.Size, ArtifactType: artifactType,
		Annotations: map[string]string{refName: m.Name()}}
	if system, arch, both := strings.Cut(m.Platform, "/"); both {
		e.Platform = &platform{Architecture: arch, OS: system}
	}
	return e
}

// putSignature writes a signature, and the manifest by which OCI tools find it.
func (s *Store) putSignature(ctx context.Context, a *addition, subject descriptor, armored []byte) error {
	config, err := s.putBytes(ctx, a, emptyType, emptyBlob)
	if err != nil {
		return err
	}
	layer, err := s.putBytes(ctx, a, sshsigType, armored)
	if err != nil {
		return err
	}
	text, err := ociManifest{ArtifactType: signatureType, Config: config, Layers: []descriptor{layer},
		Subject: &descriptor{MediaType: manifestType, Digest: subject.Digest, Size: subject.Size}}.encode()
	if err != nil {
		return err
	}
	d, err := s.putBytes(ctx, a, manifestType, text)
	if err != nil {
		return err
	}
	a.entries = append(a.entries, signatureEntry(d, subject.Digest))
	return nil
}

func signatureEntry(d descriptor, subject Digest) descriptor {
	return descriptor{MediaType: manifestType, Digest: d.Digest, Size: d.Size, ArtifactType: signatureType,
		Annotations: map[string]string{subjectNote: string(subject)}}
}

// maxSignatures is the most signatures of one artifact.
const maxSignatures = 16

// Sign adds a signature to an artifact.
func (s *Store) Sign(ctx context.Context, d Digest, signer Signer) error {
	a, err := s.Get(d)
	if err != nil {
		return err
	}
	text, err := s.readBlob(a.entry, maxOCI)
	if err != nil {
		return err
	}
	blob, err := signer.Sign(sshsig.Artifact, text)
	if err != nil {
		return err
	}
	return s.AddSignature(ctx, d, sshsig.Armor(blob))
}

// AddSignature adds a signature that ssh-keygen -Y sign -n skerry-artifact has made of the artifact's outer manifest,
// the blob of its digest. Whether the key is trusted is judged where the artifact is used.
func (s *Store) AddSignature(ctx context.Context, d Digest, armored []byte) error {
	a, err := s.Get(d)
	if err != nil {
		return err
	}
	text, err := s.readBlob(a.entry, maxOCI)
	if err != nil {
		return err
	}
	blob, err := sshsig.Dearmor(armored)
	if err != nil {
		return err
	}
	if _, err := sshsig.Verify(blob, sshsig.Artifact, text); err != nil {
		return err
	}
	sigs, err := s.signatures(d)
	if err != nil {
		return err
	}
	if len(sigs) >= maxSignatures {
		return errors.New("the artifact has the most signatures that one may have")
	}
	var add addition
	if err := s.putSignature(ctx, &add, a.entry, sshsig.Armor(blob)); err != nil {
		return err
	}
	return s.commit(ctx, add)
}
