package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Fields behind a body reach the service, except for fields that the service would believe.
func TestRequestTrailersPass(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, " ", err, " ", r.Trailer)
	}
	inWorld(t, handler, func(w *world) {
		answer := w.say("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" +
			"Trailer: X-Sum, Baggage, X-Forwarded-For, X-Real-Ip, Authorization, Content-Type\r\n\r\n4\r\n" +
			"body\r\n0\r\n" +
			"X-Sum: 7\r\nBaggage: skerry-rollout=x\r\nX-Forwarded-For: evil\r\nX-Real-Ip: evil\r\n" +
			"Authorization: evil\r\nContent-Type: evil\r\nX-Late: evil\r\n\r\n")
		if !strings.Contains(answer, "4 <nil> map[X-Sum:[7]]") {
			t.Errorf("the service: %q", answer)
		}
		if arrived := w.arrived(); strings.Contains(arrived, "evil") || strings.Contains(arrived, "skerry-rollout=x") {
			t.Errorf("passed: %q", arrived)
		}
	})
}

// A body behind an Expect header costs no wait, whatever the service answers.
func TestExpectCostsNoWait(t *testing.T) {
	inWorld(t, takeAll, func(w *world) {
		const size = resendLimit + 1000
		begun := time.Now()
		answer := w.say(fmt.Sprintf("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n"+
			"Expect: 100-continue\r\n\r\n%s",
			size, strings.Repeat("x", size)))
		took := time.Since(begun)
		if !strings.HasPrefix(answer, "HTTP/1.1 100") || !strings.Contains(answer, fmt.Sprint(size, " <nil>")) ||
			took >= time.Second {
			t.Errorf("after %v: %q", took, answer)
		}
		if strings.Contains(w.arrived(), "Expect") {
			t.Error("the service was asked for leave")
		}
	})
}
