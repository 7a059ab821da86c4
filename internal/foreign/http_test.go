package foreign

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/skerry/skerry/registry"
)

func TestHTTPCheckAsksForThePath(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/moved":
			http.Redirect(w, r, "/nowhere", http.StatusFound)
		case "/ready?deep=1":
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	in := registry.Instance{Service: "web", Host: host, Port: n, Protocol: registry.ProtocolHTTP}
	for spec, want := range map[string]string{
		"http:/ready?deep=1": "", "http:/moved": "", "http:/sick": "GET /sick: 503", "tcp": "",
	} {
		err := try(t, spec, nil, in)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
	server.Close()
	if err := try(t, "http:/ready?deep=1", nil, in); err == nil {
		t.Error("nobody listens, and the check is content")
	}
}
