package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/testfeed"
	"github.com/skerry/skerry/rpc"
)

// serveFeed serves a feed. It returns what begins a command line that calls it.
func serveFeed(t *testing.T, h *testfeed.Handler) []string {
	t.Helper()
	server, err := rpc.NewServer(rpc.ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Handle("feed", "v7", h.Processor()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := run.NewGroup(context.Background())
	g.Go(func(ctx context.Context) error { return server.Serve(ctx, l) })
	t.Cleanup(func() { g.Stop() })
	idl := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(testdata))), testfeed.IDL)
	return []string{"call", "feed", "--thrift", idl, "--instance", l.Addr().String()}
}

func TestCallStreams(t *testing.T) {
	h := &testfeed.Handler{Text: "<&>"}
	base := serveFeed(t, h)
	for _, test := range []struct {
		name, stdin string
		args        []string
		code        int
		out, errs   string // out is the whole output
	}{
		{"server", "", []string{"watch", `{"since":4,"count":2}`}, exitOK,
			"{\"t\":5,\"text\":\"<&>\"}\n{\"t\":6,\"text\":\"<&>\"}\n", "2 items feed v7"},
		{"limit", "", []string{"watch", `{"since":0,"count":0}`, "--limit", "1"}, exitOK,
			"{\"t\":1,\"text\":\"<&>\"}\n", "1 item feed v7"},
		{"declared exception", "", []string{"watch", `{"since":0,"count":-9}`}, exitProblem,
			"{\"t\":1,\"text\":\"<&>\"}\n", `feed.watch threw Gone {"oldest":9}`},
		{"no items go up", "", []string{"watch", `{}`, `{}`}, exitUsage, "", "no items"},
		{"client", "{\"t\":1}\n\n  {\"t\":9}\n{\"t\":3}", []string{"upload", `{"tag":"a"}`}, exitOK,
			"{\n  \"points\": 3,\n  \"last\": 3,\n  \"tag\": \"a\"\n}\n", "feed v7"},
		{"items as arguments", "", []string{"upload", "{}", `{"t":1}`, `{"t":2}`}, exitOK,
			"{\n  \"points\": 2,\n  \"last\": 2,\n  \"tag\": \"\"\n}\n", ""},
		{"wrong item", "{\"t\":1}\n{\"t\":\"x\"}\n", []string{"upload"}, exitUsage, "",
			`standard input, line 2: does not fit the .thrift file: $.t: want i64, have the string "x"`},
		{"wrong argument", "", []string{"upload", "{}", `[]`}, exitUsage, "", "item 1: "},
		{"thrown at an item", "", []string{"upload", "{}", `{"t":1,"text":"gone"}`}, exitProblem, "",
			`threw Gone {"oldest":1}`},
		{"stdin twice", "{}", []string{"upload", "-"}, exitUsage, "", "come on stdin"},
		{"limit of none", "", []string{"upload", "{}", "{}", "--limit", "1"}, exitUsage, "", "--limit is for"},
		{"bidi", "{\"t\":1,\"text\":\"a\"}\n{\"t\":2,\"text\":\"b\"}\n", []string{"talk"}, exitOK,
			"{\"t\":1,\"text\":\"A\"}\n{\"t\":2,\"text\":\"B\"}\n", "2 items feed v7"},
		{"wrong item of bidi", "nonsense\n", []string{"talk"}, exitUsage, "", "standard input, line 1: "},
		{"bidi ends with an exception", "{\"t\":5,\"text\":\"gone\"}\n", []string{"talk"}, exitProblem, "",
			`feed.talk threw Gone {"oldest":5}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errs := cli(t, test.stdin, append(base[:len(base):len(base)], test.args...)...)
			if code != test.code || out != test.out || !strings.Contains(errs, test.errs) {
				t.Errorf("exit code %d, want %d\nstdout %s\nstderr %s", code, test.code, out, errs)
			}
		})
	}
	settledFeed(t, h)
}

// settledFeed waits until no handler runs.
func settledFeed(t *testing.T, h *testfeed.Handler) {
	t.Helper()
	for end := time.Now().Add(limit); h.Running.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d handlers still run", h.Running.Load())
		}
	}
}

// Items are printed as they come. Ctrl-C ends the stream, the handler and the command, with the exit code 0; also while
// the command waits for standard input.
func TestCallStreamEndsByCtrlC(t *testing.T) {
	h := &testfeed.Handler{Hold: make(chan struct{})}
	base := serveFeed(t, h)
	silent, _ := io.Pipe()
	for _, args := range [][]string{{"watch", "{}"}, {"upload", "{}"}, {"talk"}} {
		ctx, cancel := context.WithCancel(t.Context())
		read, write := io.Pipe()
		ended := make(chan int, 1)
		var errs bytes.Buffer
		go func() {
			code := execute(ctx, append(base[:len(base):len(base)], append(args, "--timeout", patient)...), silent,
				write, &errs)
			write.Close()
			ended <- code
		}()
		if args[0] == "watch" {
			for n := range 3 {
				var line string
				if _, err := fmt.Fscanln(read, &line); err != nil || !strings.Contains(line, fmt.Sprint(n+1)) {
					t.Fatalf("%q, %v\n%s", line, err, errs.String())
				}
			}
		} else {
			for end := time.Now().Add(limit); h.Running.Load() == 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
		if rest, err := io.ReadAll(read); len(rest) > 0 || err != nil {
			t.Errorf("%v: after the end: %q, %v", args, rest, err)
		}
		if code := <-ended; code != exitOK {
			t.Errorf("%v: exit code %d\n%s", args, code, errs.String())
		}
		settledFeed(t, h)
	}
}

// A provider that ends an upload ends the command, though no further item comes on standard input.
func TestCallStreamEndsWithTheProvider(t *testing.T) {
	base := serveFeed(t, &testfeed.Handler{})
	read, write := io.Pipe()
	defer write.Close()
	go fmt.Fprintln(write, `{"t":1,"text":"gone"}`)
	var out, errs bytes.Buffer
	code := execute(t.Context(), append(base[:len(base):len(base)], "upload", "--timeout", patient), read, &out, &errs)
	if code != exitProblem || !strings.Contains(errs.String(), `threw Gone {"oldest":1}`) {
		t.Errorf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
}
