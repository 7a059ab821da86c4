package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/testfeed"
	"github.com/skerry/skerry/rpc"
)

// TestStreamsAreShown: the streams of running processes are counted by both sides, and open ones are listed with
// their callers.
func TestStreamsAreShown(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = config.Service{Name: "feed", Version: "v7", Listen: "127.0.0.1:0"}
	c.Log.Level = "error"
	n, err := skerry.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	h := &testfeed.Handler{Hold: make(chan struct{})}
	if err := n.Handle(t.Context(), "feed", h.Processor()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "feed is listed", func() bool { return len(n.Explain("feed")) > 0 })
	eventually(t, "the command finds the process", func() bool {
		code, out, _ := cli(t, "", "stats", "--streams", "-c", cfg, "--timeout", patient)
		return code == exitProblem && strings.Contains(out, "No streams of any service were opened")
	})

	for _, count := range []int64{2, 0} {
		down, err := rpc.OpenServerStream(t.Context(), n.Client("feed"), "watch",
			&testfeed.FeedWatchArgs{R: &testfeed.Range{Count: count}},
			testfeed.NewFeedWatchResult())
		if err != nil {
			t.Fatal(err)
		}
		for range max(count, 3) {
			if _, err := down.Recv(t.Context()); err != nil {
				break
			}
		}
		t.Cleanup(down.Close)
	}

	var doc siteStreams
	eventually(t, "both are counted", func() bool {
		code, out, errs := cli(t, "", "stats", "feed", "--streams", "-c", cfg, "--json", "--timeout", patient)
		if code != exitOK || json.Unmarshal([]byte(out), &doc) != nil {
			t.Fatalf("exit code %d\n%s%s", code, out, errs)
		}
		return len(doc.Streams) == 2 && doc.Streams[0].Ended["ok"]+doc.Streams[1].Ended["ok"] == 2
	})
	for _, s := range doc.Streams {
		items, bytes := s.Received, s.ReceivedBytes
		if s.Served {
			items, bytes = s.Sent, s.SentBytes
		}
		if s.Service != "feed" || s.Version != "v7" || s.Method != "watch" || s.Mode != "server" || s.Open != 1 ||
			s.Opened != 2 || items != 5 || bytes == 0 || s.Peer == "" || s.Process == "" {
			t.Errorf("%+v", s)
		}
	}
	for _, show := range []struct {
		args string
		want []string
	}{
		{"stats --streams", []string{"SERVICE", "ITEMS OUT", "feed", "watch", "server", "client", "ok 1"}},
		{"ls --streams", []string{"PROVIDER", "CALLER", "feed", "v7", "watch", "127.0.0.1", "  1  "}},
	} {
		code, out, errs := cli(t, "", append(strings.Fields(show.args), "-c", cfg, "--timeout", patient)...)
		for _, want := range show.want {
			if code != exitOK || !strings.Contains(out, want) {
				t.Errorf("%s: exit code %d, without %q\n%s%s", show.args, code, want, out, errs)
			}
		}
	}
	code, out, errs := cli(t, "", "ls", "other", "--streams", "-c", cfg, "--timeout", patient)
	if code != exitProblem || !strings.Contains(out, "No stream of other is open") {
		t.Errorf("ls --streams of another service: exit code %d\n%s%s", code, out, errs)
	}
}
