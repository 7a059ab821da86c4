package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
)

// source is a file of a bundle that is being written, with its content or the path of it.
type source struct {
	file    File
	content []byte
	path    string
}

// WriteBundle writes a bundle with artifacts of the store and other files. The signer signs it in the namespace
// skerry-bundle. The same input and the same key make the same bytes.
func (s *Store) WriteBundle(ctx context.Context, to io.Writer, in BundleInput, signer Signer) (Bundle, error) {
	h, files, err := s.bundled(in.Artifacts)
	if err != nil {
		return Bundle{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(in.Files)) {
		f, err := otherFile(ctx, name, in.Files[name])
		if err != nil {
			return Bundle{}, err
		}
		files = append(files, f)
	}
	b := Bundle{Format: bundleFormat, Cluster: in.Cluster}
	for _, f := range files {
		b.Files = append(b.Files, f.file)
	}
	if err := b.validate(); err != nil {
		return b, err
	}
	if b.Artifacts, _, err = h.artifacts(nil); err != nil {
		return b, err
	}
	return s.writeSigned(ctx, to, b, files, signer)
}

func (s *Store) writeSigned(ctx context.Context, to io.Writer, b Bundle, files []source, signer Signer) (Bundle,
	error) {
	text, err := b.encode()
	if err != nil {
		return b, err
	}
	listed := small(bundleFile, text)
	list := sums(append([]File{listed.file}, b.Files...))
	if len(text) > maxBundleJSON || len(list) > maxBundleJSON {
		return b, fmt.Errorf("the list of files has more than %d bytes", maxBundleJSON)
	}
	signature, err := signer.Sign(sshsig.Bundle, list)
	if err != nil {
		return b, err
	}
	b.Digest = digestOf(list)
	head := []source{small(sumsFile, list), small(sumsSig, sshsig.Armor(signature)), listed}
	w := tar.NewWriter(to)
	for _, f := range append(head, files...) {
		if err := f.write(ctx, w); err != nil {
			return b, fmt.Errorf("write %s: %w", f.file.Path, full(err))
		}
	}
	return b, full(w.Close())
}

func small(path string, content []byte) source {
	return source{file: File{Path: path, Size: int64(len(content)), Digest: digestOf(content)}, content: content}
}

// bundled is everything of the layout that belongs to artifacts, in the order of a bundle.
func (s *Store) bundled(artifacts []Digest) (h head, files []source, err error) {
	x, err := s.readIndex()
	if err != nil {
		return h, nil, err
	}
	h.blobs = map[Digest][]byte{}
	var blobs []descriptor
	for i, d := range artifacts {
		if slices.Contains(artifacts[:i], d) {
			continue
		}
		a, err := s.Get(d)
		if err != nil {
			return h, nil, err
		}
		h.index.Manifests = append(h.index.Manifests, entryOf(a.entry, a.Manifest))
		for _, e := range x.signatures(d) {
			h.index.Manifests = append(h.index.Manifests, signatureEntry(e, d))
		}
		blobs = append(blobs, a.outer.Layers...)
	}
	first, err := s.readHead(&h, unique(slices.Clone(h.index.Manifests)))
	if err != nil {
		return h, nil, err
	}
	inner, err := h.inner()
	if err != nil {
		return h, nil, err
	}
	second, err := s.readHead(&h, inner)
	if err != nil {
		return h, nil, err
	}
	index, err := h.index.encode()
	if err != nil {
		return h, nil, err
	}
	files = []source{small(layoutFile, []byte(layoutText)), small(indexFile, index)}
	files = append(append(files, first...), second...)
	for _, d := range unique(blobs) {
		if _, both := h.blobs[d.Digest]; both {
			continue // a file of an artifact that is a manifest, too
		}
		files = append(files, source{file: blobFile(d), path: s.blobPath(d.Digest)})
	}
	return h, files, nil
}

// readHead reads small blobs into the head.
func (s *Store) readHead(h *head, blobs []descriptor) (files []source, err error) {
	for _, d := range blobs {
		if _, have := h.blobs[d.Digest]; have {
			continue
		}
		content, err := s.readBlob(d, maxOCI)
		if err != nil {
			return nil, err
		}
		if h.size()+len(content) > maxHead {
			return nil, fmt.Errorf("the manifests have more than %d bytes; make two bundles", maxHead)
		}
		h.blobs[d.Digest] = content
		files = append(files, source{file: blobFile(d), content: content})
	}
	return files, nil
}

func (h head) size() (n int) {
	for _, content := range h.blobs {
		n += len(content)
	}
	return n
}

func blobFile(d descriptor) File {
	return File{Path: blobsDir + d.Digest.Hex(), Size: d.Size, Digest: d.Digest}
}

// otherFile describes a file that belongs to no artifact.
func otherFile(ctx context.Context, name, path string) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return source{}, err
	}
	f, err := input{name, path, info}.describe(ctx, "")
	if err != nil {
		return source{}, fmt.Errorf("read %s: %w", path, err)
	}
	f.Pieces = nil
	return source{file: f, path: path}, nil
}

// write writes one entry of the tar file. Only its name, size, mode and content depend on the input.
func (f source) write(ctx context.Context, w *tar.Writer) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.file.Path, Size: f.file.Size,
		Mode: int64(modeOf(f.file)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	var content io.Reader = bytes.NewReader(f.content)
	if f.path != "" {
		file, err := statedir.OpenPlain(f.path)
		if err != nil {
			return err
		}
		defer file.Close()
		content = file
	}
	return copyChecked(ctx, w, content, descriptor{Digest: f.file.Digest, Size: f.file.Size})
}

// modeOf is the mode of a file as it is unpacked.
func modeOf(f File) fs.FileMode {
	if f.Executable {
		return 0o755
	}
	return 0o644
}
