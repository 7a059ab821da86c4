package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestConfigurationPage keeps the table of docs/configuration.md equal to the
// struct tags: every key, its kind and unit, its default, in one order.
func TestConfigurationPage(t *testing.T) {
	const path = "../docs/configuration.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| key | kind | default | meaning |\n|---|---|---|---|\n")
	want := tableOf(reflect.TypeFor[Config](), "")
	for i, row := range strings.Split(table, "\n") {
		if !strings.HasPrefix(row, "|") {
			if i != len(want) {
				t.Errorf("%s: the table has %d rows, want %d", path, i, len(want))
			}
			break
		}
		if i >= len(want) || !strings.HasPrefix(row, want[i]) {
			t.Fatalf("%s: row %d reads\n%s\nwant one that begins with\n%s", path, i+1, row,
				strings.Join(want[min(i, len(want)-1):][:1], ""))
		}
		if len(row) < len(want[i])+10 {
			t.Errorf("%s: row %d says nothing: %s", path, i+1, row)
		}
	}
	if t.Failed() || table == "" {
		t.Logf("the whole table:\n%s", strings.Join(want, "\n"))
	}
}

// tableOf returns the begin of each row.
func tableOf(typ reflect.Type, prefix string) (rows []string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		key := strings.TrimPrefix(prefix+"."+f.Tag.Get("yaml"), ".")
		switch inner := f.Type; {
		case inner.Kind() == reflect.Struct:
			rows = append(rows, tableOf(inner, key)...)
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct:
			rows = append(rows, fmt.Sprintf("| `%s` | list |  | ", key))
		case inner == reflect.TypeFor[map[string]Consumer]():
			rows = append(rows, tableOf(reflect.TypeFor[Consumer](), key+".NAME")...)
		case inner == reflect.TypeFor[map[string]Program]():
			rows = append(rows, tableOf(reflect.TypeFor[Program](), key+".NAME")...)
		default:
			byDefault := f.Tag.Get("default")
			if byDefault != "" {
				byDefault = "`" + byDefault + "`"
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | ", key, kindOf(f), byDefault))
		}
	}
	return rows
}

func kindOf(f reflect.StructField) string {
	unit := f.Tag.Get("unit")
	switch f.Type {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[bool]():
		return "true/false"
	case reflect.TypeFor[[]string]():
		return "list of texts"
	case reflect.TypeFor[map[string]string]():
		return "names and texts"
	case reflect.TypeFor[int](), reflect.TypeFor[*int]():
		if unit == "bytes" {
			return "size"
		}
		return "number (" + unit + ")"
	}
	return "text"
}

// TestEveryDefaultIsGood reads every default tag, which panics on an invalid value, and validates
// the result.
func TestEveryDefaultIsGood(t *testing.T) {
	c := Config{Service: Service{Name: "a"}, Consumers: map[string]Consumer{"b": {}}}
	if err := c.WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	if c.Services != nil {
		t.Error("WithDefaults changed the receiver")
	}
}
