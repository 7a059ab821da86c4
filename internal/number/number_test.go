package number

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Text(0, 3), "0"}, {Text(1, 3), "1"}, {Text(2040, 3), "2040"}, {Text(1e6, 2), "1000000"},
		{Text(12.345, 3), "12.3"},
		{Text(0.00001234, 2), "0.000012"}, {Text(-1.5, 2), "-1.5"}, {Text(99.96, 3), "100"},
		{Text(1e22, 3), "10000000000000000000000"},
		{Percent(0, 2), "0"}, {Percent(1, 2), "100"}, {Percent(0.999, 2), ">99"}, {Percent(0.994, 2), "99"},
		{Percent(1.0/3, 2), "33"},
		{Percent(0.003, 2), "0.3"}, {Percent(0.0001, 2), "0.01"}, {Percent(1e-9, 2), "<0.001"},
		{Percent(22.99/23, 2), ">99"}, {Percent(0.99999, 4), ">99.99"}, {Percent(0.0125, 4), "1.25"},
		{Latency(0), "0µs"}, {Latency(850 * time.Microsecond), "850µs"}, {Latency(2040 * time.Millisecond), "2.04s"},
		{Latency(999_950 * time.Microsecond), "1s"}, {Latency(999_900 * time.Nanosecond), "1ms"},
		{Latency(1234 * time.Microsecond), "1.23ms"},
		{Latency(12 * time.Nanosecond), "0.012µs"}, {Latency(15 * time.Minute), "15m0s"},
		{Latency(-time.Second), "-1s"},
		{Bytes(16 << 20), "16MiB"}, {Bytes(1 << 30), "1GiB"}, {Bytes(1000), "1000"}, {Bytes(65536), "64KiB"},
		{Bytes(0), "0"},
		{Age(-time.Second), "0s"}, {Age(187 * time.Second), "3m07s"}, {Age(49 * time.Hour), "2d01h"},
		{Duration(90 * time.Second), "1m30s"}, {Duration(3 * time.Minute), "3m"}, {Duration(2 * time.Hour), "2h"},
		{Count(1, "process", "es"), "1 process"}, {Count(0, "process", "es"), "0 processes"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

// TestNoExponents: whatever the number, it is written out.
func TestNoExponents(t *testing.T) {
	for exp := -12; exp < 19; exp++ {
		for _, m := range []float64{1, 1.5, 9.99, 9.9999} {
			v := m * math.Pow10(exp)
			for _, text := range []string{Text(v, 2), Exact(v), Percent(v, 2), Latency(time.Duration(v))} {
				if strings.ContainsAny(text, "eE") {
					t.Errorf("%g is written %s", v, text)
				}
			}
		}
	}
}
