package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The client gets the answer of a service that refuses an upload early and closes.
func TestUploadThatIsRefusedEarly(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
	}))
	addr := s.gate().Listener.Addr().String()
	body := strings.Repeat("x", 2<<20)
	for i := range 30 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		go func() { // the gateway may close before all bytes are sent
			_, _ = fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}()
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("try %d: %+v, %v", i, answer, err)
		}
		_ = conn.Close()
	}
}
