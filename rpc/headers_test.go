package rpc

import (
	"testing"

	"github.com/skerry/skerry/rpc/internal/theader"
)

// An invalid traceparent counts as absent.
func TestInvalidTraceIsAbsent(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for trace, want := range map[string]string{parent: parent, "made up\n": "", "": ""} {
		var h theader.Header
		h.Set(keyTrace, trace)
		h.Set(keyTraceState, "vendor=1")
		var info CallInfo
		readCallHeader(&h, &info)
		if info.Trace != want || (info.TraceState != "") != (want != "") {
			t.Errorf("%q is read as %q with state %q", trace, info.Trace, info.TraceState)
		}
	}
}
