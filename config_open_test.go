package skerry

import (
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/internal/trust"
)

// oddTexts are values that at least one key refuses.
var oddTexts = []string{
	"", " ", "x y", "eth[", "eth?", "[", "/", "a/b", ":", ":0", ":99999", "::1", "[::1]", "[::1]:80", "[::1",
	"127.0.0.1", "0.0.0.0",
	"localhost", "localhost:99999", "localhost:port", "http://x", "a:b:c", "%", "%zz",
	"*", "\\", "\x00", "é", "-", "-1", "none",
	"certificates", "10.0.0.0/8", "10.0.0.0/99", "/8", "fe80::/10", strings.Repeat("x",
		300), "postgres://", "postgres://h/d?sslmode=no",
	"host=x port=y", "postgres://u:p@h:99999/d", "postgres://h/d?pool_max_conns=0", "sk1-", "p2c", "hash",
}

// withOdd calls do with every value of c in which one leaf below v is odd.
func withOdd(v reflect.Value, path string, do func(path string)) {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	defer v.Set(old)
	try := func(value any) {
		v.Set(reflect.ValueOf(value).Convert(v.Type()))
		do(fmt.Sprintf("%s = %#v", path, value))
	}
	switch v.Kind() {
	case reflect.String:
		for _, text := range oddTexts {
			try(text)
		}
	case reflect.Int, reflect.Int64:
		for _, n := range []int{-2, -1, 0, 1, 2, 65536, math.MaxInt} {
			try(n)
		}
		if v.Type() == reflect.TypeFor[time.Duration]() {
			try(time.Millisecond)
			try(time.Hour)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			withOdd(v.Field(i), path+"."+v.Type().Field(i).Tag.Get("yaml"), do)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		withOdd(v.Elem(), path, do)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		withOdd(v.Index(0), path+"[0]", do)
	case reflect.Map:
		for _, key := range []string{"*", "auth", "a b", ""} {
			value := reflect.New(v.Type().Elem()).Elem()
			withOdd(value, path+"."+key, func(path string) {
				v.Set(reflect.MakeMap(v.Type()))
				v.SetMapIndex(reflect.ValueOf(key), value)
				do(path)
			})
		}
	}
}

// TestOpenRefusesNoMore: Open accepts every configuration that Validate accepts, for every key and
// many odd values of it. The files of site are an exception, which skerry config check also reads.
func TestOpenRefusesNoMore(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("SKERRY_SITE_KEYS", "")
	tried, refused := 0, 0
	for _, base := range []Config{
		{},
		{Service: config.Service{Name: "kit"}, Database: config.Database{URL: "postgres://h/d"}},
		{Mode: config.ModeBroadcast, Site: config.Site{Keys: []string{config.KeysNone}}},
	} {
		c := base
		c.StateDir, c.Log.Level = "none", "error"
		withOdd(reflect.ValueOf(&c).Elem(), "", func(path string) {
			if tried++; c.Validate() != nil {
				refused++
				return
			}
			if _, err := trust.New(trustOf(c.WithDefaults())); err != nil {
				return
			}
			n, err := newNode(c.WithDefaults(), []Option{AsObserver(), WithLogger(slog.New(slog.DiscardHandler))})
			if err != nil {
				t.Errorf("%s: Validate takes it, and Open says: %v", path, err)
				return
			}
			n.calls.Close()
			n.files.Close()
		})
	}
	if tried < 2000 || refused < 500 {
		t.Errorf("tried %d values, of which Validate has refused %d", tried, refused)
	}
}

// TestOpenWithoutItsFiles: a missing file that the configuration names is an error with its name,
// and the state files are free for the next start.
func TestOpenWithoutItsFiles(t *testing.T) {
	dir := t.TempDir()
	good := Config{Mode: config.ModeBroadcast, StateDir: dir, Log: config.Log{Level: "error"},
		Service: config.Service{Name: "kit"}, Site: config.Site{Keys: []string{config.KeysNone}}}
	for key, edit := range map[string]func(*Config){
		"site.operators": func(c *Config) { c.Site.Operators = dir + "/none" },
		"site.keys":      func(c *Config) { c.Site.Keys = []string{dir + "/none"} },
	} {
		bad := good
		edit(&bad)
		if n, err := Open(t.Context(), bad); n != nil || err == nil || !strings.Contains(err.Error(), key) ||
			!strings.Contains(err.Error(), dir+"/none") {
			t.Fatalf("%s: %v, %v", key, n, err)
		}
		n, err := newNode(good.WithDefaults(), nil)
		if err != nil || filepath.Base(n.files.Path(state.Rules)) != state.Name("kit", "0")+string(state.Rules) {
			t.Fatalf("after %s the state files are not free: %v", key, err)
		}
		n.calls.Close()
		n.files.Close()
	}
}
