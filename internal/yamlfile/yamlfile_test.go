package yamlfile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

type shape struct {
	Name    string            `yaml:"name"`
	Version string            `yaml:"version"`
	Weight  int               `yaml:"weight" default:"100" zero:"-1 sends it no calls"`
	Limit   int               `yaml:"limit" default:"0"`
	Size    int               `yaml:"size" unit:"bytes"`
	Every   time.Duration     `yaml:"every"`
	On      bool              `yaml:"on"`
	Tags    map[string]string `yaml:"tags"`
	Also    []string          `yaml:"also"`
	Retries *int              `yaml:"retries" default:"1"`
	More    map[string]shape  `yaml:"more"`
	List    []shape           `yaml:"list"`
}

func decode(t *testing.T, text string) shape {
	t.Helper()
	var s shape
	if err := Unmarshal("f.yaml", []byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScalarsStayAsWritten: a version is a text, even if it looks like a number.
func TestScalarsStayAsWritten(t *testing.T) {
	for _, version := range []string{
		"1.10", "2.0", "007", "1_000", "0x1F", "1e3", ".5", "yes", "on", "2026-11-29", "+1", "1.10.0",
	} {
		s := decode(t, "version: "+version+"\ntags: {n: "+version+", "+version+": x}\nalso: ["+version+"]\n")
		if s.Version != version || s.Tags["n"] != version || s.Tags[version] != "x" || s.Also[0] != version {
			t.Errorf("%s became %q, %q, %q", version, s.Version, s.Tags, s.Also)
		}
	}
	s := decode(t, "version: !!str 1.10\nname: \"~\"\nretries: 0\nlimit: 0\nsize: 1MiB\nevery: none\n")
	if s.Version != "1.10" || s.Name != "~" || s.Retries == nil || *s.Retries != 0 || s.Size != 1<<20 ||
		s.Every != None {
		t.Errorf("read %+v", s)
	}
}

func TestByteOrderMark(t *testing.T) {
	if s := decode(t, "\xef\xbb\xbfname: a\nversion: 1.10\n"); s.Name != "a" || s.Version != "1.10" {
		t.Errorf("read %+v", s)
	}
}

// TestMerge: own keys win wherever << stands, of several merged mappings the earlier one, and
// merged mappings may merge.
func TestMerge(t *testing.T) {
	s := decode(t, `
more:
  a: &a {every: 5s, weight: 1}
  b: &b {every: 4s, weight: 2, size: 7}
  before: {every: 900ms, <<: *a}
  behind:
    <<: *a
    every: 800ms
  first: {<<: [*a, *b]}
  second: {<<: [*b, *a]}
  chain: &chain {<<: *b, weight: 9}
  chained: {<<: *chain}
  null: {<<: {weight: 3}, weight: ~}
  tags: {tags: &t {x: 1, y: 2}}
  own: {tags: {<<: *t, y: 3, z: 4}}
`)
	for _, c := range []struct {
		name, want string
	}{
		{"before", "900ms 1 0"}, {"behind", "800ms 1 0"}, {"first", "5s 1 7"}, {"second", "4s 2 7"},
		{"chain", "4s 9 7"},
		{"chained", "4s 9 7"}, {"null", "0s 0 0"},
	} {
		m := s.More[c.name]
		if got := fmt.Sprint(m.Every, " ", m.Weight, " ", m.Size); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if got := fmt.Sprint(s.More["own"].Tags); got != "map[x:1 y:3 z:4]" {
		t.Errorf("tags: %s", got)
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"slip", "a: 1\nlist:\n- {vesion: 1}\n",
			[]string{"f.yaml:1: a: no such key", "f.yaml:3: list[0].vesion: no such key; did you mean version?"}},
		{"elsewhere", "more: {a: {name: x}}\nlist:\n- also: [a]\n  x: 1\n",
			[]string{"f.yaml:4: list[0].x: no such key; there are name"}},
		{"twice", "name: a\nname: b\n", []string{"f.yaml:2: name: stands twice; the first is in line 1"}},
		{"twice in a map", "tags:\n  a: 1\n  b: 1\n  a: 2\n",
			[]string{"f.yaml:4: tags.a: stands twice; the first is in line 2"}},
		{"two merges", "more: {a: &a {name: x}, b: {<<: *a, <<: *a}}\n",
			[]string{"f.yaml:1: more.b: << stands twice; merge several mappings by <<: [*a, *b]"}},
		{"merge of a text", "more: {a: {<<: x}}\n",
			[]string{`f.yaml:1: more.a: << merges keys and values (*name) or a list of such, got "x"`}},
		{"alias in a merge", "more: {a: {<<: [*x]}}\n",
			[]string{"f.yaml:1: more.a: no anchor &x stands before this alias"}},
		{"alias of itself", "more: {a: &a {more: {b: *a}}}\n", []string{"no anchor &a stands before this alias"}},
		{"zero", "weight: 0\n",
			[]string{"f.yaml:1: weight: 0 is not possible here; leave the key out for the default (100); -1 sends it " +
				"no calls"}},
		{"no unit", "every: 30\n", []string{`f.yaml:1: every: 30 has no unit; write "30s"`}},
		{"kinds", "name: [a]\ntags: x\nalso: {a: b}\non: maybe\nlimit: 1.5\n",
			[]string{"1: name: want a text, got a list", "2: tags: want names and values",
				"3: also[0]: want a text, got keys", "4: on: want true", "5: limit: want a whole"}},
		{"a list as a key", "? [a, b]\n: c\n", []string{"f.yaml:2: no YAML: found an invalid key for this map"}},
		{"no YAML", "a: b: c\n", []string{"f.yaml:1: no YAML: "}},
		{"tab", "tags:\n\ta: b\n", []string{"YAML is indented with spaces, never with tabs"}},
		{"two documents", "name: a\n---\nname: b\n", []string{"f.yaml:3: a second document"}},
		{"UTF-16", "\xff\xfen\x00a\x00", []string{"f.yaml:1: this is UTF-16"}},
		{"GBK", "name: a\nversion: \xb7\xa2\n", []string{"f.yaml:2: the bytes"}},
	} {
		var s shape
		err := Unmarshal("f.yaml", []byte(c.text), &s)
		wrong, ok := errors.AsType[*Error](err)
		if !ok || len(wrong.Problems) != len(c.want) {
			t.Errorf("%s: got %v, want %d problems", c.name, err, len(c.want))
			continue
		}
		for i, line := range strings.Split(err.Error(), "\n") {
			if !strings.Contains(line, c.want[i]) {
				t.Errorf("%s: got %s\nwant %s", c.name, line, c.want[i])
			}
		}
	}
}

// TestLimits: a short file is refused at once if it would become a large one, or if the parser
// would take minutes for it.
func TestLimits(t *testing.T) {
	var laughs, wide strings.Builder
	laughs.WriteString("more:\n  c0: &c0 {name: a, tags: {a: b, c: d}}\n")
	for i := 1; i < 12; i++ {
		aliases := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*c%d, ", i-1), 10), ", ")
		fmt.Fprintf(&laughs, "  c%d: &c%d {list: [%s]}\n", i, i, aliases)
	}
	merges := strings.ReplaceAll(strings.ReplaceAll(laughs.String(), "{list: [", "{<<: ["), "]}", "]}")
	wide.WriteString("more:\n  a: &a\n    also:\n")
	wide.WriteString(strings.Repeat("    - x\n", 1000))
	wide.WriteString("list:\n")
	wide.WriteString(strings.Repeat("- *a\n", 1000))
	long := "list:\n- name: &a " + strings.Repeat("x", 1e5) + "\n" + strings.Repeat("- name: *a\n", 100)
	for name, c := range map[string]struct{ text, want string }{
		"texts":     {long, "aliases bring more than 4194304 bytes"},
		"words":     {"list: [" + strings.Repeat("1,", 2e5) + "]", "more than 300000 words and marks"},
		"marked":    {strings.Repeat("? a\n", 5e4), `more than 100 keys with "?" in front`},
		"one line":  {"list: [" + strings.Repeat(",", 2e5) + "]", "no YAML"}, // the library's text of it took minutes
		"laughs":    {laughs.String(), "aliases bring more than 100000 values"},
		"merges":    {merges, "aliases bring more than 100000 values"},
		"quadratic": {wide.String(), "aliases bring more than 100000 values"},
		"brackets":  {strings.Repeat("[", 1e5), "nested deeper than 64 levels"},
		"braces":    {strings.Repeat("{a: ", 2e4), "nested deeper than 64 levels"},
		"dashes":    {strings.Repeat("- ", 1e5), "nested deeper than 64 levels"},
		"questions": {strings.Repeat("? ", 5e4), "nested deeper than 64 levels"},
		"anchors":   {strings.Repeat("&a ", 5e4), "nested deeper than 64 levels"},
		"tags":      {strings.Repeat("!a ", 5e4), "nested deeper than 64 levels"},
		"keys":      {strings.Repeat("a: 1\n", 2e4), "a mapping of more than 10000 keys"},
		"inner":     {"more:\n" + strings.Repeat("  a: 1\n", 2e4), "a mapping of more than 10000 keys"},
		"problems":  {strings.Repeat("x", 20) + ": 1\n" + strings.Repeat("name: 1\n", 500), "more problems follow"},
	} {
		var s shape
		err := Unmarshal("f.yaml", []byte(c.text), &s)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.300v, want %s", name, err, c.want)
		}
		if err != nil && len(err.Error()) > 64<<10 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	honest := "list:\n" + strings.Repeat("- name: a\n  version: 1.10\n  tags:\n    a: b\n", 5000)
	if s := decode(t, honest); len(s.List) != 5000 {
		t.Errorf("read %d entries", len(s.List))
	}
}

func TestSizes(t *testing.T) {
	good := map[string]int64{"1": 1, "64KiB": 64 << 10, "16 MiB": 16 << 20, "2kB": 2000, "5B": 5, "1GiB": 1 << 30}
	for text, want := range good {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "MiB", "1.5MiB", "99999999999GiB", "1 potato"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name: a\nmore: {a: &a {name: x}, b: {<<: [*a], tags: {x: y}}}\nlist:\n- *a\n")
	f.Add("? a\n: &b b\n*b : c\nversion: !!str 1.10\nalso: |\n  text\n")
	f.Fuzz(func(t *testing.T, text string) {
		var s shape
		for _, p := range Decode([]byte(text), &s, nil).Problems {
			if p.Text == "" {
				t.Error("a problem without a text")
			}
		}
	})
}
