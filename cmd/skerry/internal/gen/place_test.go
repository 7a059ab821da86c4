package gen

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const clock = `namespace go site.clock
service Clock { i64 ticks() (skerry.stream = "server") }
`

// clockStock are the names of the stock package that the stubs of clock use.
const clockStock = `package clock
type ClockClient struct{}
func NewClockClient() {}
func NewClockProcessor() {}
type ClockTicksArgs struct{}
func NewClockTicksArgs() {}
type ClockTicksResult struct{}
func NewClockTicksResult() {}
`

// tree writes files below a new directory, and makes that the current one.
func tree(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text),
			0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPlace: the stock package is found where the stock compiler writes it, and the stubs go beside it.
func TestPlace(t *testing.T) {
	files := map[string]string{
		"go.mod":                      "module example.com/m // the site\n",
		"clock.thrift":                clock,
		"idl/clock.thrift":            clock,
		"gen/site/clock/" + mark:      "package clock\n",
		"gen/site/clock/clock.go":     clockStock,
		"idl/other/stubs/a.go":        "package named\n",
		"idl/other/stubs/a_test.go":   "package a_test\n",
		"far/go.mod":                  "module \"example.com/far\"\n",
		"far/clock/GoProtection__.go": clockStock,
		"bad/clock/clock.go":          strings.ReplaceAll(clockStock, "ClockTicksArgs", "Other"),
		"idl/broken/clock/clock.go":   "package",
		"mod/go.mod":                  "go 1.26\n",
	}
	tree(t, files)
	outside := t.TempDir()
	for _, c := range []struct {
		name     string
		o        Options
		want     Place
		mistaken string
	}{
		{"as the stock compiler writes it", Options{File: "clock.thrift"},
			Place{Package: "example.com/m/gen/site/clock", Path: "gen/site/clockstream/clock.go",
				Name: "clockstream"}, ""},
		{"of a file elsewhere", Options{File: "idl/clock.thrift"},
			Place{Package: "example.com/m/gen/site/clock", Path: "gen/site/clockstream/clock.go",
				Name: "clockstream"}, ""},
		{"by its directory", Options{File: "clock.thrift", Package: "./gen/site/clock"},
			Place{Package: "example.com/m/gen/site/clock", Path: "gen/site/clockstream/clock.go",
				Name: "clockstream"}, ""},
		{"by its path", Options{File: "clock.thrift", Package: "example.com/m/gen/site/clock"},
			Place{Package: "example.com/m/gen/site/clock", Path: "gen/site/clockstream/clock.go",
				Name: "clockstream"}, ""},
		{"in another module below", Options{File: "clock.thrift", Package: "./far/clock", Out: "out"},
			Place{Package: "example.com/far/clock", Path: "out/clock.go", Name: "out"}, ""},
		{"in another module", Options{File: "clock.thrift", Package: "example.com/x/clock", Out: "Some-Out.2"},
			Place{Package: "example.com/x/clock", Path: "Some-Out.2/clock.go", Name: "someout2"}, ""},
		{"in a package that is there", Options{File: "clock.thrift", Out: "idl/other/stubs/new.go"},
			Place{Package: "example.com/m/gen/site/clock", Path: "idl/other/stubs/new.go", Name: "named"}, ""},
		{"in a directory without a name", Options{File: "clock.thrift", Out: "1"},
			Place{Package: "example.com/m/gen/site/clock", Path: "1/clock.go", Name: "clockstream"}, ""},
		{"on the standard output", Options{File: "clock.thrift", Out: "-"},
			Place{Package: "example.com/m/gen/site/clock", Path: "-", Name: "clockstream"}, ""},

		{"beside nothing", Options{File: "clock.thrift", Package: "example.com/x/clock"}, Place{},
			"package example.com/x/clock is not in the module of this directory; name the file of the stubs with " +
				"--out"},
		{"in the stock package", Options{File: "clock.thrift", Out: "gen/site/clock/x.go"}, Place{},
			"the stubs cannot be in gen/site/clock, because they have the names of the stock package there; name " +
				"another " +
				"directory with --out"},
		{"no path", Options{File: "clock.thrift", Package: "a b"}, Place{},
			`--package "a b" is no import path, such as example.com/site/gen/site/clock`},
		{"outside of modules", Options{File: "clock.thrift", Package: outside}, Place{},
			"the import path of " + outside + " is not known: no go.mod is above; name it with --package"},
		{"in a module without a name", Options{File: "clock.thrift", Package: "./mod/x"}, Place{}, "names no module"},
		{"over a stock package of another file", Options{File: "clock.thrift", Package: "./bad/clock"}, Place{},
			"the stock compiler's package in bad/clock has no ClockTicksArgs; make it again from clock.thrift " +
				"(thrift --gen go …, without ignore_initialisms)"},
		{"over a package that is no Go", Options{File: "clock.thrift", Package: "./idl/broken/clock"}, Place{},
			"read the stock package: idl/broken/clock/clock.go:1:8: expected 'IDENT'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := Generate(c.o)
			if c.mistaken != "" {
				if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), filepath.ToSlash(c.mistaken)) {
					t.Errorf("have error %v\nwant %s", err, c.mistaken)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			have := out.Place
			have.stock, have.Path = "", filepath.ToSlash(have.Path)
			if have != c.want {
				t.Errorf("have %+v\nwant %+v", have, c.want)
			}
		})
	}
}

// TestNoPlace: a stock package that is in no place, or in two, is not guessed.
func TestNoPlace(t *testing.T) {
	tree(t, map[string]string{"go.mod": "module m", "clock.thrift": clock})
	_, err := Generate(Options{File: "clock.thrift"})
	want := "the stock compiler's package of clock.thrift is not at gen-go/site/clock, gen/site/clock, site/clock; " +
		"make " +
		"it first (thrift --gen go …), or name its import path or directory with --package"
	if err == nil || filepath.ToSlash(err.Error()) != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
	tree(t, map[string]string{"go.mod": "module m", "clock.thrift": clock, "gen/site/clock/" + mark: "package clock",
		"gen-go/site/clock/" + mark: "package clock"})
	_, err = Generate(Options{File: "clock.thrift"})
	want = "the stock compiler's package of clock.thrift may be at gen-go/site/clock or gen/site/clock; name one " +
		"with " +
		"--package"
	if err == nil || filepath.ToSlash(err.Error()) != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
}

// TestOtherPackages: the packages of included files have the prefix that the path of the file's own package shows.
func TestOtherPackages(t *testing.T) {
	text := "include \"base.thrift\"\nnamespace go site.clock\nservice Clock { base.T t() (skerry.stream = " +
		"\"server\") }"
	tree(t, map[string]string{"clock.thrift": text, "base.thrift": "namespace go site.base\nstruct T { 1: i64 t }"})
	for path, want := range map[string]string{"site/clock": `"site/base"`, "x/y/site/clock": `"x/y/site/base"`} {
		out, err := Generate(Options{File: "clock.thrift", Package: path, Out: "-"})
		if err != nil || !strings.Contains(string(out.Text), want) {
			t.Errorf("%s: have %v, want %s", path, err, want)
		}
	}
	_, err := Generate(Options{File: "clock.thrift", Package: "my-site/clock", Out: "-"})
	want := "clock.thrift includes types of the package site/base: the import path of its own package must end with " +
		"site/clock for that to be found, and it is my-site/clock"
	if err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
}
