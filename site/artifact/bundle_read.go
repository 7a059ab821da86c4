package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ReadBundle reads the head of a bundle: what it brings, and the signer. Doubts of the result name what is not trusted.
// A bundle that is damaged or malformed is an error. The files themselves are not read.
func ReadBundle(ctx context.Context, from io.Reader, builders, operators *Signers) (Bundle, error) {
	r := newBundleReader(ctx, from, builders, operators)
	if err := r.head(); err != nil {
		return Bundle{}, bundleError(err)
	}
	for _, err := range r.doubts {
		r.bundle.Doubts = append(r.bundle.Doubts, err.Error())
	}
	return r.bundle, nil
}

// VerifyBundle reads a whole bundle and proves every byte. The error wraps [ErrUntrusted] when a signature is missing
// or not trusted.
func VerifyBundle(ctx context.Context, from io.Reader, builders, operators *Signers) (Bundle, error) {
	r := newBundleReader(ctx, from, builders, operators)
	if err := r.trustedHead(); err != nil {
		return Bundle{}, bundleError(err)
	}
	err := r.body(func(f File, content io.Reader) error {
		return copyChecked(ctx, io.Discard, content, descriptor{Digest: f.Digest, Size: f.Size})
	})
	return r.bundle, bundleError(err)
}

func bundleError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the bundle ends in the middle; copy it again")
	}
	return err
}

// bundleReader reads a bundle from front to back. It takes each file only with the name, size and digest of the list
// in front.
type bundleReader struct {
	ctx       context.Context
	from      io.Reader
	tar       *tar.Reader
	builders  *Signers
	operators *Signers

	bundle Bundle
	index  ociIndex
	rest   []File // of bundle.Files: not read yet
	doubts []error
	blobs  map[Digest]bool // files of artifacts

	headBytes map[Digest][]byte // manifests and signatures
}

func newBundleReader(ctx context.Context, from io.Reader, builders, operators *Signers) *bundleReader {
	return &bundleReader{ctx: ctx, from: from, tar: tar.NewReader(from), builders: builders, operators: operators}
}

// next goes on to a file that must come now. A size of -1 is any up to the limit.
func (r *bundleReader) next(path string, size, limit int64) (int64, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	h, err := r.tar.Next()
	if path == sumsFile && (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF)) {
		return 0, errors.New("this is no bundle of skerry")
	}
	if errors.Is(err, tar.ErrHeader) {
		return 0, fmt.Errorf("the bundle is damaged in front of %.120q; copy it again", path)
	}
	if err != nil {
		return 0, err
	}
	switch {
	case h.Typeflag != tar.TypeReg || h.Linkname != "":
		return 0, fmt.Errorf("the bundle has %.120q, which is no plain file (type %q)", h.Name, h.Typeflag)
	case h.Format != tar.FormatUSTAR || len(h.PAXRecords) > 0:
		return 0, fmt.Errorf("the bundle has %.120q in another form of tar (%v)", h.Name, h.Format)
	case h.Name != path:
		return 0, fmt.Errorf("the bundle has %.120q where %.120q is expected", h.Name, path)
	case size >= 0 && h.Size != size:
		return 0, fmt.Errorf("%.120q has %d bytes in the bundle, %d by its list", path, h.Size, size)
	case h.Size > limit:
		return 0, fmt.Errorf("%.120q has %d bytes, at most %d are taken", path, h.Size, limit)
	}
	return h.Size, nil
}

// small reads a file of the head. Memory grows with what has come, not with what the header says.
func (r *bundleReader) small(path string, size, limit int64) ([]byte, error) {
	size, err := r.next(path, size, limit)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(contextReader{r.ctx, r.tar})
	if err == nil && int64(len(content)) != size {
		err = io.ErrUnexpectedEOF
	}
	return content, err
}

// listed reads the next file of the list, which must be the named one.
func (r *bundleReader) listed(path string, limit int64) ([]byte, error) {
	if len(r.rest) == 0 || r.rest[0].Path != path {
		return nil, fmt.Errorf("%s does not list %.120q where it is expected", bundleFile, path)
	}
	f := r.rest[0]
	r.rest = r.rest[1:]
	content, err := r.small(path, f.Size, limit)
	if err == nil && digestOf(content) != f.Digest {
		err = fmt.Errorf("%.120q has other content than %s says", path, sumsFile)
	}
	return content, err
}

// trustedHead reads the head, and fails for what is not trusted.
func (r *bundleReader) trustedHead() error {
	if err := r.signedList(true); err != nil {
		return err
	}
	if err := r.layout(); err != nil {
		return err
	}
	return errors.Join(r.doubts...)
}

func (r *bundleReader) head() error {
	if err := r.signedList(false); err != nil {
		return err
	}
	return r.layout()
}

