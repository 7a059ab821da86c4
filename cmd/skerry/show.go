package main

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/mask"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/quote"
)

// showConfig prints a configuration with its defaults as YAML, so that the output can be a
// configuration file.
func (a *app) showConfig(c skerry.Config) error {
	tree := settings(reflect.ValueOf(c.WithDefaults()))
	tree = slices.DeleteFunc(tree, func(s setting) bool { return s.key == "service" }) // service is one of services
	if a.flags.json {
		return a.printJSON(toMap(tree))
	}
	var b strings.Builder
	writeYAML(&b, tree, "")
	a.printf("%s", quote.Lines(b.String()))
	return nil
}

// hidden stands for a secret, which the printed file leaves out.
type hidden struct{}

func (hidden) MarshalText() ([]byte, error) { return []byte(mask.Set), nil }

// setting is a key with its value: a string, number, bool, hidden, []any or []setting.
type setting struct {
	key   string
	value any
}

// settings returns the values of a configuration struct in the order of its fields. It
// leaves out empty texts, lists and maps.
func settings(v reflect.Value) []setting {
	var list []setting
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if value := settingOf(v.Field(i), tag); value != nil {
			list = append(list, setting{tag.Get("yaml"), value})
		}
	}
	return list
}

func settingOf(v reflect.Value, tag reflect.StructTag) any {
	if d, ok := v.Interface().(time.Duration); ok {
		switch {
		case d < 0:
			return "none"
		case d == 0: // unset, without a default
			return nil
		}
		return durationText(d)
	}
	if n, isInt := v.Interface().(int); isInt && tag.Get("unit") == "bytes" {
		if n < 0 {
			return "none"
		}
		return number.Bytes(int64(n))
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return settingOf(v.Elem(), tag)
	case reflect.Struct:
		if inner := settings(v); len(inner) > 0 {
			return inner
		}
		return nil
	case reflect.String:
		switch text := v.String(); {
		case text == "":
			return nil
		case tag.Get("secret") == "url":
			return mask.URL(text)
		case tag.Get("secret") != "":
			return hidden{}
		default:
			return text
		}
	case reflect.Slice:
		return listOf(v)
	case reflect.Map:
		var list []setting
		keys := slices.SortedFunc(slices.Values(v.MapKeys()),
			func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			if inner := settingOf(v.MapIndex(k), ""); inner != nil {
				list = append(list, setting{k.String(), inner})
			}
		}
		if len(list) == 0 {
			return nil
		}
		return list
	}
	return v.Interface()
}

func listOf(v reflect.Value) any {
	var list []any
	for i := range v.Len() {
		if inner := settingOf(v.Index(i), ""); inner != nil {
			list = append(list, inner)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

func writeYAML(b *strings.Builder, tree []setting, indent string) {
	for _, s := range tree {
		if _, secret := s.value.(hidden); secret {
			fmt.Fprintf(b, "%s# %s: %s\n", indent, scalar(s.key), mask.Set)
			continue
		}
		fmt.Fprintf(b, "%s%s:", indent, scalar(s.key))
		writeValue(b, s.value, indent)
	}
}

func writeValue(b *strings.Builder, value any, indent string) {
	switch v := value.(type) {
	case []setting:
		b.WriteString("\n")
		writeYAML(b, v, indent+"  ")
	case []any:
		b.WriteString("\n")
		for _, e := range v {
			fields, isStruct := e.([]setting)
			if !isStruct {
				fmt.Fprintf(b, "%s  - %s\n", indent, scalar(e))
				continue
			}
			var inner strings.Builder
			writeYAML(&inner, fields, indent+"    ")
			b.WriteString(indent + "  - " + strings.TrimLeft(inner.String(), " "))
		}
	default:
		fmt.Fprintf(b, " %s\n", scalar(v))
	}
}

func scalar(v any) string {
	text, isText := v.(string)
	if !isText {
		return fmt.Sprint(v)
	}
	plain := func(r rune) bool {
		return r == '-' || r == '_' || r == '.' || r == '/' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' ||
			r >= 'A' && r <= 'Z'
	}
	isNull := strings.EqualFold(text, "null")
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 && text[0] != '-' && !isNull {
		return text
	}
	return strconv.Quote(strings.ReplaceAll(text, "${", "$${"))
}

// durationText returns a duration without units that are zero: "30s", "3m", "1m30s".
func durationText(d time.Duration) string { return number.Duration(d) }

func toMap(tree []setting) map[string]any {
	m := map[string]any{}
	for _, s := range tree {
		m[s.key] = s.value
		switch v := s.value.(type) {
		case []setting:
			m[s.key] = toMap(v)
		case []any:
			list := slices.Clone(v)
			for i, e := range list {
				if inner, ok := e.([]setting); ok {
					list[i] = toMap(inner)
				}
			}
			m[s.key] = list
		}
	}
	return m
}
