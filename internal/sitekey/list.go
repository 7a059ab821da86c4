package sitekey

import (
	"fmt"
	"slices"
	"strings"
)

// Line is a key as written in a file.
type Line struct {
	Key    Key
	Number int    // of the line, from 1
	Note   string // text behind #
}

// Format is the line for a file, with the secret.
func (l Line) Format() string {
	note := strings.Join(strings.Fields(l.Note), " ")
	if note == "" {
		return l.Key.Text()
	}
	return l.Key.Text() + " # " + note
}

// ParseList reads the text of a key file: one key a line, without empty lines and comments after #.
// It accepts a byte order mark and the line ends of Windows. A text without any key is an error,
// because the file is mostly just being written.
func ParseList(text string) ([]Line, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	var out []Line
	for i, line := range strings.Split(text, "\n") {
		line, note, _ := strings.Cut(line, "#")
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
			return nil, fmt.Errorf("line %d: the same key stands in line %d; take one of them out", i+1, out[at].Number)
		}
		if len(out) == Most {
			return nil, fmt.Errorf("line %d: more than %d keys; take out those that no process signs with any more",
				i+1, Most)
		}
		out = append(out, Line{k, i + 1, strings.TrimSpace(note)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it holds no key; a key is a line that begins with %s", Prefix)
	}
	return out, nil
}
