package policytext

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// flow inserts the item into a mapping or a list in braces that begins at an offset. path is what is left of the keys,
// depth that of its first one.
func (e *edit) flow(text string, at int, path []string, depth int) (string, error) {
	if len(path) == 0 {
		if text[at] != '[' {
			return "", e.byHand(fmt.Errorf("%s is no list", strings.Join(e.item.path(), ".")))
		}
		return opened(text, at, e.item.String()), nil
	}
	if text[at] != '{' {
		return "", e.byHand(errors.New("a list stands where keys should be"))
	}
	value, err := flowValue(text, at, path[0])
	if err != nil {
		return "", e.byHand(err)
	}
	if value < 0 {
		return opened(text, at, e.braced(path, depth)), nil
	}
	if text[value] != '{' && text[value] != '[' {
		return "", e.byHand(fmt.Errorf("the value of %s is not written out", path[0]))
	}
	return e.flow(text, value, path[1:], depth+1)
}

// braced writes the rest of the path within braces.
func (e *edit) braced(path []string, depth int) string {
	if len(path) == 1 {
		return keyText(path[0]) + ": [" + e.item.String() + "]"
	}
	inner := append(e.extras(e.item.path(), depth), e.braced(path[1:], depth+1))
	return keyText(path[0]) + ": {" + strings.Join(inner, ", ") + "}"
}

// opened puts more first behind an opening brace.
func opened(text string, at int, more string) string {
	rest := text[at+1:]
	if next := strings.TrimLeft(rest, " \t\n"); next != "" && next[0] != '}' && next[0] != ']' {
		more += ", "
		rest = strings.TrimLeft(rest, " ")
	}
	return text[:at+1] + more + rest
}

// flowValue is where the value of a key begins in a mapping in braces, -1 when the key is not there.
func flowValue(text string, at int, name string) (int, error) {
	depth, key, fresh := 0, at+1, true // key is where an entry begins, until its colon has come
	for i := at; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '"' || c == '\'') && begins(text, i):
			end := quoteEnd(text, i)
			if end < 0 {
				return 0, errors.New("a quote does not end")
			}
			i = end - 1
		case c == '#' && (text[i-1] == ' ' || text[i-1] == '\n'):
			if end := strings.IndexByte(text[i:], '\n'); end >= 0 {
				i += end
			}
			if fresh && strings.TrimSpace(text[key:i]) != "" && strings.HasPrefix(strings.TrimSpace(text[key:i]), "#") {
				key = i
			}
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return -1, nil
			}
		case c == ',' && depth == 1:
			key, fresh = i+1, true
		case c == ':' && depth == 1 && fresh:
			found := strings.TrimSpace(text[key:i])
			fresh = false
			if found != "" && (found[0] == '"' || found[0] == '\'') {
				found = unquote(found)
			}
			if found == name {
				value := strings.TrimLeft(text[i+1:], " \t\n")
				if value == "" {
					return 0, errors.New("the braces do not end")
				}
				return len(text) - len(value), nil
			}
		}
	}
	return 0, errors.New("the braces do not end")
}

// flowItems are the beginnings and ends of the items of a list in braces that begins at an offset.
func flowItems(text string, at int) (items [][2]int, err error) {
	if text[at] != '[' {
		return nil, errors.New("there is no list")
	}
	depth, first, last := 0, -1, -1 // of the item: its first byte, and the one behind its last
	err = flowWalk(text, at, func(i int, c byte) bool {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		switch {
		case depth == 1 && c == ',' || depth == 0:
			if first >= 0 {
				items = append(items, [2]int{first, last})
			}
			first = -1
		case depth == 1 && c == '[' && i == at || c == ' ' || c == '\t' || c == '\n':
		default:
			if last = i + 1; first < 0 {
				first = i
			}
		}
		return depth > 0
	})
	return items, err
}

// flowEnd is behind the mapping in braces that begins at an offset.
func flowEnd(text string, at int) (end int, err error) {
	depth := 0
	err = flowWalk(text, at, func(i int, c byte) bool {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		end = i + 1
		return depth > 0
	})
	return end, err
}

// flowWalk shows the bytes of a value in braces from an offset on, without those of comments, until more says no. The
// bytes of a text in quotes are all shown as quotes.
func flowWalk(text string, at int, more func(i int, c byte) bool) error {
	for i := at; i < len(text); i++ {
		c := text[i]
		switch {
		case (c == '"' || c == '\'') && begins(text, i):
			end := quoteEnd(text, i)
			if end < 0 {
				return errors.New("a quote does not end")
			}
			for ; i < end; i++ {
				if !more(i, '"') {
					return nil
				}
			}
			i--
			continue
		case c == '#' && i > 0 && strings.IndexByte(" \t\n", text[i-1]) >= 0:
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				return errors.New("the braces do not end")
			}
			i += end - 1
			continue
		}
		if !more(i, c) {
			return nil
		}
	}
	return errors.New("the braces do not end")
}

// commented reports whether a text has a comment.
func commented(text string) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '"' || c == '\'') && begins(text, i):
			if end := quoteEnd(text, i); end >= 0 {
				i = end - 1
			}
		case c == '#' && i > 0 && strings.IndexByte(" \t\n", text[i-1]) >= 0:
			return true
		}
	}
	return false
}

// begins reports whether a quote at i begins a text, and is not part of a plain one.
func begins(text string, i int) bool { return i == 0 || strings.IndexByte(" \t\n{[,:", text[i-1]) >= 0 }

// quoteEnd is behind the end of a text in quotes that begins at i, -1 when it does not end.
func quoteEnd(text string, i int) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] == quote && quote == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return -1
}

func unquote(text string) string {
	if text[0] == '\'' {
		return strings.ReplaceAll(strings.Trim(text, "'"), "''", "'")
	}
	if s, err := strconv.Unquote(text); err == nil {
		return s
	}
	return text
}
