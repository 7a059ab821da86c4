package tracecontext

import (
	"strconv"
	"strings"
	"testing"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestValid(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	tests := []struct {
		name, in string
		want     bool
	}{
		{"of the standard", parent, true},
		{"not sampled", "00-" + id + "-" + span + "-00", true},
		{"a later version", "cc-" + id + "-" + span + "-01", true},
		{"a later version with more", "cc-" + id + "-" + span + "-01-what-comes", true},
		{"a later version, run on", "cc-" + id + "-" + span + "-01what", false},
		{"version 00 with more", parent + "-what", false},
		{"version ff", "ff-" + id + "-" + span + "-01", false},
		{"trace id of zeros", "00-00000000000000000000000000000000-" + span + "-01", false},
		{"span id of zeros", "00-" + id + "-0000000000000000-01", false},
		{"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span + "-01", false},
		{"not hexadecimal", "00-" + id + "-" + span + "-0g", false},
		{"underscores", "00_" + id + "_" + span + "_01", false},
		{"cut", parent[:54], false},
		{"empty", "", false},
	}
	for _, tt := range tests {
		if got := Valid(tt.in); got != tt.want {
			t.Errorf("%s: valid is %v: %q", tt.name, got, tt.in)
		}
	}
}

func TestNextSpan(t *testing.T) {
	child := NextSpan(parent)
	if !Valid(child) {
		t.Fatalf("child is not valid: %s", child)
	}
	if ID(child) != ID(parent) || child[:2] != "00" || child[flagsAt:] != "01" {
		t.Fatalf("child of %s is %s", parent, child)
	}
	if child[spanIDAt:flagsAt] == parent[spanIDAt:flagsAt] {
		t.Fatal("child has its parent's span id")
	}
	if later := NextSpan("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more"); !Valid(later) ||
		ID(later) != ID(parent) || later[:2] != "00" || later[flagsAt:] != "00" {
		t.Fatalf("child of a later version is %s", later)
	}
}

func TestNewTraces(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := NextSpan("nothing that is a traceparent, though it is long enough")
		if !Valid(s) || seen[ID(s)] {
			t.Fatalf("new trace %s", s)
		}
		seen[ID(s)] = true
	}
}

func FuzzNextSpan(f *testing.F) {
	f.Add(parent)
	f.Fuzz(func(t *testing.T, s string) {
		child := NextSpan(s)
		if !Valid(child) {
			t.Fatalf("%q has the child %q", s, child)
		}
		if Valid(s) && ID(child) != ID(s) {
			t.Fatalf("%q has the child %q of another trace", s, child)
		}
	})
}

func BenchmarkNextSpan(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NextSpan(parent)
	}
}

// TestHexField compares with the plain definition: each byte at each place.
func TestHexField(t *testing.T) {
	for _, size := range []int{2, 16, 32} {
		for at := range size {
			for c := range 256 {
				b := []byte(strings.Repeat("0", size))
				b[at] = byte(c)
				isHex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
				nonzero, ok := hexField(string(b))
				if ok != isHex || ok && nonzero != (c != '0') {
					t.Fatalf("%q: hexadecimal %v, not zero %v", b, ok, nonzero)
				}
			}
		}
	}
}

// TestPutHex writes each digit to each place, and checks the order.
func TestPutHex(t *testing.T) {
	b := make([]byte, 8)
	for d := range uint32(16) {
		putHex(b, d*0x11111111)
		if want := strings.Repeat(strconv.FormatUint(uint64(d), 16), 8); string(b) != want {
			t.Fatalf("%q, want %q", b, want)
		}
	}
	if putHex(b, 0x76543210); string(b) != "01234567" {
		t.Fatalf("%q", b)
	}
}