// signedList reads SHA256SUMS, its signature and bundle.json. When it is strict, a signature that is not trusted is an
// error, and nothing is read behind it.
func (r *bundleReader) signedList(strict bool) error {
	list, err := r.small(sumsFile, -1, maxBundleJSON)
	if err != nil {
		return err
	}
	signature, err := r.small(sumsSig, -1, maxSignature)
	if err != nil {
		return err
	}
	signer, err := bundleSigner(list, signature, r.operators)
	if err != nil {
		if strict {
			return err
		}
		r.doubts = append(r.doubts, err)
	}
	text, err := r.small(bundleFile, -1, maxBundleJSON)
	if err != nil {
		return err
	}
	b, err := parseBundle(text)
	if err != nil {
		return err
	}
	own := File{Path: bundleFile, Digest: digestOf(text)}
	if !bytes.Equal(list, sums(append([]File{own}, b.Files...))) {
		return fmt.Errorf("%s and %s list different files", sumsFile, bundleFile)
	}
	b.Digest, b.Signer = digestOf(list), signer
	r.bundle, r.rest = b, b.Files
	return nil
}

// layout reads the index, and the manifests and signatures behind it.
func (r *bundleReader) layout() error {
	if text, err := r.listed(layoutFile, 1024); err != nil || string(text) != layoutText {
		return cmpError(err, fmt.Errorf("%s is of another version", layoutFile))
	}
	text, err := r.listed(indexFile, maxHead)
	if err != nil {
		return err
	}
	h := head{blobs: map[Digest][]byte{}}
	if h.index, err = parseIndex(text); err != nil {
		return err
	}
	room := int64(maxHead)
	if err := r.headBlobs(&h, unique(slices.Clone(h.index.Manifests)), &room); err != nil {
		return err
	}
	inner, err := h.inner()
	if err != nil {
		return err
	}
	if err := r.headBlobs(&h, inner, &room); err != nil {
		return err
	}
	artifacts, doubts, err := h.artifacts(r.builders)
	if err != nil {
		return err
	}
	r.headBytes = h.blobs
	r.index, r.bundle.Artifacts, r.doubts = h.index, artifacts, append(r.doubts, doubts...)
	return r.complete(h)
}

func cmpError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func (r *bundleReader) headBlobs(h *head, blobs []descriptor, room *int64) error {
	for _, d := range blobs {
		if _, have := h.blobs[d.Digest]; have {
			continue
		}
		content, err := r.listed(blobsDir+d.Digest.Hex(), *room)
		if err != nil {
			return err
		}
		*room -= int64(len(content))
		h.blobs[d.Digest] = content
	}
	return nil
}

// complete checks that the rest of the list has exactly the files of the artifacts, each with its size.
func (r *bundleReader) complete(h head) error {
	want := map[Digest]int64{}
	names := map[string]Digest{}
	for _, a := range r.bundle.Artifacts {
		if other, twice := names[a.Manifest.Name()]; twice {
			return fmt.Errorf("%w: the bundle has %s as %s and as %s", ErrConflict, a.Manifest.Name(), other.Short(),
				a.Digest.Short())
		}
		names[a.Manifest.Name()] = a.Digest
		for _, d := range a.outer.Layers {
			if content, inHead := h.blobs[d.Digest]; !inHead || int64(len(content)) != d.Size {
				want[d.Digest] = d.Size
			}
		}
	}
	r.blobs = map[Digest]bool{}
	for _, f := range r.rest {
		if !strings.HasPrefix(f.Path, blobsDir) {
			continue
		}
		if size, named := want[f.Digest]; !named || size != f.Size {
			return fmt.Errorf("the blob %s belongs to no artifact of the bundle", f.Digest.Short())
		}
		r.blobs[f.Digest] = true
	}
	for d := range want {
		if !r.blobs[d] {
			return fmt.Errorf("the bundle lacks the blob %s, a file of an artifact in it", d.Short())
		}
	}
	return nil
}

// body hands out the files behind the head, each with its content. What take leaves unread is passed over.
func (r *bundleReader) body(take func(File, io.Reader) error) error {
	for _, f := range r.rest {
		if _, err := r.next(f.Path, f.Size, maxFile); err != nil {
			return err
		}
		if err := take(f, r.tar); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return r.end()
}

// maxTail bounds the zeros behind the end of a tar file.
const maxTail = 64 << 10

func (r *bundleReader) end() error {
	if h, err := r.tar.Next(); err == nil {
		return fmt.Errorf("the bundle has %.120q, which its list does not have", h.Name)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	tail, err := io.ReadAll(io.LimitReader(r.from, maxTail+1))
	if err != nil {
		return err
	}
	if len(tail) > maxTail || len(bytes.Trim(tail, "\x00")) > 0 {
		return errors.New("something follows behind the end of the bundle")
	}
	return nil
}
