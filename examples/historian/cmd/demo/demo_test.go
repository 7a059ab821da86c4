package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/internal/testsite"
)

// TestDemo runs the demo with real processes, and beside it the clients that it names: one in Python by pages, one in
// Go that talks, and one that reads the events of the gateway. console/e2e opens the page in a browser.
func TestDemo(t *testing.T) {
	bin, err := testsite.Programs("./cmd/skerry", "./examples/historian/cmd/historian",
		"./examples/historian/cmd/sensors")
	if err != nil {
		t.Fatal(err)
	}
	python, err := filepath.Abs("../../../../.build/venv/bin/python")
	if err == nil {
		_, err = os.Stat(python)
	}
	if err != nil {
		t.Fatalf("%v: run scripts/setup", err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	said, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- out.CloseWithError(run(ctx, bin, "../../historian.thrift", out)) }()
	lines := bufio.NewReader(said)
	find := func(pattern string) string {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("in place of %s: %v", pattern, err)
			}
			if found := regexp.MustCompile(pattern).FindStringSubmatch(line); found != nil {
				return found[1]
			}
		}
	}
	page := find(`The page: +(\S+)`)
	addr := find(`--addr (\S+) watch`)
	talk := strings.Fields(find(`A client in Go: +(.*)\n`))
	find(`(pressure +\d\.\d\d)`)
	find(`(level +\d\.\d\d)`)
	go io.Copy(io.Discard, lines)

	client := func(args ...string) string {
		t.Helper()
		args = append([]string{"../../python/client.py", "--addr", addr}, args...)
		text, err := exec.CommandContext(ctx, python, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("client.py %v: %v\n%s", args, err, text)
		}
		return string(text)
	}
	if text := client("upload", "python", "1.5", "2.5"); text != "python: 2 values are kept\n" {
		t.Errorf("Python's upload prints %q", text)
	}
	if text := client("watch", "--count", "2", "--since", "0", "python"); strings.Count(text, " python ") != 2 ||
		!strings.HasSuffix(text, " python 2.50\n") {
		t.Errorf("Python's watch of what is kept prints %q", text)
	}
	if text := client("watch", "--count", "3", "pressure"); strings.Count(text, " pressure ") != 3 {
		t.Errorf("Python's watch of what comes prints %q", text)
	}
	wantEvents(t, page)
	text, err := exec.CommandContext(ctx, talk[0], talk[1:]...).CombinedOutput()
	if err != nil || !regexp.MustCompile(` pressure +\d\.\d\d\n.* level +\d\.\d\d\n$`).Match(text) {
		t.Errorf("%v prints %s, %v", talk, text, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the demo ends with %v", err)
	}
}

// wantEvents reads the events that the page shows, and resumes them as a browser does.
func wantEvents(t *testing.T, page string) {
	t.Helper()
	var last string
	for range 2 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			page+"historian/watch?args="+url.QueryEscape(`{"r":{"tags":["python"]}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		if last != "" {
			r.Header.Set("Last-Event-ID", last)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		events := bufio.NewReader(answer.Body)
		id, _ := events.ReadString('\n')
		data, err := events.ReadString('\n')
		answer.Body.Close()
		var p api.Point
		if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &p); err != nil {
			t.Fatalf("%s%s: %v", id, data, err)
		}
		want := 1.5
		if last != "" {
			want = 2.5
		}
		last = strings.TrimSpace(strings.TrimPrefix(id, "id: "))
		if p.Tag != "python" || p.Value != want || last == "" || err != nil {
			t.Errorf("behind %q: %s%s, %v", last, id, data, err)
		}
	}
}
