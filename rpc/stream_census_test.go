package rpc

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// TestStreamsAreCounted: both ends tell what was opened, how it ended, what has passed, and what is open.
func TestStreamsAreCounted(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	ctx := t.Context()
	for _, count := range []int64{5, 7, -1, -2} {
		down, err := openWatch(ctx, tc, 0, count)
		if err != nil {
			t.Fatal(err)
		}
		for _, err = range down.All(ctx) {
		}
		<-down.Done()
		if declared := new(echo.Refusal); count < 0 && err == nil || count == -1 && !errors.As(err, &declared) {
			t.Fatalf("watch %d ended with %v", count, err)
		}
	}
	up, err := openUpload(ctx, tc, "tag")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := up.Send(ctx, message(n)); err != nil {
			t.Fatal(err)
		}
	}
	for what, streams := range map[string]func() []StreamCount{"server": s.Streams, "client": c.Streams} {
		eventually(t, what+": all is counted", func() bool { // the last end may be under way
			list := streams()
			if len(list) != 2 {
				return false
			}
			upload, watch := list[0], list[1] // open ones come first
			items, bytes := watch.Sent, watch.SentBytes
			if what == "client" {
				items, bytes = watch.Received, watch.ReceivedBytes
			}
			got, gotBytes := upload.Received, upload.ReceivedBytes
			if what == "client" {
				got, gotBytes = upload.Sent, upload.SentBytes
			}
			return upload.Method == "upload" && upload.Mode == ClientMode && upload.Open == 1 && upload.Opened == 1 &&
				upload.Oldest > 0 && got == 3 && gotBytes > 3*8 && len(upload.Ended) == 0 && upload.Peer != "" &&
				watch.Method == "watch" && watch.Open == 0 && watch.Opened == 4 && items == 12 && bytes > 12*8 &&
				maps.Equal(watch.Ended, map[string]int64{"ok": 3, "handler_panicked": 1})
		})
	}
	select {
	case <-up.Done():
		t.Error("an open stream is done")
	default:
	}
	up.Close()
	<-up.Done()
	eventually(t, "the canceled upload is counted", func() bool {
		return s.Streams()[0].Ended["canceled"] == 1 && c.Streams()[0].Ended["canceled"] == 1
	})
}

// TestStreamCensusIsBounded: other ends beyond a number are counted together.
func TestStreamCensusIsBounded(t *testing.T) {
	var c streamCensus
	kind := streamKind{service: "feed", method: "watch"}
	for n := range 2 * mostPeers {
		kind.peer, kind.version = string(rune('0'+n)), strings.Repeat("v", n)
		s := &stream{}
		c.begin(s, kind)
		c.end(s, endedWell)
		c.end(s, "twice")
	}
	counts, opened := c.counts(), int64(0)
	for _, n := range counts {
		opened += n.Opened
		if n.Ended[endedWell] != n.Opened || len(n.Version) > 256 {
			t.Fatalf("%+v", n)
		}
	}
	if len(counts) != mostPeers+1 || opened != 2*mostPeers {
		t.Errorf("%d rows, %d streams", len(counts), opened)
	}
}
