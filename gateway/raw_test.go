package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
)

// say sends bytes as a user. It returns the received bytes when the gateway closes the connection
// or is silent.
func (w *world) say(text string) string {
	w.t.Helper()
	user := w.connect("10.0.0.1")
	defer user.Close()
	done := make(chan struct{})
	time.AfterFunc(0, func() {
		defer close(done)
		_, _ = io.WriteString(user, text) // the gateway may close before it has read all
	})
	_ = user.SetReadDeadline(time.Now().Add(time.Minute))
	answer, _ := io.ReadAll(user)
	user.Close()
	<-done
	return string(answer)
}

// takeAll reads the body and answers.
func takeAll(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, r.RequestURI, " ", n, " ", err)
}

// Bytes that two parsers could read as different requests reach the service as one request, or as
// none.
func TestRequestsAreNotSmuggled(t *testing.T) {
	const post = "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
	const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	inWorld(t, takeAll, func(w *world) {
		for _, c := range []struct {
			name, text string
			status     int    // of the first answer
			requests   int    // that the service gets
			without    string // what must not arrive
		}{
			{"plain", post + "Content-Length: 3\r\n\r\nabc", 200, 1, "hidden"},
			{"two lengths", post + "Content-Length: 3\r\nContent-Length: 30\r\n\r\nabc" + hidden, 400, 0, ""},
			{"one length twice", post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + hidden, 200, 1, "hidden"},
			{"list of lengths", post + "Content-Length: 3, 30\r\n\r\nabc" + hidden, 400, 0, ""},
			{"signed length", post + "Content-Length: +3\r\n\r\nabc" + hidden, 400, 0, ""},
			{"length and chunks", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
				200, 1, "Content-Length: 3"},
			{"chunks with blank", post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, 400, 0, ""},
			{"chunks by tab", post + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + hidden, 200, 1, "hidden"},
			{"unknown coding", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, 501, 0, ""},
			{"two codings", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden, 501, 0, ""},
			{"two coding lines", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" +
				hidden, 501, 0, ""},
			{"coding in 1.0", "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
				200, 1, "hidden"},
			{"vertical tab", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden, 400, 0, ""},
			{"folded line",
				"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n\r\n", 200,
				1, "\r\nTransfer-Encoding"},
			{"folded first line", "GET /x HTTP/1.1\r\n Host: a\r\n\r\n", 400, 0, ""},
			{"bare line feeds", "GET /x HTTP/1.1\nHost: a\nConnection: close\nX: a\rGET /hidden\n\n", 400, 0, ""},
			{"bare return", post + "X: a\rContent-Length: 3\r\n\r\n", 400, 0, ""},
			{"bare feed in chunks", post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400, 1, "hidden"},
			{"signed chunk", post + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 400, 1, "hidden"},
			{"hexadecimal chunk", post + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400, 1, "hidden"},
			{"endless chunk", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 30) +
				"3\r\nabc\r\n0\r\n\r\n", 400, 1, "hidden"},
			{"extensions", post + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("a", 40_000) +
				"\r\nx\r\n0\r\n\r\n", 400, 1, "aaa"},
			{"bomb of extensions", post + "Transfer-Encoding: chunked\r\n\r\n" +
				strings.Repeat("1;"+strings.Repeat("a", 900)+"\r\nx\r\n", 200) + "0\r\n\r\n", 400, 1, "aaa"},
			{"trailer",
				post + "Transfer-Encoding: chunked\r\nTrailer: Baggage\r\n\r\n1\r\nx\r\n0\r\n" +
					"Baggage: skerry-rollout=x\r\nX-Late: 1\r\n\r\n", 200, 1, "skerry-rollout=x"},
			{"forbidden trailer",
				post + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 9\r\n\r\n",
				400, 0, ""},
			{"second host", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, 0, ""},
			{"no host", "GET /x HTTP/1.1\r\n\r\n", 400, 0, ""},
			{"NUL", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, 0, ""},
			{"two blanks", "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, 0, ""},
			{"version", "GET /x HTTP/1.2\r\nHost: a\r\nConnection: close\r\n\r\n", 200, 1, "hidden"},
			{"old version", "GET /x HTTP/0.9\r\n\r\n", 505, 0, ""},
			{"expectation", post + "Content-Length: 3\r\nExpect: 200-ok\r\n\r\nabc", 417, 0, ""},
			{"expectation without a body",
				"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n", 200, 1, "Expect"},
			{"promised body", post + "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc", 100, 1, "Expect"},
			{"many ranges", "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes=" +
				strings.Repeat("0-,", 1000) + "0-\r\n\r\n", 200, 1, "Range"},
			{"long header", "GET /x HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 80_000) + "\r\n\r\n", 431, 0, ""},
		} {
			answer := w.say(c.text)
			arrived := w.arrived()
			var minor, status int
			fmt.Sscanf(answer, "HTTP/1.%d %d", &minor, &status)
			requests := strings.Count(arrived, " HTTP/1.1\r\n")
			if status != c.status || requests != c.requests || c.without != "" && strings.Contains(arrived, c.without) {
				t.Errorf("%s: %.200q; the service got %.600q", c.name, answer, arrived)
			}
		}
		time.Sleep(time.Minute)
		if n := w.traces(); n != 0 {
			t.Errorf("%d traces stand", n)
		}
	})
}

// A path outside of every route reaches no service, in any spelling.
func TestRoutesConfinePaths(t *testing.T) {
	routes := []config.Route{
		{Path: "/public", Service: "web"}, {Path: "/cut", Service: "web", Strip: true},
		{Path: "/a%20b", Service: "web", Strip: true},
		{Path: "/报表", Service: "web", Strip: true}, {Path: "/whole", Service: "web"},
		{Path: "/whole/guarded", Service: "guard", Strip: true},
		{Path: "/exact", Service: "web", Slash: "refuse"},
		{Path: "/host", Host: "Intern.Example.org.", Service: "web"},
	}
	inWorld(t, takeAll, func(w *world) {
		get := func(line string, header ...string) (answer, arrived string) {
			answer = w.say(line + " HTTP/1.1\r\nConnection: close\r\n" +
				strings.Join(append(header, "X: y"), "\r\n") + "\r\n\r\n")
			arrived, _, _ = strings.Cut(w.arrived(), "\r\n")
			return answer, arrived
		}
		for path, want := range map[string]string{ // "" is a refusal
			"/public/x": "/public/x", "/public//a": "/public//a", "/public/a%2Fb%5Cc%20d": "/public/a%2Fb%5Cc%20d",
			"/public/https://other/x": "/public/https://other/x", "/public/a%2fb^": "/public/a%2fb%5E",
			"/public/../private": "", "/public/%2e%2e/private": "", "/public/%2e%2e%2fprivate": "",
			"/public/%252e%252e/private": "", "/public/..;/private": "", `/public/..\private`: "",
			"/public%2f..%2fprivate": "", "/private": "", "/": "", "//public/x": "", "/cut/a%2Fb%20c": "/a%2Fb%20c",
			"/cut": "/", "/cut/": "/", "/cut//evil.example/x": "/evil.example/x", "/cut/%2fevil.example": "",
			"/cut/%5cevil.example": "", "/cut/%252fevil.example": "", "/cut/a//b": "/a//b", "/cut%2fa": "",
			"/a%20b/1": "/1", "/a b/1": "", "/%E6%8A%A5%E8%A1%A8/1": "/1", "/报表/1": "/1", "/whole/x": "/whole/x",
			"/whole/guarded/x": "/x", "/whole//guarded/x": "", "/whole/guarded;v=1/x": "", "/whole%2fguarded/x": "",
			"/whole/%67uarded/x": "/x", "/whole/%2567uarded/x": "", "/whole/x;v=1": "/whole/x;v=1",
			"/exact/a": "/exact/a", "/exact/a%2fb": "", "/exact/a%5Cb": "", "/exact/a%252fb": "", "/public/%00": "",
			"/public/%0d%0aX:y": "",
		} {
			answer, arrived := get("GET "+path, "Host: a")
			if want != "" {
				want = "GET " + want + " HTTP/1.1"
			}
			refused := strings.HasPrefix(answer, "HTTP/1.1 400") || strings.HasPrefix(answer, "HTTP/1.1 404")
			if arrived != want || refused != (want == "") || refused && strings.Contains(answer, "Location") {
				t.Errorf("%s: the service got %q, want %q; the answer %.300q", path, arrived, want, answer)
			}
		}
		for host, want := range map[string]bool{
			"intern.example.org": true, "INTERN.example.org": true, "intern.example.org.": true,
			"intern.example.org.:8080": true, "example.org": false, "intern.example.org..": false,
			"intern.example.org@evil": false, "": false, "a b": false,
		} {
			if _, arrived := get("GET /host/x", "Host: "+host); (arrived != "") != want {
				t.Errorf("host %q: the service got %q", host, arrived)
			}
		}
		for _, line := range []string{
			"GET http://a/public/x", "GET http://evil/public/x", "OPTIONS *", "CONNECT a:443", "CONNECT /public/x",
			"TRACE /public/x", "GET public/x", "GET *",
		} {
			answer, arrived := get(line, "Host: a")
			if arrived != "" || !strings.HasPrefix(answer, "HTTP/1.1 4") {
				t.Errorf("%s: the service got %q, the answer is %q", line, arrived, answer)
			}
		}
	}, func(c *Config) { c.Routes = routes })
}

// Only a WebSocket becomes a tunnel. Any other upgrade is ignored.
func TestOnlyWebSocketsAreTunnels(t *testing.T) {
	var switchTo string
	h := func(w http.ResponseWriter, r *http.Request) {
		if switchTo == "" {
			fmt.Fprintf(w, "plain, upgrade %q", r.Header.Get("Upgrade"))
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\n%s\r\n\r\nTUNNEL", switchTo)
	}
	const shake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
		testKey + "\r\n"
	accepted := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept(testKey)
	inWorld(t, h, func(w *world) {
		for _, c := range []struct{ name, request, switchTo, want string }{
			{"WebSocket", shake, accepted, "101"},
			{"WebSocket beside h2c", strings.Replace(shake, "Upgrade: websocket", "Upgrade: h2c, WebSocket", 1),
				accepted, "101"},
			{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "",
				`plain, upgrade ""`},
			{"h2c to a service that takes it", "Connection: Upgrade\r\nUpgrade: h2c\r\n",
				"Connection: Upgrade\r\nUpgrade: h2c", "502"},
			{"unknown", "Connection: Upgrade\r\nUpgrade: foo\r\n", "", `plain, upgrade ""`},
			{"upgrade without connection", "Upgrade: websocket\r\n", "", `plain, upgrade ""`},
			{"nothing asked", "", "Connection: Upgrade\r\nUpgrade: websocket", "502"},
			{"nothing asked, nothing named", "", "X: y", "502"},
			{"another protocol", shake, "Connection: Upgrade\r\nUpgrade: h2c", "502"},
			{"a wrong proof", shake, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: eA==", "502"},
			{"an old version", strings.Replace(shake, "13", "8", 1), accepted, "426"},
			{"no key", strings.Replace(shake, testKey, "", 1), accepted, "400"},
			{"a body", shake + "Content-Length: 3\r\n", accepted, "400"},
		} {
			switchTo = c.switchTo
			answer := w.say("GET /x HTTP/1.1\r\nHost: a\r\n" + c.request + "\r\n")
			if !strings.Contains(answer, c.want) || strings.Contains(answer, "TUNNEL") != (c.want == "101") {
				t.Errorf("%s: %q", c.name, answer)
			}
			if arrived := w.arrived(); strings.Contains(strings.ToLower(arrived), "http2-settings") ||
				strings.Contains(arrived, "h2c") {
				t.Errorf("%s: the service got %q", c.name, arrived)
			} else if c.want == "101" &&
				(!strings.Contains(arrived, "\r\nBaggage: skerry-rollout=") ||
					!strings.Contains(arrived, "\r\nTraceparent: ")) {
				t.Errorf("%s: no trace is in %q", c.name, arrived)
			}
		}
	})
}

// The gateway, and the proxies that it trusts, state the origin of a request.
func TestOriginOfRequests(t *testing.T) {
	const forged = "X-Real-IP: 1.1.1.1\r\nx_real_ip: 1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\n" +
		"X_Forwarded_For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n" +
		"X-Forwarded-Prefix: /evil\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n" +
		"True-Client-IP: 1.1.1.1\r\nX-Original-URL: /evil\r\n" +
		"Skerry_Refused: evil\r\nX_B3_TraceId: evil\r\nConnection: close, X-Real-IP, X-Forwarded-For, Baggage\r\n" +
		"Proxy-Connection: evil\r\nKeep-Alive: evil\r\n"
	get := func(w *world, header string) string {
		w.say("GET /x HTTP/1.1\r\nHost: a\r\n" + header + "\r\n")
		return w.arrived()
	}
	inWorld(t, sayHello, func(w *world) {
		arrived := get(w, forged)
		for _, bad := range []string{"1.1.1.1", "evil"} {
			if strings.Contains(arrived, bad) {
				t.Errorf("%s passes: %q", bad, arrived)
			}
		}
		for _, good := range []string{
			"X-Forwarded-For: 10.0.0.1", "X-Real-Ip: 10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: a",
		} {
			if !strings.Contains(arrived, "\r\n"+good+"\r\n") {
				t.Errorf("%s is missing: %q", good, arrived)
			}
		}
	})
	inWorld(t, sayHello, func(w *world) {
		arrived := get(w, "Connection: close\r\nX-Forwarded-For: 6.6.6.6, nonsense, 7.7.7.7\r\n"+
			"X-Forwarded-For: 192.0.2.5, 10.0.0.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.example.org\r\n")
		for _, good := range []string{
			"X-Forwarded-For: 7.7.7.7, 192.0.2.5, 10.0.0.7, 10.0.0.1", "X-Real-Ip: 192.0.2.5",
			"X-Forwarded-Proto: https", "X-Forwarded-Host: www.example.org",
		} {
			if !strings.Contains(arrived, "\r\n"+good+"\r\n") {
				t.Errorf("%s is missing: %q", good, arrived)
			}
		}
		if !strings.Contains(w.log.String(), "client=192.0.2.5") {
			t.Errorf("the log: %s", w.log)
		}
	}, func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/24"} })
}

// A client cannot write lines or control characters into the log, and no answer of the gateway
// itself names an address of the site.
func TestTextsOfTheGateway(t *testing.T) {
	cut := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	inWorld(t, cut, func(w *world) {
		answer := w.say("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
		_, id, _ := strings.Cut(answer, "\r\nX-Request-Id: ")
		id, _, _ = strings.Cut(id, "\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 502") || strings.Contains(answer, "10.0.0.9") ||
			strings.Count(answer, id) != 2 || len(id) != 16 {
			t.Errorf("the answer: %s", answer)
		}
		for _, text := range []string{
			"GET /a%0d%0alevel=ERROR%1b[2J HTTP/1.1\r\nHost: a\r\n",
			"GET /\xc2\x9b2J HTTP/1.1\r\nHost: a\r\n", "GET /%c2%9b HTTP/1.1\r\nHost: a\r\n",
			"G'T /x HTTP/1.1\r\nHost: a\r\n", "GET /" + strings.Repeat("a", 30_000) + " HTTP/1.1\r\nHost: a\r\n",
		} {
			w.say(text + "Connection: close\r\n\r\n")
		}
		lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
		if len(lines) != 6 || !strings.Contains(w.log.String(), "request="+id) ||
			!strings.Contains(lines[0], "10.0.0.9") {
			t.Errorf("%d lines: %s", len(lines), w.log)
		}
		for _, line := range lines {
			if len(line) > 2000 ||
				strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' && c != '…' }) {
				t.Errorf("a line of %d bytes: %.300q", len(line), line)
			}
		}
	})
}
