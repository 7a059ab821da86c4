package doctor

import "github.com/skerry/skerry/internal/quote"

// Level is the importance of a finding.
type Level string

// The levels. Only a problem makes doctor exit with code 1.
const (
	Fine    Level = "ok"
	Hint    Level = "note"    // worth knowing, needs no action
	Problem Level = "PROBLEM" // needs an action
)

// Finding is one result of doctor.
type Finding struct {
	Area  string     `json:"area"`
	Level Level      `json:"level"`
	Text  quote.Safe `json:"text"`
	Do    quote.Safe `json:"do,omitempty"` // the action to take
}

// List collects the findings of one area.
type List struct {
	Area string
	All  []Finding
}

// Fine adds what is as it should be.
func (l *List) Fine(format string, args ...any) { l.add(Fine, "", format, args) }

// Hint adds what is worth knowing.
func (l *List) Hint(do quote.Safe, format string, args ...any) { l.add(Hint, do, format, args) }

// Problem adds what needs an action.
func (l *List) Problem(do quote.Safe, format string, args ...any) { l.add(Problem, do, format, args) }

func (l *List) add(level Level, do quote.Safe, format string, args []any) {
	l.All = append(l.All, Finding{l.Area, level, quote.Sprintf(format, args...), do})
}

// Problems is the number of findings that need an action.
func Problems(list []Finding) (n int) {
	for _, f := range list {
		if f.Level == Problem {
			n++
		}
	}
	return n
}
