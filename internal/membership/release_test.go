package membership

import (
	"runtime/debug"
	"testing"
)

func TestReleaseOfAProgram(t *testing.T) {
	const module = "github.com/skerry/skerry"
	used := func(m debug.Module) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: "site/auth", Version: "v3.0.0"}, Deps: []*debug.Module{&m}}
	}
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.0":  {Main: debug.Module{Path: module, Version: "v1.2.0"}},
		"(devel)": {Main: debug.Module{Path: module}},
		"v1.3.0":  used(debug.Module{Path: module, Version: "v1.3.0"}),
		"v1.4.0": used(debug.Module{Path: module, Version: "v0.0.0-00010101000000-000000000000",
			Replace: &debug.Module{Path: "site/skerry", Version: "v1.4.0"}}),
	} {
		if got := releaseOf(info); got != want {
			t.Errorf("release %q, want %q", got, want)
		}
	}
	copied := used(debug.Module{Path: module, Version: "v0.0.0-00010101000000-000000000000",
		Replace: &debug.Module{Path: "../skerry"}})
	if got := releaseOf(copied); got != "(devel)" {
		t.Errorf("release %q of a working copy", got)
	}
}
