package callpath

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fixed is what two rounds of three peers gave.
func fixed() ([]load, samples) {
	c := cell{workers: 128, size: 1024}
	slow := c
	slow.slow = true
	names := []string{"skerry", "grpc-md", "drpc"}
	all := samples{}
	for i, name := range names {
		f := float64(i + 1)
		for range 2 {
			all[c.of(name)] = append(all[c.of(name)],
				sample{12_345 / f, 100 * time.Microsecond, time.Duration(f) * time.Millisecond, 4 * time.Microsecond,
					3 * time.Microsecond, 8, 9.04, 0})
			all[slow.of(name)] = append(all[slow.of(name)],
				sample{12_345 / f, 100 * time.Microsecond, 2 * time.Duration(f) * time.Millisecond,
					4 * time.Microsecond, 3 * time.Microsecond, 8, 9.04, 0})
		}
	}
	return []load{{c, names}, {slow, names}}, all
}

func TestReport(t *testing.T) {
	plan, all := fixed()
	var b strings.Builder
	report(&b, plan, all)
	reportGoals(&b, all)
	for _, want := range []string{
		"1 KiB, 128 callers\n",
		"one call in 100 takes 100ms, these are the others",
		"| skerry  |  12,345 | 100 µs | 1000 µs |                  4.0 + 3.0 µs |   8.0 / 9.0 |                 1.00 " +
			"|                1.00 |               1.00 |\n",
		"| drpc    |   4,115 |",
		"                 2.00 |                0.50 |               1.00 |                         2.00 |",
		"≥ 8 |     2.00 | **missed** |",
		"≤ 0.25 |     0.50 | **missed** |",
		"≤ 11 |     8.00 |        met |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("missing %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "TLS") || strings.Contains(b.String(), "NaN") {
		t.Errorf("a goal that was not measured, or no number, in\n%s", b.String())
	}
}

func TestPictures(t *testing.T) {
	plan, all := fixed()
	dir := t.TempDir()
	if err := draw(dir, plan, all); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"calls.svg", "cpu.svg"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"128 callers, 1 KiB", "grpc-md", "drpc"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s does not show %s", name, want)
			}
		}
		if strings.Contains(string(b), "net-rpc") {
			t.Errorf("%s names a peer that was not measured", name)
		}
	}
}

func TestUnits(t *testing.T) {
	for got, want := range map[string]string{
		bytesText(100): "100 B", bytesText(1024): "1 KiB", bytesText(1500): "1500 B", bytesText(1 << 20): "1 MiB",
		micros(1500): "2 µs", micros(9.99e6): "9990 µs", micros(12.34e6): "12.3 ms",
		thousands(0): "0", thousands(999): "999", thousands(1000): "1,000", thousands(1_234_567): "1,234,567",
		callers(1): "1 caller", callers(16): "16 callers",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The calls of a caller that never reads are what servers of both kinds take.
func TestRawRequest(t *testing.T) {
	setPayload(1024)
	for header, magic := range map[bool]string{false: "\x80\x01\x00\x01", true: "\x0f\xff\x00\x01"} {
		b, err := rawRequest(header)
		if err != nil || len(b) < 1024 || string(b[4:8]) != magic {
			t.Errorf("header %v: % x…, %v", header, b[:min(len(b), 12)], err)
		}
	}
}
