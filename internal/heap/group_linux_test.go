package heap

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestGroupLimit(t *testing.T) {
	const none = "9223372036854771712\n" // in the form of version 1
	for name, c := range map[string]struct {
		groups string
		files  map[string]string
		want   int
	}{
		"none":          {"", nil, 0},
		"no controller": {"0::/\n", nil, 0},
		"unlimited": {"0::/system.slice/auth.service\n",
			map[string]string{"/system.slice/auth.service/memory.max": "max\n"}, 0},
		"a service": {"0::/system.slice/auth.service\n",
			map[string]string{"/system.slice/auth.service/memory.max": "1048576\n"}, 1 << 20},
		"its slice": {"0::/a/b/c\n",
			map[string]string{"/a/b/c/memory.max": "2097152\n", "/a/memory.max": "1048576\n"}, 1 << 20},
		"a container": {"0::/\n", map[string]string{"/memory.max": "1048576\n"}, 1 << 20},
		"version 1": {"5:cpu:/x\n4:memory:/x\n0::/\n",
			map[string]string{"memory/x/memory.limit_in_bytes": "1048576\n", "memory/memory.limit_in_bytes": none},
			1 << 20},
		"version 1, none": {"4:memory:/\n", map[string]string{"memory/memory.limit_in_bytes": none}, 0},
		"as much as 64 bits count": {"0::/\n", map[string]string{"/memory.max": "8589934592\n"},
			int(min(int64(8<<30), math.MaxInt))},
		"nonsense": {"4:memory\nx\n::\n", nil, 0},
	} {
		if got := limitOf(c.groups, func(path string) string { return c.files[path] }); got != c.want {
			t.Errorf("%s: limit is %d, want %d", name, got, c.want)
		}
	}
}

// The ballast uses no pages.
func TestFloorTakesNoPages(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := resident(t)
	floor, lower := Raise(128 << 20)
	defer lower()
	if grown := resident(t) - before; floor > 0 && grown > floor/4 {
		t.Errorf("a floor of %d bytes took %d", floor, grown)
	}
}

func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
