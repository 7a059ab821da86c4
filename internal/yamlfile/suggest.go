package yamlfile

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/skerry/skerry/internal/suggest"
)

// keysOf lists the keys of a struct in the order of its fields.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("yaml"))
	}
	return keys
}

// suggestKey ends the sentence about an unknown key of t. It names the probably intended key,
// another place in the document with a key of that name, or all known keys.
func suggestKey(root, t reflect.Type, name string) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	if found := suggest.DidYouMean(name, keysOf(t)); found != "" {
		return found
	}
	for _, deep := range []bool{false, true} {
		if path := findKey(root, "", name, deep); path != "" {
			return "; did you mean " + path + "?"
		}
	}
	return fmt.Sprintf("; there are %s", strings.Join(keysOf(t), ", "))
}

// findKey searches for a key of the same name in t; deep also searches in maps and lists. A type
// may contain itself.
func findKey(t reflect.Type, prefix, name string, deep bool) string {
	const deepest = 4
	if strings.Count(prefix, ".") >= deepest {
		return ""
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			key := joinKey(prefix, f.Tag.Get("yaml"))
			if f.Tag.Get("yaml") == name {
				return key
			}
			if found := findKey(f.Type, key, name, deep); found != "" {
				return found
			}
		}
	case reflect.Map:
		if deep {
			return findKey(t.Elem(), joinKey(prefix, "NAME"), name, deep)
		}
	case reflect.Pointer:
		return findKey(t.Elem(), prefix, name, deep)
	case reflect.Slice:
		if deep {
			return findKey(t.Elem(), prefix+"[]", name, deep)
		}
	}
	return ""
}
