package skerry

import (
	"fmt"
	"reflect"
	"strings"
)

// keysOf lists the keys of a configuration struct in the order of its fields.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("yaml"))
	}
	return keys
}

// suggestKey is the end of the sentence about an unknown key: the key that
// was probably meant, where else one of that name stands, or what there is.
func suggestKey(t reflect.Type, name string) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	if best := closest(name, keysOf(t)); best != "" {
		return "; did you mean " + best + "?"
	}
	if path := findKey(reflect.TypeFor[Config](), "", name); path != "" {
		return "; did you mean " + path + "?"
	}
	return fmt.Sprintf("; there are %s", strings.Join(keysOf(t), ", "))
}

// findKey looks for a key of that very name anywhere in t.
func findKey(t reflect.Type, prefix, name string) string {
	for i := range t.NumField() {
		f := t.Field(i)
		key := joinKey(prefix, f.Tag.Get("yaml"))
		if f.Tag.Get("yaml") == name {
			return key
		}
		if inner := f.Type; inner.Kind() == reflect.Struct {
			if found := findKey(inner, key, name); found != "" {
				return found
			}
		}
	}
	if prefix == "" {
		return findKey(reflect.TypeFor[Consumer](), "consumers.NAME", name)
	}
	return ""
}

// closest is the name among known that differs from s by at most a third of
// its letters, "" without one.
func closest(s string, known []string) string {
	if len(s) > 64 {
		return "" // no slip of the pen
	}
	best, least := "", max(2, len(s)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(s), k); d < least && d < len(k) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, change or swap with a
// neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
