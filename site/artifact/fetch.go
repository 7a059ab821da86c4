package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
)

// Neighbours give the blobs of other hosts.
type Neighbours interface {
	// Signatures returns the armored signatures that hosts have of an artifact. Nothing of them is proved.
	Signatures(ctx context.Context, d Digest) ([][]byte, error)
	// Small returns the whole content of a blob of at most so many bytes, which has the digest.
	Small(ctx context.Context, d Digest, most int64) ([]byte, error)
	// Fill puts all pieces of a blob.
	Fill(ctx context.Context, p *Part) error
}

// fetches is how many blobs are fetched at a time.
const fetches = 2

// piecesSuffix marks the file of a blob that is being fetched. Its pieces may be there in any order.
const piecesSuffix = ".pieces"

// Fetcher fetches artifacts from other hosts into a store, and gives away what has arrived. One process at a time has
// one for a store. Its methods may be called from any goroutine.
type Fetcher struct {
	s *Store

	mu    sync.Mutex
	parts map[Digest]*Part // that are being fetched, or have arrived and are not in the store's place yet
}

// NewFetcher makes the Fetcher of a store.
func NewFetcher(s *Store) *Fetcher { return &Fetcher{s: s, parts: map[Digest]*Part{}} }

// Fetch adds an artifact. A key that is trusted now must have signed it before anything but its manifest is fetched;
// the free space is checked before that, too. The store is as before until all of it is there. What has arrived is used
// by the next attempt.
func (f *Fetcher) Fetch(ctx context.Context, d Digest, builders *Signers, from Neighbours) error {
	if _, err := f.s.Get(d); err == nil {
		return nil
	}
	add := addition{}
	m, err := f.head(ctx, &add, d, builders, from)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", d.Short(), err)
	}
	blobs := layersOf(m)
	if err := f.room(ctx, m, blobs); err != nil {
		return fmt.Errorf("fetch %s: %w", m.Name(), err)
	}
	if err := f.fill(ctx, m, blobs, from); err != nil {
		return fmt.Errorf("fetch %s: %w", m.Name(), err)
	}
	add.blobs = append(add.blobs, blobs...)
	if err := f.s.commit(ctx, add); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range blobs {
		delete(f.parts, b.Digest)
	}
	return nil
}

// head fetches the manifests of an artifact, and checks that a trusted key has signed them.
func (f *Fetcher) head(ctx context.Context, add *addition, d Digest, builders *Signers, from Neighbours) (
	m Manifest, err error) {
	outer, err := from.Small(ctx, d, maxOCI)
	if err != nil {
		return m, err
	}
	signatures, err := f.trusted(ctx, d, outer, builders, from)
	if err != nil {
		return m, err
	}
	a := Artifact{Digest: d}
	if a.outer, err = parseOCI(outer, artifactType); err != nil {
		return m, err
	}
	if a.outer.Config.Size > maxManifest {
		return m, fmt.Errorf("the manifest has %d bytes, at most %d are taken", a.outer.Config.Size, maxManifest)
	}
	config, err := from.Small(ctx, a.outer.Config.Digest, a.outer.Config.Size)
	if err != nil {
		return m, err
	}
	if m, err = parseManifest(config); err != nil {
		return m, err
	}
	a.Manifest = m
	if err := a.agrees(); err != nil {
		return m, err
	}
	if err := f.unlike(d, m); err != nil {
		return m, err
	}
	if err := f.s.room(int64(len(outer)) + int64(len(config))); err != nil {
		return m, err
	}
	if _, err := f.s.putBytes(ctx, add, configType, config); err != nil {
		return m, err
	}
	entry, err := f.s.putBytes(ctx, add, manifestType, outer)
	if err != nil {
		return m, err
	}
	add.entries = append(add.entries, entryOf(entry, m))
	add.name(d, m)
	for _, armored := range signatures {
		if err := f.s.putSignature(ctx, add, entry, armored); err != nil {
			return m, err
		}
	}
	return m, nil
}

// unlike fails if the store has the version with other content.
func (f *Fetcher) unlike(d Digest, m Manifest) error {
	x, err := f.s.readIndex()
	if err != nil {
		return err
	}
	one := addition{}
	one.name(d, m)
	return f.s.checkConflicts(x, one)
}

