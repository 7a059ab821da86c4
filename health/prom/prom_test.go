package prom_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/health/prom"
)

func TestHandler(t *testing.T) {
	r := health.NewRecorder(health.Config{})
	k := health.Key{Side: health.Client, Service: "auth", Method: "GetToken", Peer: "10.0.0.5:7000", Version: "v2"}
	for range 3 {
		r.Cell(k).Record(health.OK, 300*time.Microsecond)
	}
	k.Peer = "10.0.0.6:7000"
	r.Cell(k).Record(health.Timeout, time.Second)

	w := httptest.NewRecorder()
	prom.Handler(r).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	const of = `service="auth",side="client",version="v2"`
	for _, line := range []string{
		`skerry_calls_total{method="GetToken",outcome="ok",peer="10.0.0.5:7000",` + of + `} 3`,
		`skerry_calls_total{method="GetToken",outcome="timeout",peer="10.0.0.6:7000",` + of + `} 1`,
		`skerry_call_duration_seconds_bucket{method="GetToken",` + of + `,le="0.00025"} 0`,
		`skerry_call_duration_seconds_bucket{method="GetToken",` + of + `,le="0.0005"} 3`,
		`skerry_call_duration_seconds_bucket{method="GetToken",` + of + `,le="1"} 4`,
		`skerry_call_duration_seconds_count{method="GetToken",` + of + `} 4`,
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("no line %s in\n%s", line, w.Body)
		}
	}
}
