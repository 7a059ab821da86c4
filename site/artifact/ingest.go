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
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// A blob comes into the store in two steps. It is written to a file NAME.part of the directory ingest, which is locked
// meanwhile, and renamed there to NAME when its content is proved. A commit moves all blobs of an addition to their
// place and extends the index, under the lock of the store. A process that is killed before leaves blobs in ingest,
// which the next addition uses and the next collection of garbage removes.

const (
	partSuffix = ".part"
	lockSuffix = ".lock"
)

// put writes a blob into ingest, unless the store has it with its whole content.
func (s *Store) put(ctx context.Context, d descriptor, from io.Reader) error {
	if s.has(ctx, d) {
		return nil
	}
	part := s.ingestPath(d.Digest.Hex() + partSuffix)
	f, err := s.lockPart(ctx, part)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.room(d.Size); err != nil {
		return err
	}
	if err := writePart(ctx, f, d, from); err != nil {
		return errors.Join(full(err), os.Remove(part))
	}
	if runtime.GOOS == "windows" {
		f.Close() // an open file can't be renamed there
	}
	return os.Rename(part, s.ingestPath(d.Digest.Hex()))
}

func writePart(ctx context.Context, f *os.File, d descriptor, from io.Reader) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(contextReader{ctx, from}, d.Size+1))
	switch {
	case err != nil:
		return err
	case n != d.Size:
		return fmt.Errorf("the blob %s has other than its %d bytes", d.Digest.Short(), d.Size)
	case sumDigest(sum.Sum(nil)) != d.Digest:
		return fmt.Errorf("the blob %s has other content than its name says", d.Digest.Short())
	}
	return f.Sync()
}

// lockPart opens the file of a blob that is being written, and waits while another process writes it.
func (s *Store) lockPart(ctx context.Context, part string) (*os.File, error) {
	for {
		f, err := statedir.Lock(part)
		if !errors.Is(err, statedir.ErrLocked) {
			return f, full(err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// has reports whether the store or ingest holds the whole content of a blob.
func (s *Store) has(ctx context.Context, d descriptor) bool {
	return checkFile(ctx, s.blobPath(d.Digest), d) == nil || checkFile(ctx, s.ingestPath(d.Digest.Hex()), d) == nil
}

// checkFile compares a file with its descriptor.
func checkFile(ctx context.Context, path string, d descriptor) error {
	f, err := statedir.OpenPlain(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return copyChecked(ctx, io.Discard, f, d)
}

// copyChecked copies a blob, and fails if it is not the content of the descriptor.
func copyChecked(ctx context.Context, to io.Writer, from io.Reader, d descriptor) error {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(contextReader{ctx, from}, d.Size+1))
	if err == nil && (n != d.Size || sumDigest(sum.Sum(nil)) != d.Digest) {
		err = fmt.Errorf("%w: the blob %s has other content than its name says", ErrDamaged, d.Digest)
	}
	return err
}

// room fails if a number of bytes would leave less than the floor.
func (s *Store) room(bytes int64) error {
	have, err := free(s.dir)
	if err != nil {
		return fmt.Errorf("the free space of %s is not known: %w", s.dir, err)
	}
	if have-s.options.Floor >= bytes {
		return nil
	}
	return fmt.Errorf("%w: %s has %s free, %s are to be added, and %s stay free (store.floor); make room with skerry "+
		"artifact gc, or name a store on another disk; what the store holds is unchanged",
		ErrFull, s.dir, sizeText(have), sizeText(bytes), sizeText(s.options.Floor))
}

// sizeText is a size with its unit, rounded.
func sizeText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return strconv.FormatFloat(float64(n)/float64(u.size), 'f', 1, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// addition is what one commit adds.
type addition struct {
	blobs   []descriptor
	entries []descriptor        // artifacts and signatures, for the index
	names   map[Digest]Manifest // of the artifacts in entries
}

func (a *addition) name(d Digest, m Manifest) {
	if a.names == nil {
		a.names = map[Digest]Manifest{}
	}
	a.names[d] = m
}

// putBytes writes a small blob into ingest, and counts it among those of the addition.
func (s *Store) putBytes(ctx context.Context, a *addition, mediaType string, content []byte) (descriptor, error) {
	d := describe(mediaType, content)
	a.blobs = append(a.blobs, d)
	return d, s.put(ctx, d, bytes.NewReader(content))
}

// commit moves blobs to their place and extends the index.
func (s *Store) commit(ctx context.Context, a addition) error {
	return s.change(ctx, func(x *ociIndex) error {
		if err := s.checkConflicts(*x, a); err != nil {
			return err
		}
		for _, d := range a.blobs {
			if err := s.settle(d); err != nil {
				return err
			}
		}
		if err := syncDir(s.path("blobs", "sha256")); err != nil {
			return err
		}
		for _, e := range a.entries {
			x.addEntry(e, s.now())
		}
		return nil
	})
}

// settle moves a blob from ingest to its place. The one in ingest was proved, and replaces a damaged one.
func (s *Store) settle(d descriptor) error {
	err := os.Rename(s.ingestPath(d.Digest.Hex()), s.blobPath(d.Digest))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, err := os.Lstat(s.blobPath(d.Digest))
	if err == nil && info.Mode().IsRegular() && info.Size() == d.Size {
		return nil
	}
	return fmt.Errorf("the blob %s was removed meanwhile by a collection of garbage; run the command again",
		d.Digest.Short())
}

func (x *ociIndex) addEntry(e descriptor, now time.Time) {
	if slices.ContainsFunc(x.Manifests, func(old descriptor) bool { return old.Digest == e.Digest }) {
		return
	}
	if e.Annotations == nil {
		e.Annotations = map[string]string{}
	}
	e.Annotations[addedNote] = strconv.FormatInt(now.Unix(), 10)
	x.Manifests = append(x.Manifests, e)
}

// checkConflicts refuses an artifact if the store has its service, version and platform with other content.
func (s *Store) checkConflicts(x ociIndex, a addition) error {
	digests := map[string]Digest{}
	for d, m := range a.names {
		if other, twice := digests[m.Name()]; twice {
			return fmt.Errorf("%w: %s is both %s and %s", ErrConflict, m.Name(), d.Short(), other.Short())
		}
		digests[m.Name()] = d
	}
	for _, e := range x.Manifests {
		name := e.Annotations[refName]
		if d, known := digests[name]; known && e.ArtifactType == artifactType && e.Digest != d {
			return fmt.Errorf("%w: the store has %s as %s, and this is %s; give what was changed a new version",
				ErrConflict, name, e.Digest.Short(), d.Short())
		}
	}
	return nil
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it keeps directories by itself
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// contextReader ends with its context.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(p)
}

// newFile makes a file that must not exist yet, with a mode that no umask changes.
func newFile(path string, mode fs.FileMode) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode); err != nil && runtime.GOOS != "windows" {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
