package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/testfeed"
	"github.com/skerry/skerry/rpc"
)

// inFeed runs a test in a world with a gateway in front of a feed. All connections are pipes.
func inFeed(t *testing.T, h *testfeed.Handler, play func(w *world), edits ...func(*Config)) {
	discard := slog.New(slog.DiscardHandler)
	serve := func(w *world) {
		feed := newPipes()
		s, err := rpc.NewServer(rpc.ServerConfig{Logger: discard})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Handle("feed", "v1", h.Processor()); err != nil {
			t.Fatal(err)
		}
		c, err := rpc.NewClient(rpc.ClientConfig{
			Logger:   discard,
			Resolver: rpc.Static(&rpc.Endpoint{ID: "feed/1", Service: "feed", Addr: "10.0.0.8:7001"}),
			Dial:     func(context.Context, string) (net.Conn, error) { return feed.dial("10.0.0.9") },
		})
		if err != nil {
			t.Fatal(err)
		}
		if w.client, err = c.Service("feed", rpc.ServiceOptions{}); err != nil {
			t.Fatal(err)
		}
		group := run.NewGroup(w.t.Context())
		group.Go(func(ctx context.Context) error { return s.Serve(ctx, feed) })
		w.end = func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := group.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	route := func(c *Config) {
		c.Routes = []config.Route{{Path: "/feed", Service: "feed", Thrift: "../" + testfeed.IDL}}
	}
	inWorldOf(t, serve, sayHello, func(w *world) {
		defer w.end()
		play(w)
		time.Sleep(time.Second)
		if n := h.Running.Load(); n != 0 {
			t.Errorf("%d handlers run at the end", n)
		}
	}, append(edits, route)...)
}

// TestWebSocketWithoutPongs: a client that answers no ping for 75 s loses its WebSocket and ends the handler. One that
// answers them keeps both, without a message.
func TestWebSocketWithoutPongs(t *testing.T) {
	for name, answers := range map[string]bool{"silent": false, "answers pings": true} {
		t.Run(name, func(t *testing.T) {
			h := &testfeed.Handler{}
			inFeed(t, h, func(w *world) {
				user := w.connect("10.0.0.1")
				defer user.Close()
				fmt.Fprint(user, "GET /feed/talk HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
					"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
				in := bufio.NewReader(user)
				answer, err := http.ReadResponse(in, nil)
				if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
					t.Fatal(answer, err)
				}
				begun, ended, pings := time.Now(), time.Duration(0), 0
				go func() {
					for {
						var head [2]byte
						if _, err := io.ReadFull(in, head[:]); err != nil {
							ended = time.Since(begun)
							return
						}
						if _, err := in.Discard(int(head[1])); err != nil {
							continue
						}
						if head[0] == 0x89 { // a ping
							pings++
							if answers {
								_, _ = io.WriteString(user, "\x8a\x80abcd")
							}
						}
					}
				}()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if answers {
					if ended != 0 || pings != 40 || h.Running.Load() != 1 {
						t.Errorf("ended after %v, with %d pings and %d handlers", ended, pings, h.Running.Load())
					}
					user.Close()
					synctest.Wait()
					return
				}
				if ended != 75*time.Second || h.Running.Load() != 0 {
					t.Errorf("ended after %v, with %d handlers", ended, h.Running.Load())
				}
			})
		})
	}
}

// TestReaderThatSleeps: a reader that takes nothing is cut off after body_idle. Where that is longer than the minute of
// a provider, the provider ends the stream, and the reader is told why behind the items that were under way.
func TestReaderThatSleeps(t *testing.T) {
	for _, c := range []struct {
		idle time.Duration
		end  string
	}{{30 * time.Second, ""}, {time.Hour, "slow_reader"}} {
		t.Run(c.idle.String(), func(t *testing.T) {
			h := &testfeed.Handler{Text: strings.Repeat("x", 1000)}
			inFeed(t, h, func(w *world) {
				user := w.connect("10.0.0.1")
				defer user.Close()
				fmt.Fprint(user, "POST /feed/watch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+
					"Content-Length: 2\r\n\r\n{}")
				in := bufio.NewReader(user)
				answer, err := http.ReadResponse(in, nil)
				if err != nil || answer.StatusCode != http.StatusOK {
					t.Fatal(answer, err)
				}
				time.Sleep(min(c.idle, time.Minute) - 2*time.Second)
				if n := h.Running.Load(); n != 1 {
					t.Fatalf("before its time is over %d handlers run", n)
				}
				sent := h.Sent.Load()
				time.Sleep(10 * time.Second)
				if n := h.Running.Load(); n != 0 || h.Sent.Load() != sent {
					t.Errorf("%d handlers run; %d points were sent, then %d", n, sent, h.Sent.Load())
				}
				body, err := io.ReadAll(answer.Body)
				if told := strings.Contains(string(body), `"code":"`+c.end+`"`); told != (c.end != "") {
					t.Errorf("the reader is told %.300s, %v", body[max(0, len(body)-300):], err)
				}
				if (err == nil) != (c.end != "") || answer.Trailer.Get(headerEnd) != c.end {
					t.Errorf("it ends with %v and %v", err, answer.Trailer)
				}
			}, func(cfg *Config) { cfg.BodyIdle = c.idle })
		})
	}
}
