package number

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Text is v with about so many digits: all those before the point, and as many
// behind it as are left, without zeros at the end.
func Text(v float64, digits int) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	behind := max(0, digits-1-int(math.Floor(math.Log10(math.Abs(v)))))
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', min(behind, 300), 64), 64)
	if err != nil {
		rounded = v
	}
	return Exact(rounded)
}

// Exact is v with all its digits.
func Exact(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// leastPercent is what is still written out; less is below it.
const leastPercent = 0.001

// Percent is a share (1 is all) in percent, with about so many digits and
// without the sign: "0.3", "33", "100". What is not all is never 100, and what
// is not none never 0.
func Percent(share float64, digits int) string {
	v := 100 * share
	switch text := Text(v, digits); {
	case v > 0 && v < leastPercent:
		return "<" + Exact(leastPercent)
	case v < 100 && text == "100":
		return ">" + strings.TrimSuffix("99."+strings.Repeat("9", max(0, digits-2)), ".")
	default:
		return text
	}
}

// Latency is the duration of a call, with three digits: "850µs", "2.04s".
func Latency(d time.Duration) string {
	if d < 0 && d != math.MinInt64 {
		return "-" + Latency(-d)
	}
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Microsecond, "µs"}, {time.Millisecond, "ms"}} {
		if text := Text(float64(d)/float64(u.size), 3); len(text) < 4 || strings.Contains(text, ".") {
			return text + u.name
		}
	}
	if d < 100*time.Second {
		return Text(d.Seconds(), 3) + "s"
	}
	return d.Round(time.Second).String()
}

// Bytes is a size as the files of this project write it: "16MiB" where a unit
// goes into it, else the bytes.
func Bytes(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Age is a duration as tables show it, with one or two units: "12s", "3m07s", "2h05m", "3d01h".
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Duration is a duration without units that are zero: "30s", "3m", "1m30s".
func Duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Count is a number with its noun, in the plural unless n is 1.
func Count(n int, noun, plural string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + plural
}