// trusted returns the signatures of trusted keys.
func (f *Fetcher) trusted(ctx context.Context, d Digest, outer []byte, builders *Signers, from Neighbours) (
	good [][]byte, err error) {
	list, err := from.Signatures(ctx, d)
	if err != nil {
		return nil, err
	}
	var why []error
	for _, armored := range list {
		if len(armored) > maxSignature || len(good) == maxSignatures {
			continue
		}
		blob, err := sshsig.Dearmor(armored)
		if err != nil {
			why = append(why, err)
			continue
		}
		clean := sshsig.Armor(blob)
		if slices.ContainsFunc(good, func(g []byte) bool { return bytes.Equal(g, clean) }) {
			continue
		}
		if _, err := builders.check(sshsig.Artifact, outer, clean); err != nil {
			why = append(why, err)
			continue
		}
		good = append(good, clean)
	}
	if len(good) == 0 {
		return nil, fmt.Errorf("%w: of %d signatures that other hosts have none counts here: %w", ErrUntrusted,
			len(list), errors.Join(why[:min(len(why), 3)]...))
	}
	return good, nil
}

// room fails if the blobs that are not here would leave less than the floor.
func (f *Fetcher) room(ctx context.Context, m Manifest, blobs []descriptor) error {
	bytes := int64(0)
	for _, b := range blobs {
		if f.s.probablyHas(File{Digest: b.Digest, Size: b.Size}) {
			continue
		}
		if _, err := os.Lstat(f.s.ingestPath(b.Digest.Hex() + piecesSuffix)); err != nil {
			bytes += b.Size
			continue
		}
		p, err := f.part(ctx, m, b)
		if err != nil {
			return err
		}
		_, lacks := p.Progress()
		bytes += min(b.Size, int64(lacks)*PieceSize)
	}
	return f.s.room(bytes)
}

// fill fetches blobs, a few at a time.
func (f *Fetcher) fill(ctx context.Context, m Manifest, blobs []descriptor, from Neighbours) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	places := make(chan struct{}, fetches)
	for _, b := range blobs {
		places <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-places }()
			if err := f.fillOne(ctx, m, b, from); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

func (f *Fetcher) fillOne(ctx context.Context, m Manifest, b descriptor, from Neighbours) error {
	if f.s.has(ctx, b) {
		return nil
	}
	p, err := f.part(ctx, m, b)
	if err != nil {
		return err
	}
	if err := from.Fill(ctx, p); err != nil {
		return err
	}
	if err := p.finish(ctx); err != nil {
		f.mu.Lock()
		delete(f.parts, b.Digest)
		f.mu.Unlock()
		return err
	}
	return nil
}

// part opens the file of a blob that is being fetched, and looks which pieces are there.
func (f *Fetcher) part(ctx context.Context, m Manifest, b descriptor) (*Part, error) {
	f.mu.Lock()
	p := f.parts[b.Digest]
	f.mu.Unlock()
	if p != nil && !p.done() {
		return p, nil
	}
	i := slices.IndexFunc(m.Files, func(x File) bool { return x.Digest == b.Digest })
	p = &Part{digest: b.Digest, size: b.Size, pieces: m.Files[i].Pieces, path: f.s.ingestPath(b.Digest.Hex())}
	if len(p.pieces) == 0 {
		p.pieces = []Digest{b.Digest}
	}
	p.state = make([]byte, len(p.pieces))
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts[b.Digest] = p
	return p, nil
}

// Holding returns which pieces of a blob that is not in its place yet are here, and which are under way: the bit i of a
// set is the bit i%8 of its byte i/8. ok is false if the blob is not being fetched.
func (f *Fetcher) Holding(d Digest) (here, underWay []byte, ok bool) {
	f.mu.Lock()
	p := f.parts[d]
	f.mu.Unlock()
	if p == nil {
		return nil, nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	here, underWay = make([]byte, (len(p.state)+7)/8), make([]byte, (len(p.state)+7)/8)
	for i, s := range p.state {
		switch s {
		case pieceHere:
			here[i/8] |= 1 << (i % 8)
		case pieceTaken:
			underWay[i/8] |= 1 << (i % 8)
		}
	}
	return here, underWay, true
}

// Piece returns bytes of a blob that is not in its place yet, of pieces that are here.
func (f *Fetcher) Piece(d Digest, offset int64, length int) ([]byte, bool) {
	f.mu.Lock()
	p := f.parts[d]
	f.mu.Unlock()
	if p == nil || offset < 0 || length < 1 || offset > p.size || int64(length) > p.size-offset {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := offset / PieceSize; i <= (offset+int64(length)-1)/PieceSize; i++ {
		if p.state[i] != pieceHere {
			return nil, false
		}
	}
	file := p.f
	if file == nil {
		moved, err := statedir.OpenPlain(p.path)
		if err != nil {
			return nil, false
		}
		defer moved.Close()
		file = moved
	}
	content := make([]byte, length)
	_, err := file.ReadAt(content, offset)
	return content, err == nil
}

// Close ends what Fetch has left open. No Fetch may run.
func (f *Fetcher) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		p.close()
	}
	f.parts = map[Digest]*Part{}
}

