//go:build browser

package gateway_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/rollout"
)

// browserPage shows its own version, the version that answered its fetch, and the version of its
// WebSocket. It reads a fragment as a verifier's mark.
const browserPage = `<!doctype html><meta charset="utf-8"><title>%[1]s</title>
<body style="font: 40px sans-serif; background: %[2]s; color: white; padding: 1em">
<p>page: <b id="page">%[1]s</b><p>fetch: <b id="fetch"></b><p>WebSocket: <b id="socket"></b>
<p style="font-size: 20px">cookie: <span id="cookie"></span>
<img src="/late" hidden>
<script>
if (location.hash) {
  document.cookie = "%[3]s=" + location.hash.slice(1) + "; path=/"
  location.replace("/")
} else {
  const show = (id, text) => document.getElementById(id).textContent = text
  show("cookie", document.cookie)
  fetch("/who").then(r => r.text()).then(text => show("fetch", text))
  const s = new WebSocket("ws://" + location.host + "/socket")
  s.onmessage = e => show("socket", e.data)
}
</script>`

// version is a web service that shows its version by a colour.
func version(v, colour string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, browserPage, html.EscapeString(v), colour, gateway.PreviewCookie)
	})
	mux.Handle("/who", says(v))
	mux.HandleFunc("/late", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }) // loads late
	mux.Handle("/socket", websocket.Handler(func(c *websocket.Conn) {
		_ = websocket.Message.Send(c, v)
		_, _ = c.Read(make([]byte, 1)) // until the page is gone
	}))
	return mux
}

// TestBrowser opens a site under release in a real Chromium. With the verifier's cookie, all
// requests of the page meet the version under test; without it, none does. Pictures are kept in
// $BROWSER_PICTURES.
//
//	go test -tags browser -run TestBrowser ./gateway
func TestBrowser(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "v1", gateway.Join(s.node, "web", "v1", version("v1", "seagreen")))
	s.web(s.node, "v2", gateway.Join(s.node, "web", "v2", version("v2", "darkslateblue")))
	s.append(nil, only("v1", "web"))
	open := rollout.Release{Name: "r1", Mark: "m-123", State: rollout.Prepared}
	s.append(&open, map[string]rollout.Rule{"web": {Version: "v1", Marks: map[string]string{"m-123": "v2"}}})
	edge := s.gate()
	for fragment, want := range map[string]string{"": "v1", "#m-123": "v2", "#guessed": "v1"} {
		profile := t.TempDir()
		text := chromium(t, profile, "--dump-dom", edge.URL+"/"+fragment)
		if strings.Count(text, ">"+want+"</b>") != 3 {
			t.Errorf("with %q want %s everywhere: %s", fragment, want, text)
		}
		if pictures := os.Getenv("BROWSER_PICTURES"); pictures != "" {
			name := filepath.Join(pictures, want+strings.TrimPrefix(fragment, "#")+".png")
			chromium(t, profile, "--window-size=700,420", "--screenshot="+name, edge.URL+"/"+fragment)
		}
	}
}

// chromium runs the browser without a window.
func chromium(t *testing.T, profile string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + profile,
		"--timeout=3000"}, args...)
	out, err := exec.CommandContext(ctx, "chromium", args...).Output()
	if err != nil {
		t.Fatalf("chromium %v: %v", args, err)
	}
	return string(out)
}
