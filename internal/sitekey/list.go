package sitekey

import (
	"fmt"
	"slices"
	"strings"
)

// Line is a key with the number of its line, from 1.
type Line struct {
	Key  Key
	Line int
}

// ParseList reads the text of a key file: one key a line, empty lines and
// comments after # left out. A byte order mark and the line ends of Windows
// are taken. A text without any key is an error, as it is mostly a file that is
// being written.
func ParseList(text string) ([]Line, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	var out []Line
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) > 1 {
			return nil, fmt.Errorf("line %d: several words; write one key a line, and notes behind #", i+1)
		}
		k, err := Parse(words[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		at := slices.IndexFunc(out, func(l Line) bool { return l.Key == k })
		if at >= 0 {
			return nil, fmt.Errorf("line %d: the same key stands in line %d; take one of them out", i+1, out[at].Line)
		}
		if len(out) == Most {
			return nil, fmt.Errorf("line %d: more than %d keys; take out those that no process signs with any more", i+1, Most)
		}
		out = append(out, Line{k, i + 1})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it holds no key; a key is a line that begins with %s", Prefix)
	}
	return out, nil
}
