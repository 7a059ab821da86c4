package suggest

import (
	"strings"
	"testing"
)

func TestClosest(t *testing.T) {
	known := []string{"cluster", "mode", "database", "lan", "tls", "GetToken", "用户服务"}
	for s, want := range map[string]string{
		"clutser": "cluster", "Mode": "mode", "databse": "database", "gettokn": "GetToken", "用户服努": "用户服务",
		"quorum": "", "xx": "", "": "", "mode": "", strings.Repeat("x", 1e6): "",
	} {
		if got := Closest(s, known); got != want {
			t.Errorf("%.20q: got %q, want %q", s, got, want)
		}
	}
	if got := DidYouMean("clutser", known); got != "; did you mean cluster?" {
		t.Errorf("got %q", got)
	}
}
