package policytext

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skerry/skerry/policy/form"
)

// Insert returns a text with the item in its place. See the package.
func Insert(text string, item Item) (string, error) {
	before, problems := form.Read([]byte(text))
	if before == nil {
		return "", fmt.Errorf("the text has mistakes, which come first: %s", firstFault(problems))
	}
	e := &edit{text: text, item: item}
	if !strings.HasSuffix(e.text, "\n") {
		e.text += "\n"
	}
	after, err := e.insert()
	if err != nil {
		return "", err
	}
	if p, _ := form.Read([]byte(after)); p != nil && p.Items() != before.Items()+1 {
		return "", e.byHand(errors.New("the form does not understand the text there"))
	}
	return after, nil
}

func firstFault(problems []form.Problem) string {
	for _, p := range problems {
		if !p.Note {
			return p.String()
		}
	}
	return ""
}

// path is where the list of an item stands.
func (i Item) path() (keys []string) {
	if i.Plan != "" {
		keys = append(keys, "plans", i.Plan)
	}
	keys = append(keys, "services", i.Service)
	if i.List == "allow" || i.List == "deny" {
		keys = append(keys, "access")
	}
	return append(keys, i.List)
}

// edit is one insertion.
type edit struct {
	text string
	item Item
}

// byHand is an error that says what to write where.
func (e *edit) byHand(why error) error {
	return fmt.Errorf("%w; write it into %s by hand: - %s", why, strings.Join(e.item.path(), "."), e.item)
}

// region is a block mapping: its lines from first to before last, whose keys stand behind indent spaces.
type region struct{ first, last, indent int }

func (e *edit) insert() (string, error) {
	lines := strings.Split(strings.TrimSuffix(e.text, "\n"), "\n")
	r := region{0, len(lines), indentOf(lines, 0, len(lines))}
	path := e.item.path()
	at := -1 // line of the key above
	for depth, name := range path {
		line, rest := find(lines, r, name)
		if line < 0 {
			if at < 0 { // behind all
				at = len(lines) - 1
			}
			return e.between(lines, at, e.block(path[depth:], r.indent, depth)), nil
		}
		value := strings.TrimLeft(rest, " \t")
		offset := offsetOf(lines, line) + len(lines[line]) - len(value)
		switch {
		case strings.HasPrefix(value, "{"), strings.HasPrefix(value, "["):
			return e.flow(strings.Join(lines, "\n")+"\n", offset, path[depth+1:], depth+1)
		case value != "" && value[0] != '#' && (value[0] != '&' || strings.Contains(strings.TrimSpace(value), " ")):
			return "", e.byHand(fmt.Errorf("line %d is not written out", line+1))
		}
		end := endOf(lines, line+1, r.last, r.indent)
		at, r = line, region{line + 1, end, indentOf(lines, line+1, end)}
		if r.indent < 0 { // it is empty
			r.indent = strings.IndexFunc(lines[line], notSpace) + 2
		}
	}
	return e.between(lines, at, []string{strings.Repeat(" ", r.indent) + "- " + e.item.String()}), nil
}

// between puts lines behind the line at.
func (e *edit) between(lines []string, at int, more []string) string {
	all := append(append(append([]string{}, lines[:at+1]...), more...), lines[at+1:]...)
	return strings.Join(all, "\n") + "\n"
}

// block writes the rest of the path, on lines of their own. depth is that of the first key.
func (e *edit) block(path []string, indent, depth int) (lines []string) {
	full := e.item.path()
	for n, name := range path {
		space := strings.Repeat(" ", indent+2*n)
		lines = append(lines, space+keyText(name)+":")
		for _, extra := range e.extras(full, depth+n) {
			lines = append(lines, space+"  "+extra)
		}
	}
	return append(lines, strings.Repeat(" ", indent+2*len(path))+"- "+e.item.String())
}

// extras are the keys that a new mapping of the path gets beside.
func (e *edit) extras(path []string, depth int) (list []string) {
	switch {
	case path[depth] == "access" && depth == len(path)-2:
		if e.item.Mode != "" {
			list = append(list, "mode: "+Scalar(e.item.Mode))
		}
		if e.item.Default != "" {
			list = append(list, "default: "+Scalar(e.item.Default))
		}
	case e.item.Plan != "" && depth == 1 && e.item.PlanWhy != "":
		list = append(list, "why: "+Scalar(e.item.PlanWhy))
	}
	return list
}

func keyText(name string) string { return Scalar(name) }

func notSpace(r rune) bool { return r != ' ' }

// content reports whether a line is neither empty nor a comment.
func content(line string) bool {
	text := strings.TrimSpace(line)
	return text != "" && text[0] != '#' && text != "---" && !strings.HasPrefix(line, "%")
}

// indentOf is the indent of the first line with content, -1 without one.
func indentOf(lines []string, from, to int) int {
	for _, line := range lines[from:to] {
		if content(line) {
			return strings.IndexFunc(line, notSpace)
		}
	}
	return -1
}

// endOf is the first line behind the value of a key that stands behind indent spaces. The items of a list may stand as
// far to the left as its key.
func endOf(lines []string, from, to, indent int) int {
	for n := from; n < to; n++ {
		if !content(lines[n]) {
			continue
		}
		at := strings.IndexFunc(lines[n], notSpace)
		if at < indent || at == indent && !strings.HasPrefix(lines[n][at:], "- ") && lines[n][at:] != "-" {
			return n
		}
	}
	return to
}

// find returns the line of a key and what stands behind its colon; -1 when it is not there.
func find(lines []string, r region, name string) (line int, rest string) {
	for n := r.first; n < r.last; n++ {
		if !content(lines[n]) || strings.IndexFunc(lines[n], notSpace) != r.indent {
			continue
		}
		if key, rest, ok := keyOf(lines[n][r.indent:]); ok && key == name {
			return n, rest
		}
	}
	return -1, ""
}

// offsetOf is where a line begins in the text.
func offsetOf(lines []string, line int) (n int) {
	for _, l := range lines[:line] {
		n += len(l) + 1
	}
	return n
}

// keyOf reads a key and its colon at the beginning of a text.
func keyOf(text string) (key, rest string, ok bool) {
	if text != "" && (text[0] == '"' || text[0] == '\'') {
		end := quoteEnd(text, 0)
		if end < 0 {
			return "", "", false
		}
		key, text = unquote(text[:end]), strings.TrimLeft(text[end:], " ")
		if !strings.HasPrefix(text, ":") {
			return "", "", false
		}
		return key, text[1:], true
	}
	for i := range len(text) {
		if text[i] == ':' && (i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\t') {
			return strings.TrimRight(text[:i], " "), text[i+1:], true
		}
	}
	return "", "", false
}
