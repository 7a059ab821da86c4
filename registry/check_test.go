package registry

import (
	"errors"
	"strings"
	"testing"
)

// TestCheckText: text for terminals, tables and logs holds no control characters and is UTF-8, in
// every field of an instance.
func TestCheckText(t *testing.T) {
	for name, bad := range map[string]string{
		"escape sequence": "a\x1b[2Jb", "line break": "a\nb", "carriage return": "a\rb", "NUL": "a\x00b",
		"delete": "a\x7fb", "C1 control": "a\u009bb", "no UTF-8": "a\xffb",
	} {
		base := Instance{Service: "auth", Version: "v1", Host: "10.0.0.5", Port: 7000}
		for field, change := range map[string]func(*Instance){
			"service": func(in *Instance) { in.Service = bad },
			"version": func(in *Instance) { in.Version = bad },
			"zone":    func(in *Instance) { in.Zone = bad },
			"host":    func(in *Instance) { in.Host = bad },
			"tag":     func(in *Instance) { in.Tags = map[string]string{"k": bad} },
			"tag key": func(in *Instance) { in.Tags = map[string]string{bad: "v"} },
		} {
			in := base
			change(&in)
			err := in.Check()
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s in the %s: %v, want ErrInvalid", name, field, err)
				continue
			}
			if strings.ContainsAny(err.Error(), "\x00\x1b\n\r\x7f\u009b") {
				t.Errorf("%s in the %s: the error repeats it unquoted", name, field)
			}
		}
	}
	in := Instance{Service: "auth", Host: "host-1.site", Port: 1, Tags: map[string]string{"room": "Halle 3 · 三号厅"}}
	if err := in.Check(); err != nil {
		t.Errorf("printable text is refused: %v", err)
	}
}

func TestCheckOfPlainServers(t *testing.T) {
	for _, c := range []struct {
		tag, value string
		ok         bool
	}{
		{tagPrefix, "Auth", true}, {tagPrefix, "com.site.Auth", true}, {tagPrefix, "Auth:", false},
		{tagPrefix, "a b", false}, {tagPrefix, strings.Repeat("a", 64), false},
		{tagConcurrency, "8", true}, {tagConcurrency, "-1", false}, {tagConcurrency, "eight", false},
		{tagConcurrency, "100001", false},
	} {
		err := Instance{Service: "auth", Host: "10.0.0.5", Port: 7000, Tags: map[string]string{c.tag: c.value}}.Check()
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s=%s: %v", c.tag, c.value, err)
		}
	}
}
