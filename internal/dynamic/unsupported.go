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

// What the parser does not know, by the line where it stops.
var (
	annotatedNamespace = regexp.MustCompile(`^\s*namespace\b[^(]*\(`)
	withoutID          = regexp.MustCompile(`[(,]\s*(?:required\s+|optional\s+)?[\w.<>, ]+\s+\w+\s*[,)=]`)
	withID             = regexp.MustCompile(`[(,]\s*-?\d+\s*:`)
)

// unsupported is the end of an error about something that Apache's compiler
// takes and this one does not, "" for other errors.
func unsupported(text string) string {
	if strings.Contains(text, `unknown identifier "uuid"`) {
		return "; the type uuid is not supported here: declare it as binary or string"
	}
	if strings.Contains(text, "unexpected '&'") {
		return "; references with & are not supported here: take the & out, the data is the same"
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
	case withoutID.MatchString(line) && !withID.MatchString(line):
		return "; arguments and fields need their ids here: write 1: before the first"
	}
	return ""
}