const (
	pieceLacks = iota
	pieceTaken
	pieceHere
)

// Part is a blob that is being fetched, in pieces of [PieceSize]. Its methods may be called from any goroutine.
type Part struct {
	digest Digest
	size   int64
	pieces []Digest
	path   string // of the whole blob

	mu    sync.Mutex
	f     *os.File // nil: it is whole, and at its path
	state []byte   // of each piece
}

// open opens the file, and looks which pieces are there.
func (p *Part) open(ctx context.Context) error {
	f, err := statedir.Lock(p.path + piecesSuffix)
	if err != nil {
		return fmt.Errorf("the file of %s: %w", p.digest.Short(), full(err))
	}
	p.f = f
	if p.size == 0 {
		p.state[0] = pieceHere
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = p.recall(ctx)
	}
	if err == nil {
		err = full(f.Truncate(p.size))
	}
	if err != nil {
		f.Close()
	}
	return err
}

// recall finds the pieces of an attempt before.
func (p *Part) recall(ctx context.Context) error {
	content := make([]byte, min(PieceSize, p.size))
	for i := range p.pieces {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		offset, length := p.Place(i)
		if _, err := p.f.ReadAt(content[:length], offset); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if digestOf(content[:length]) == p.pieces[i] {
			p.state[i] = pieceHere
		}
	}
	return nil
}

// Digest is that of the blob.
func (p *Part) Digest() Digest { return p.digest }

// Place is where a piece lies.
func (p *Part) Place(i int) (offset int64, length int) {
	offset = int64(i) * PieceSize
	return offset, int(min(PieceSize, p.size-offset))
}

// Progress returns how many pieces are here, and how many are not.
func (p *Part) Progress() (here, lacks int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.state {
		if s == pieceHere {
			here++
		}
	}
	return here, len(p.state) - here
}

// Lacking returns the pieces that are neither here nor under way.
func (p *Part) Lacking() (all []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.state {
		if s == pieceLacks {
			all = append(all, i)
		}
	}
	return all
}

// Take notes that a piece is under way. It reports whether the piece was lacking.
func (p *Part) Take(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state[i] != pieceLacks {
		return false
	}
	p.state[i] = pieceTaken
	return true
}

// Drop notes that a piece is under way no more.
func (p *Part) Drop(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state[i] == pieceTaken {
		p.state[i] = pieceLacks
	}
}

// Put writes a piece. The error wraps [ErrDamaged] if it has another content than the manifest says.
func (p *Part) Put(i int, content []byte) error {
	offset, length := p.Place(i)
	if len(content) != length || digestOf(content) != p.pieces[i] {
		p.Drop(i)
		return fmt.Errorf("%w: piece %d of %s has other content than its manifest says", ErrDamaged, i,
			p.digest.Short())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.f == nil || p.state[i] == pieceHere {
		return nil
	}
	if _, err := p.f.WriteAt(content, offset); err != nil {
		p.state[i] = pieceLacks
		return full(err)
	}
	p.state[i] = pieceHere
	return nil
}

func (p *Part) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.f == nil
}

// finish proves the whole blob, and moves it where it is committed from.
func (p *Part) finish(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := full(p.f.Sync()); err != nil {
		return err
	}
	d := descriptor{Digest: p.digest, Size: p.size}
	if err := copyChecked(ctx, io.Discard, io.NewSectionReader(p.f, 0, p.size+1), d); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.f.Close()
		return errors.Join(fmt.Errorf("the pieces that the manifest names do not make its file: %w", err),
			os.Remove(p.path+piecesSuffix))
	}
	err := p.f.Close() // an open file can't be renamed on Windows
	p.f = nil
	if err != nil {
		return err
	}
	return os.Rename(p.path+piecesSuffix, p.path)
}

func (p *Part) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.f != nil {
		p.f.Close()
		p.f = nil
	}
}
