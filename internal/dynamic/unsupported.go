package dynamic

import (
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/textfile"
)

// place is where the parser stopped.
var place = regexp.MustCompile(`file "([^"]+)": parse error line (\d+)`)

// Lines at which it stops.
var (
	annotatedNamespace = regexp.MustCompile(`^\s*namespace\b[^(]*\(`)
	reference          = regexp.MustCompile(`:\s*[\w.]+\s*&\s*\w`)
)

// unsupported is the end of an error about something that Apache's compiler
// takes and this one does not, "" for other errors.
func unsupported(text string) string {
	if strings.Contains(text, `unknown identifier "uuid"`) {
		return "; the type uuid is not supported here: call the method by generated code"
	}
	if strings.Contains(text, "field IDs must be in the range") {
		return "; arguments and fields need their ids here; Apache's compiler counts -1, -2, … where there are none, " +
			"and these can't be written: call the method by generated code"
	}
	found := place.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	data, err := os.ReadFile(found[1])
	if err != nil {
		return ""
	}
	data, _ = textfile.Plain(data)
	number, _ := strconv.Atoi(found[2]) // digits
	lines := strings.Split(string(data), "\n")
	if number < 1 || number > len(lines) {
		return ""
	}
	switch line := lines[number-1]; {
	case annotatedNamespace.MatchString(line):
		return "; annotations of a namespace are not supported here: take them out"
	case reference.MatchString(line):
		return "; references with & are not supported here: take the & out, the data is the same"
	}
	return ""
}
