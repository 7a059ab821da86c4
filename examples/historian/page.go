package historian

import (
	_ "embed"
	"net/http"
)

//go:embed page.html
var page []byte

// Page is a page that shows values as they come, and asks for earlier ones. It opens streams below /historian of the
// gateway that it comes from.
var Page http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "+
		"connect-src 'self'; img-src data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'")
	_, _ = w.Write(page) // the browser may have left
})
