package gateway

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/skerry/skerry/internal/websocket"
)

const webSocket = "websocket"

// upgrade keeps the WebSocket upgrade of a request and removes every other upgrade: RFC 9110 lets a
// server answer as if it had not been asked. The gateway cannot read a tunnel of another protocol,
// which would carry requests without a route and a trace.
func upgrade(r *http.Request) *refusal {
	asked := r.ProtoMajor == 1 && hasToken(r.Header["Connection"], "upgrade") &&
		hasToken(r.Header["Upgrade"], webSocket)
	r.Header.Del("Http2-Settings")
	if !asked {
		r.Header.Del("Upgrade")
		return nil
	}
	r.Header.Set("Upgrade", webSocket)
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	switch {
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return refuse(http.StatusUpgradeRequired, "a WebSocket of version 13 is possible here, no other")
	case r.Method != http.MethodGet, r.ContentLength != 0, !r.ProtoAtLeast(1, 1):
		return refuse(http.StatusBadRequest, "a WebSocket begins with a GET of HTTP/1.1 without a body")
	case err != nil, len(key) != 16, len(r.Header["Sec-Websocket-Key"]) != 1:
		return refuse(http.StatusBadRequest, "a WebSocket begins with one Sec-WebSocket-Key of 16 bytes in base64")
	}
	return nil
}

// hasToken reports whether a list of a header, in one or several lines, has a member, in any case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(member, " \t"), token) {
				return true
			}
		}
	}
	return false
}

var errSwitched = errors.New("the service switched to another protocol than a WebSocket that was asked for")

// switched checks the response of a service that switches protocols.
func switched(response *http.Response) error {
	asked := response.Request.Header
	if asked.Get("Upgrade") != webSocket || !strings.EqualFold(response.Header.Get("Upgrade"), webSocket) {
		return errSwitched
	}
	if response.Header.Get("Sec-Websocket-Accept") != websocket.Accept(asked.Get("Sec-Websocket-Key")) {
		return errSwitched
	}
	return nil
}
