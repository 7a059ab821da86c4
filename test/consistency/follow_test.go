//go:build linux

package consistency

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/test/consistency/hop"
)

// tickEvery is the time between two bundles of a stream of numbers.
const (
	tickEvery = 20 * time.Millisecond
	bundle    = 10
)

// feed serves numbers as a stream, until SIGTERM or until its version has ended.
func feed(ctx context.Context, p part, out *lines) error {
	node, err := skerry.OpenFile(ctx, p.Config)
	if err != nil {
		return err
	}
	defer node.Close()
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now()})
	ticks := func(ctx context.Context, a *hop.FeedTicksArgs, out rpc.Sender[int64]) error {
		for n := a.Since; ctx.Err() == nil; pause(ctx, tickEvery) {
			for range bundle {
				n++
				if err := out.Send(ctx, n); err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	}
	return node.Serve(ctx, p.Service, rpc.NewStreamProcessor(nil, rpc.ServerStreamMethod("ticks",
		hop.NewFeedTicksArgs, ticks, func(n int64) thrift.TStruct { return &hop.FeedTicksResult{Success: &n} })))
}

// follow follows feeds until SIGTERM. It notes twice a second how far the slowest subscription is. A number that does
// not come once and in order ends the process with an error.
func follow(ctx context.Context, p part, out *lines) error {
	node, err := skerry.OpenFile(ctx, p.Config)
	if err != nil {
		return err
	}
	defer node.Close()
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now()})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	at := make([]atomic.Int64, p.Workers)
	var all sync.WaitGroup
	for i := range at {
		all.Go(func() {
			sub := skerry.Follow(ctx, node, "feed", "ticks", hop.NewFeedTicksArgs(), hop.NewFeedTicksResult,
				func(n int64, a *hop.FeedTicksArgs) { a.Since = n })
			for n, err := range sub.All(ctx) {
				switch want := at[i].Load() + 1; {
				case ctx.Err() != nil:
					return
				case err != nil:
					cancel(fmt.Errorf("subscription %d: %w", i, err))
				case n != want:
					cancel(fmt.Errorf("subscription %d got %d, not %d", i, n, want))
				}
				at[i].Store(n)
			}
		})
	}
	for ctx.Err() == nil {
		pause(ctx, 500*time.Millisecond)
		least, sum := at[0].Load(), int64(0)
		for i := range at {
			least, sum = min(least, at[i].Load()), sum+at[i].Load()
		}
		out.note(note{Kind: asked, At: time.Now(), Key: fmt.Sprint(least), Text: fmt.Sprint(sum)})
	}
	all.Wait()
	if err := context.Cause(ctx); err != ctx.Err() {
		return err
	}
	return nil
}

// hold opens one stream of feed, which nothing opens again, and notes how it has ended.
func hold(ctx context.Context, p part, out *lines) error {
	node, err := skerry.OpenFile(ctx, p.Config)
	if err != nil {
		return err
	}
	defer node.Close()
	job, end := node.Begin(ctx, p.Name)
	st, err := rpc.OpenServerStream(job, node.Client("feed"), "ticks", hop.NewFeedTicksArgs(), hop.NewFeedTicksResult())
	end()
	if err != nil {
		return err
	}
	out.note(note{Kind: ready, PID: os.Getpid(), At: time.Now()})
	for _, err = range st.All(ctx) {
	}
	if ctx.Err() == nil {
		out.note(note{Kind: asked, At: time.Now(), Text: rpc.CodeOf(err).String()})
	}
	<-ctx.Done()
	return nil
}

