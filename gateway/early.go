package gateway

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// answering is a connection to a service that may answer and close before it has read the request.
// Its answer then counts, and the failed write does not.
type answering struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

// answerLimit is how long the gateway waits for the answer of a service that reads no more of a
// request.
const answerLimit = 5 * time.Second

// Write writes. After a failed write it waits until the reader of the connection has the answer, or
// finds that there is none.
func (a *answering) Write(p []byte) (int, error) {
	n, err := a.Conn.Write(p)
	if err == nil {
		return n, nil
	}
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	select {
	case <-a.closed:
	case <-limit.C:
	}
	return n, err
}

// Close closes the connection.
func (a *answering) Close() error {
	a.once.Do(func() { close(a.closed) })
	return a.Conn.Close()
}

// noTrailer lists fields that have no meaning behind a body, or that a service must not accept
// there (RFC 9110, 6.5.1).
var noTrailer = map[string]bool{
	"Authorization": true, "Cookie": true, "Set-Cookie": true, "Host": true, "Te": true, "Expect": true, "Range": true,
	"Max-Forwards": true, "Cache-Control": true, "Pragma": true, "Connection": true, "Keep-Alive": true,
	"Upgrade": true, "Age": true, "Date": true, "Vary": true, "Warning": true, "Trailer": true,
	"Transfer-Encoding": true, "Origin": true, headerBaggage: true, headerTrace: true, headerState: true,
}

// trailersOf returns the fields that a client has announced for the end of the body and that may
// pass, without values yet.
func trailersOf(r *http.Request) http.Header {
	out := http.Header{}
	for name := range r.Trailer {
		switch {
		case noTrailer[name], dropped(name), ofTrace(name):
		case strings.HasPrefix(name, "Content-"), strings.HasPrefix(name, "If-"), strings.HasPrefix(name, "Proxy-"),
			strings.HasPrefix(name, "Sec-"), strings.Contains(name, "_"):
		default:
			out[name] = nil
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
