package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/words"
)

// rateText is calls a second: 0.4, 12, 1,605.
func rateText(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return words.Grouped(int64(v + 0.5))
}

// percent is a number in percent: 0, 0.02, 12.4.
func percent(v float64) string {
	switch {
	case v == 0:
		return "0.00"
	case v < 0.01:
		return "< 0.01"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// millis is a latency in milliseconds: 0.4, 12, 2,412.
func millis(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return words.Grouped(int64(v + 0.5))
}

// offsetText is by how many seconds a clock is ahead of another one: +0.4, −12, 0.0.
func offsetText(s float64) string {
	text := strconv.FormatFloat(math.Abs(s), 'f', 1, 64)
	if math.Abs(s) >= 100 {
		text = words.Grouped(int64(math.Abs(s) + 0.5))
	}
	switch {
	case math.Abs(s) < 0.05:
		return text
	case s < 0:
		return "−" + text
	}
	return "+" + text
}

// spanText is a length of time in words: 4 s, 12 min, 18 d 4 h.
func spanText(l language, d time.Duration) string {
	d = max(d, 0)
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case d < time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " " + l.Text("unit.s")
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " " + l.Text("unit.s")
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " " + l.Text("unit.min")
	case days < 2:
		return fmt.Sprintf("%d %s %d %s", int(d.Hours()), l.Text("unit.h"), minutes, l.Text("unit.min"))
	}
	return fmt.Sprintf("%d %s %d %s", days, l.Text("unit.d"), hours, l.Text("unit.h"))
}

// stampText is a time, with its day unless that is today.
func stampText(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04")
}

// dayText is a day with its name, such as Sunday 29 November.
func dayText(l language, t time.Time) string {
	t = t.Local()
	return l.Text("unit.day", "weekday", l.Text("unit."+strings.ToLower(t.Weekday().String())), "day", t.Day(),
		"month", l.Text("unit."+strings.ToLower(t.Month().String())), "m", int(t.Month()))
}
