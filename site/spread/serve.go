package spread

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
)

const (
	uploads      = 4    // pieces that are served at a time
	mostDigests  = 1000 // of one question
	mostHoldings = 16   // of one question
	statusAge    = 500 * time.Millisecond
	usedAge      = time.Minute
)

// server is the service of one agent. Its callers are processes of the site, and may be hostile.
type server struct {
	a      *agent.Agent
	f      *artifact.Fetcher
	logs   logs
	places chan struct{} // of uploads
	pace   *pace
	status cached[*agentwire.Status]
	used   cached[int64]
}

func newServer(a *agent.Agent, f *artifact.Fetcher, rate int64) *server {
	s := &server{a: a, f: f, places: make(chan struct{}, uploads), pace: &pace{rate: rate}}
	s.status = cached[*agentwire.Status]{age: statusAge, make: s.look}
	s.used = cached[int64]{age: usedAge, make: func(context.Context) (int64, error) { return a.Store().Used() }}
	return s
}

// refuse answers that something is not done.
func refuse(format string, args ...any) error {
	return &agentwire.Refused{Reason: cut(fmt.Sprintf(format, args...))}
}

func busy(reason string) error { return &agentwire.Refused{Reason: reason, Busy: new(true)} }

// Status implements agentwire.Agent.
func (s *server) Status(ctx context.Context) (*agentwire.Status, error) { return s.status.get(ctx) }

func (s *server) look(ctx context.Context) (*agentwire.Status, error) {
	r, err := agent.Look(ctx, s.a.Config().Dir)
	if err != nil {
		return nil, err
	}
	w := wireStatus(r)
	w.Labels = s.a.Config().Labels
	w.Platform, w.Version = runtime.GOOS+"/"+runtime.GOARCH, membership.Release()
	if now, _ := s.a.Plan(); now.Number > 0 {
		w.Plan, w.PlanDigest = now.Number, new(string(now.Digest()))
	}
	if used, err := s.used.get(ctx); err == nil {
		w.StoreUsed = &used
	}
	if free, err := s.a.Store().Room(); err == nil {
		w.StoreFree = &free
	}
	return w, nil
}

// Plan implements agentwire.Agent.
func (s *server) Plan(_ context.Context, above int64) (*agentwire.SignedPlan, error) {
	now, rival := s.a.Plan()
	w := &agentwire.SignedPlan{Number: now.Number}
	if now.Number == 0 {
		return w, nil
	}
	w.Digest = new(string(now.Digest()))
	if rival != nil {
		w.Conflict = new("another plan with this number is signed, too")
	}
	if now.Number <= above {
		return w, nil
	}
	fill(w, now)
	if rival != nil {
		w.OtherDocument, w.OtherSignature = rival.Text, rival.Signature
	}
	return w, nil
}

func fill(w *agentwire.SignedPlan, p agent.SignedPlan) {
	w.Document, w.Signature, w.SignedBy, w.TakenAt = p.Text, p.Signature, &p.By, micros(p.At)
}

// Offer implements agentwire.Agent.
func (s *server) Offer(_ context.Context, w *agentwire.SignedPlan) error {
	if w == nil {
		return refuse("no plan is given")
	}
	if err := s.a.Offer(w.Document, w.Signature); err != nil {
		return refuse("%v", err)
	}
	return nil
}

// History implements agentwire.Agent.
func (s *server) History(_ context.Context, before int64) ([]*agentwire.SignedPlan, error) {
	all := []*agentwire.SignedPlan{}
	list, err := s.a.History(before)
	for _, p := range list {
		w := &agentwire.SignedPlan{Number: p.Number, Digest: new(string(p.Digest()))}
		fill(w, p)
		all = append(all, w)
	}
	return all, err
}

// Have implements agentwire.Agent.
func (s *server) Have(_ context.Context, digests []string) (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, d := range digests[:min(len(digests), mostDigests)] {
		if size, err := s.sizeOf(d); err == nil {
			sizes[d] = size
		}
	}
	return sizes, nil
}

// sizeOf is the size of a blob that the store has whole.
func (s *server) sizeOf(digest string) (int64, error) {
	f, err := s.a.Store().Blob(artifact.Digest(digest))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Holdings implements agentwire.Agent.
func (s *server) Holdings(_ context.Context, digests []string) (map[string]*agentwire.Holding, error) {
	all := map[string]*agentwire.Holding{}
	for _, d := range digests[:min(len(digests), mostHoldings)] {
		if size, err := s.sizeOf(d); err == nil {
			all[d] = &agentwire.Holding{Whole: true, Size: &size}
			continue
		}
		if pieces, underWay, ok := s.f.Holding(artifact.Digest(d)); ok {
			all[d] = &agentwire.Holding{Pieces: pieces, UnderWay: underWay}
		}
	}
	return all, nil
}

// Signatures implements agentwire.Agent.
func (s *server) Signatures(_ context.Context, digest string) ([][]byte, error) {
	d, err := artifact.ParseDigest(digest)
	if err != nil {
		return [][]byte{}, nil
	}
	list, err := s.a.Store().Signatures(d)
	if err != nil || list == nil {
		return [][]byte{}, nil
	}
	return list, nil
}

// Piece implements agentwire.Agent.
func (s *server) Piece(ctx context.Context, digest string, offset int64, length int32) ([]byte, error) {
	d, err := artifact.ParseDigest(digest)
	if err != nil {
		return nil, refuse("%v", err)
	}
	if offset < 0 || length < 1 || length > artifact.PieceSize {
		return nil, refuse("%d bytes from %d on: a piece has 1 to %d bytes", length, offset, artifact.PieceSize)
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		return nil, busy("it serves as many pieces as it may")
	}
	content, err := s.read(d, offset, int(length))
	if err != nil {
		return nil, err
	}
	return content, s.pace.wait(ctx, len(content))
}

// read reads a part of a blob of the store, or of one that is being fetched.
func (s *server) read(d artifact.Digest, offset int64, length int) ([]byte, error) {
	f, err := s.a.Store().Blob(d)
	if errors.Is(err, fs.ErrNotExist) {
		content, ok := s.f.Piece(d, offset, length)
		if !ok {
			return nil, refuse("this host does not have these bytes of %s", d)
		}
		return content, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAt(f, offset, length)
}

func readAt(f *os.File, offset int64, length int) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if offset > info.Size() || int64(length) > info.Size()-offset {
		return nil, refuse("%d bytes from %d on are asked for, and the blob has %d", length, offset, info.Size())
	}
	content := make([]byte, length)
	_, err = f.ReadAt(content, offset)
	return content, err
}

// Log implements agentwire.Agent.
func (s *server) Log(ctx context.Context, instance string, cursor int64, lines, waitMS int32) (
	*agentwire.LogPage, error) {
	dir, err := agent.Find(s.a.Config().Dir, instance)
	if err != nil {
		return nil, refuse("%v", err)
	}
	wait := time.Duration(max(0, waitMS)) * time.Millisecond
	page, err := s.logs.follow(ctx, dir, cursor, int(lines), wait)
	if page != nil && page.Text == nil {
		page.Text = []byte{}
	}
	return page, err
}
