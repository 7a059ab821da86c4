package policytext

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Item is an entry of a list of a policy.
type Item struct {
	Plan    string // that it belongs to; "": it holds at once
	PlanWhy string // of a plan that the text does not have yet
	Service string // or "*"
	List    string // weights, limits, fallback, allow or deny
	Fields  []Field

	// Of an access that the service does not have yet, for allow and deny.
	Mode, Default string
}

// Field is a key of an item with its value. Fields without a value are left out.
type Field struct {
	Key    string
	Value  string
	Raw    bool // the value is YAML: a number, a time, or a mapping that was checked
	Values bool // the value is a list of texts with commas between them
}

// String is the item as YAML on one line.
func (i Item) String() string {
	var match, rest []string
	for _, f := range i.Fields {
		if strings.TrimSpace(f.Value) == "" {
			continue
		}
		key, inner := strings.CutPrefix(f.Key, "match.")
		text := key + ": " + f.text()
		if inner {
			match = append(match, text)
		} else {
			rest = append(rest, text)
		}
	}
	if len(match) > 0 {
		rest = slices.Insert(rest, 0, "match: {"+strings.Join(match, ", ")+"}")
	}
	return "{" + strings.Join(rest, ", ") + "}"
}

func (f Field) text() string {
	if f.Raw {
		return strings.TrimSpace(f.Value)
	}
	if !f.Values {
		return Scalar(f.Value)
	}
	var list []string
	for part := range strings.SplitSeq(f.Value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, Scalar(part))
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// plain are texts that need no quotes.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// otherKinds are words that YAML takes for values of another kind.
var otherKinds = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}

func isPlain(s string) bool {
	return plain.MatchString(s) && !slices.Contains(otherKinds, strings.ToLower(s))
}

// Scalar is a text as a scalar of YAML.
func Scalar(s string) string {
	if isPlain(s) {
		return s
	}
	return quoted(s)
}

// ASCII is Scalar with letters of ASCII only.
func ASCII(s string) string {
	if isPlain(s) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// quoted keeps letters of all languages readable.
func quoted(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == '\ufeff' || r > 0xffff }) {
		return strconv.QuoteToASCII(s)
	}
	return strconv.Quote(s)
}
