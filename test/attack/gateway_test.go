//go:build linux

package attack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// gateway starts the built command in front of web.
func (s *site) gateway(t *testing.T) (addr string, logged func() string) {
	t.Helper()
	s.start("web", "web", 0)
	s.write("gateway.yaml", fmt.Sprintf("cluster: %s\nmode: broadcast\nstate_dir: none\nstats: {interval: none}\n%s"+
		"gateway: {listen: \":%d\", body_idle: 2s, max_connections: 60, routes: ["+
		"{path: /files/public, service: web}, {path: /strip, service: web, strip: true}]}\n",
		s.cluster, s.lines(), gatewayPort))
	log := s.path("gateway.log")
	file, err := os.Create(log)
	must(t, err)
	defer file.Close()
	c := s.lan.Host(1).Command(command(t), "gateway", "-c", s.path("gateway.yaml"))
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), "SKERRY_SITE_KEYS="), file, file
	must(t, c.Start())
	done := make(chan struct{})
	go func(c *exec.Cmd) { defer close(done); _ = c.Wait() }(c)
	logged = func() string { b, _ := os.ReadFile(log); return string(b) }
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-done
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", logged())
		}
	})
	return fmt.Sprintf("%s:%d", s.lan.Host(1).IP(0), gatewayPort), logged
}

// asks sends a request unchanged, and returns status and body of the answer.
func (l laptop) asks(t *testing.T, addr, request string) (status int, body string) {
	t.Helper()
	nc, err := l.dial(t.Context(), addr)
	if err != nil {
		return 0, err.Error()
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(nc, request)
	must(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	b, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(b)
}

func get(path string, fields ...string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: site\r\nConnection: close\r\n%s\r\n", path,
		strings.Join(append(fields, ""), "\r\n"))
}

// TestGateway attacks the HTTP gateway in front of a site.
func TestGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t, setUps[1], "")
	addr, logged := s.gateway(t)
	l, visitor := s.laptop(), s.on(3)
	honest := func() bool { status, _ := visitor.asks(t, addr, get("/files/public/x")); return status == 200 }
	lab.Eventually(t, time.Minute, honest, func() string { return "the gateway serves" })

	for _, path := range []string{"/files/public/%2e%2e/private/key", "/files/public/%252e%252e/private",
		"/files/public/..%2fprivate", "/files/public/../private",
		"/files/public/..;x/private", "/files/public/%5c..%5cprivate", "/files/public/x%00y",
		"/strip/%2f%2fevil.example", "/strip/%2e%2e/secret"} {
		if status, body := l.asks(t, addr, get(path)); status != 400 && status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := l.asks(t, addr, get("/strip//evil.example/x")); status != 400 && strings.Contains(body, `"//`) {
		t.Errorf("a path becomes the name of a host: %d %s", status, body)
	}
	for _, kind := range []string{"h2c", "anything"} {
		status, body := l.asks(t, addr,
			"GET /files/public/x HTTP/1.1\r\nHost: site\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "+kind+
				"\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
		if status == 101 || strings.Contains(body, kind) {
			t.Errorf("upgrade to %s: %d %s", kind, status, body)
		}
	}
	if status, body := l.asks(t, addr, strings.Replace(get("/files/public/x"), "GET", "TRACE", 1)); status < 400 {
		t.Errorf("TRACE: %d %s", status, body)
	}
	if _, body := l.asks(t, addr, get("/files/public/x", "X-Real-IP: 1.2.3.4")); strings.Contains(body, "1.2.3.4") {
		t.Errorf("X-Real-IP of a stranger is believed: %s", body)
	}
	if status, body := l.asks(t, addr, get("/nothing")); status != 404 || strings.Contains(body, "10.77.0.1") {
		t.Errorf("no route: %d %s", status, body)
	}

	// Bodies that come byte by byte, and silent connections.
	var all sync.WaitGroup
	statuses := make(chan int, 20)
	for range 20 {
		all.Go(func() {
			nc, err := l.dial(t.Context(), addr)
			if err != nil {
				return
			}
			defer nc.Close()
			_, _ = io.WriteString(nc, "POST /files/public/x HTTP/1.1\r\nHost: site\r\nContent-Length: 1000\r\n\r\n")
			stop := time.AfterFunc(30*time.Second, func() { _ = nc.Close() })
			defer stop.Stop()
			go func() {
				for n := 0; n < 25; n++ {
					if _, err := nc.Write([]byte("x")); err != nil {
						return
					}
					time.Sleep(500 * time.Millisecond)
				}
			}()
			if answer, err := http.ReadResponse(bufio.NewReader(nc), nil); err == nil {
				_ = answer.Body.Close()
				statuses <- answer.StatusCode
			}
		})
	}
	all.Wait()
	close(statuses)
	n := 0
	for status := range statuses {
		if n++; status != 408 {
			t.Errorf("a slow body ends with %d", status)
		}
	}
	if n == 0 {
		t.Error("no slow body was answered")
	}
	var idle []net.Conn
	for range 90 {
		if nc, err := l.dial(t.Context(), addr); err == nil {
			idle = append(idle, nc)
			_, _ = io.WriteString(nc, "GET /fi")
		}
	}
	time.Sleep(1500 * time.Millisecond)
	for range 10 {
		if !honest() {
			t.Error("a visitor is not served while a laptop takes all connections")
			break
		}
	}
	for _, nc := range idle {
		_ = nc.Close()
	}
	if text := logged(); !strings.Contains(text, s.lan.Host(laptopHost).IP(0)) {
		t.Error("the gateway's log does not name the laptop")
	}
	s.unharmed(t, func(*testing.T) {})
}