// TestCleanCutsStreams: a stream that does not move holds a drain back and is named, until an operator has it cut.
func TestCleanCutsStreams(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, onTheLAN)
	serve := func(host int, version string) *process {
		return s.start(host, part{Role: "feed", Name: "feed-" + version, Service: "feed", Version: version},
			how{extra: fmt.Sprintf("service: {name: feed, version: %s, listen: \":0\"}\n", version)})
	}
	old := serve(1, "v1")
	s.start(0, part{Role: "hold", Name: "holder"}, how{})
	s.open("ann")
	serve(2, "v2")
	s.ship("feed", "v2")
	s.release("commit")
	const held = "executes 1 call of feed, among them 1 stream (ticks)"
	s.await("the stream is named", func() bool { return strings.Contains(s.release("holders"), held) })
	waits := s.operator(0, "clean")
	waits.says(held)
	waits.Kill()
	if ended := s.book.of(asked, named("holder")); len(ended) > 0 {
		t.Errorf("the stream has ended by itself: %+v", ended)
	}
	s.release("clean", "--cut-streams")
	old.gone()
	s.await("the stream is cut", func() bool { return len(s.book.of(asked, named("holder"))) > 0 })
	if how := s.book.of(asked, named("holder"))[0].Text; how != rpc.Moved.String() {
		t.Errorf("the stream ended with %s", how)
	}
}

// ticked returns how many numbers have come, of the slowest subscription and of all.
func (s *site) ticked() (least, sum int) {
	s.t.Helper()
	notes := s.book.of(asked, named("follower"))
	if len(notes) == 0 {
		return 0, 0
	}
	last := notes[len(notes)-1]
	least, err := strconv.Atoi(last.Key)
	must(s.t, err)
	sum, err = strconv.Atoi(last.Text)
	must(s.t, err)
	return least, sum
}

// flows waits until every subscription has got more numbers.
func (s *site) flows() {
	s.t.Helper()
	before, _ := s.ticked()
	s.await("every subscription goes on", func() bool {
		now, _ := s.ticked()
		return now > before+3*bundle || !s.book.over("follower").IsZero()
	})
	if !s.book.over("follower").IsZero() {
		s.t.Fatal("the follower has ended")
	}
}

// TestFollowThroughReleases: subscriptions live through rolling restarts, kill -9, a ramp, a rollback and a release.
// Every number comes once and in order. Nothing is cut within the grace of an hour, so a drain that ends shows that all
// have moved.
func TestFollowThroughReleases(t *testing.T) {
	t.Parallel()
	t.Run("LAN", func(t *testing.T) {
		t.Parallel()
		followReleases(newSite(t, 3, onTheLAN))
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		s, _ := onDatabase(t, 3, "database", pgtest.Options{})
		followReleases(s)
	})
}

func followReleases(s *site) {
	t := s.t
	t.Helper()
	number := 0
	start := func(host int, version string) *process {
		number++
		return s.start(host, part{Role: "feed", Name: fmt.Sprintf("feed-%s-%d", version, number), Service: "feed",
			Version: version}, how{extra: fmt.Sprintf(
			"service: {name: feed, version: %s, listen: \":0\"}\n", version)})
	}
	s.lines = withGrace(s.lines, "1h")
	old := []*process{start(1, "v1"), start(2, "v1")}
	s.start(0, part{Role: "follow", Name: "follower", Workers: 10}, how{})
	s.flows()
	for i, p := range old { // a rolling restart
		next := start(p.host, "v1")
		p.stop()
		old[i] = next
		s.flows()
	}
	old = append(old, start(1, "v1"))
	old[0].Kill()
	s.flows()

	s.open("ann")
	second := []*process{start(1, "v2"), start(2, "v2")}
	s.ship("feed", "v2")
	ramp := s.operator(0, "commit", "--ramp", "50,100", "--every", "1h")
	ramp.says("50%")
	s.flows()
	ramp.Kill()
	s.release("rollback")
	s.release("clean")
	for _, p := range second {
		p.gone()
	}
	s.flows()

	s.open("bob")
	third := []*process{start(1, "v3"), start(2, "v3")}
	s.ship("feed", "v3")
	s.release("commit", "--ramp", "30,100", "--every", "1s")
	s.release("clean")
	for _, p := range old[1:] {
		p.gone()
	}
	s.flows()
	third[0].freeze() // a host that hangs
	s.flows()
	third[0].thaw()
	_, sum := s.ticked()
	t.Logf("%d numbers", sum)
}

// withGrace returns the lines with rollout.stream_grace.
func withGrace(lines, grace string) string {
	return strings.Replace(lines, "rollout: {", "rollout: {stream_grace: "+grace+", ", 1)
}
