package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/statedir"
)

// Import adds the artifacts of a bundle. A trusted key must have signed the bundle, and a builder each artifact. The
// store is as before until all of them are there. Files that belong to no artifact are written to [Store.BundleDir].
//
// An import that was interrupted goes on where it was, when it is called again with the bundle from its beginning.
// From a file it passes over what the store has without reading it.
func (s *Store) Import(ctx context.Context, from io.Reader, builders, operators *Signers) (Bundle, error) {
	r := newBundleReader(ctx, from, builders, operators)
	if err := r.trustedHead(); err != nil {
		return Bundle{}, bundleError(err)
	}
	if err := s.expect(ctx, r); err != nil {
		return r.bundle, err
	}
	add, err := s.importHead(ctx, r)
	if err != nil {
		return r.bundle, bundleError(err)
	}
	others, err := s.newOthers(ctx, r.bundle)
	if err != nil {
		return r.bundle, err
	}
	defer others.close()
	err = r.body(func(f File, content io.Reader) error {
		if !strings.HasPrefix(f.Path, blobsDir) {
			return others.put(ctx, f, content)
		}
		d := descriptor{MediaType: blobType, Digest: f.Digest, Size: f.Size}
		add.blobs = append(add.blobs, d)
		return s.put(ctx, d, content)
	})
	if err != nil {
		return r.bundle, bundleError(err)
	}
	if err := s.commit(ctx, add); err != nil {
		return r.bundle, err
	}
	return r.bundle, others.finish()
}

// BundleDir is the directory with the files of an imported bundle that belong to no artifact.
func (s *Store) BundleDir(b Bundle) string { return s.path(ownDir, "bundles", b.Digest.Hex()) }

// expect finds out before anything is written whether the import will fail: for another cluster, a version that the
// store has with other content, or a lack of room.
func (s *Store) expect(ctx context.Context, r *bundleReader) error {
	if own, other := s.options.Cluster, r.bundle.Cluster; own != "" && other != "" && own != other {
		return fmt.Errorf("the bundle is for the cluster %s, and this host belongs to %s", other, own)
	}
	x, err := s.readIndex()
	if err != nil {
		return err
	}
	a := addition{}
	for _, one := range r.bundle.Artifacts {
		a.name(one.Digest, one.Manifest)
	}
	if err := s.checkConflicts(x, a); err != nil {
		return err
	}
	bytes := int64(0)
	for _, f := range r.rest {
		if !s.probablyHas(f) {
			bytes += f.Size
		}
	}
	return s.room(bytes)
}

// probablyHas reports whether the store seems to have a file. It compares only the size.
func (s *Store) probablyHas(f File) bool {
	return slices.ContainsFunc([]string{s.blobPath(f.Digest), s.ingestPath(f.Digest.Hex())}, func(path string) bool {
		info, err := os.Lstat(path)
		return err == nil && info.Mode().IsRegular() && info.Size() == f.Size
	})
}

// importHead writes the manifests and signatures of a bundle.
func (s *Store) importHead(ctx context.Context, r *bundleReader) (add addition, err error) {
	for d, content := range r.headBytes {
		if _, err := s.putBytes(ctx, &add, "", content); err != nil {
			return add, fmt.Errorf("%s: %w", d.Short(), err)
		}
	}
	for _, a := range r.bundle.Artifacts {
		add.entries = append(add.entries, a.entry)
		add.name(a.Digest, a.Manifest)
		for _, e := range r.index.signatures(a.Digest) {
			add.entries = append(add.entries, signatureEntry(e, a.Digest))
		}
	}
	return add, nil
}

// others is the directory for the files of a bundle that belong to no artifact, while it is filled.
type others struct {
	dir  string // where they appear, as a whole
	part string
	lock *os.File
	done bool // dir was there
}

func (s *Store) newOthers(ctx context.Context, b Bundle) (*others, error) {
	if len(b.Others()) == 0 {
		return &others{done: true}, nil
	}
	o := &others{dir: s.BundleDir(b), part: s.BundleDir(b) + partSuffix}
	if err := statedir.Make(filepath.Dir(o.dir)); err != nil {
		return nil, err
	}
	lock, err := s.lockPart(ctx, o.dir+lockSuffix)
	if err != nil {
		return nil, err
	}
	o.lock = lock
	if _, err := os.Lstat(o.dir); err == nil {
		o.done = true
		return o, nil
	}
	return o, nil
}

func (o *others) put(ctx context.Context, f File, content io.Reader) error {
	if o.done {
		return nil
	}
	path := filepath.Join(o.part, filepath.FromSlash(f.Path))
	d := descriptor{Digest: f.Digest, Size: f.Size}
	if checkFile(ctx, path, d) == nil {
		return nil // of an import that was interrupted
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	to, err := newFile(path, modeOf(f))
	if err != nil {
		return full(err)
	}
	err = copyChecked(ctx, to, content, d)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return errors.Join(full(err), os.Remove(path))
	}
	return nil
}

// finish makes the files appear.
func (o *others) finish() error {
	if o.done {
		return nil
	}
	if err := os.Rename(o.part, o.dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(o.dir))
}

func (o *others) close() {
	if o.lock != nil {
		os.Remove(o.lock.Name()) // Windows keeps it
		o.lock.Close()
	}
}
