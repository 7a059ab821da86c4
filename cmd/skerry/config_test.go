package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
)

func TestConfigCommands(t *testing.T) {
	bad := writeConfig(t, "cluster: a b\nmoed: auto\ndatabase: {heartbeat: 30s, expiry: 10s}\n")
	code, out, errs := cli(t, "", "config", "check", bad)
	if code != exitProblem || !strings.Contains(out, bad+":1: cluster") || !strings.Contains(out, bad+":2: moed") ||
		!strings.Contains(out, ":3: database") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if code, _, errs := cli(t, "", "ls", "-c", bad); code != exitUsage || !strings.Contains(errs, "moed") {
		t.Errorf("ls with it: exit code %d\n%s", code, errs)
	}
	good := writeConfig(t, "cluster: site-2\ndatabase: {url: \"postgres://app:hunter2@db/site\"}\nlan: {key: "+
		lab.SiteKey+"}\nservices: [{name: auth, tags: {a: b}}, {name: proc}]\n")
	code, out, errs = cli(t, "", "config", "check", "--show", good)
	if code != exitOK || strings.Contains(out, "hunter2") || strings.Contains(out, lab.SiteKey[4:20]) ||
		!strings.Contains(out, "expiry: 1m30s") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	// The output of show is a configuration again, without its secrets.
	code, out, errs = cli(t, "", "config", "show", "-c", good, "--cluster", "other")
	if code != exitOK || !strings.Contains(out, "cluster: other") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	again := writeConfig(t, strings.ReplaceAll(out, "(set)", lab.SiteKey))
	if c, err := config.Read(again); err != nil || c.Cluster != "other" || len(c.Services) != 2 {
		t.Errorf("shown configuration: %v %+v\n%s", err, c, out)
	}
	if code, out, _ := cli(t, "", "config", "show", "-c", good, "--json"); code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if code, _, _ := cli(t, "", "config", "check", filepath.Join(t.TempDir(), "none.yaml")); code != exitUsage {
		t.Errorf("a missing file: exit code %d", code)
	}
	t.Chdir(t.TempDir())
	t.Setenv("SKERRY_CONFIG", good)
	if code, out, _ := cli(t, "", "config", "check"); code != exitOK || !strings.Contains(out, good) {
		t.Errorf("SKERRY_CONFIG: exit code %d\n%s", code, out)
	}
	if err := os.WriteFile("skerry.yaml", []byte("cluster: here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := cli(t, "", "config", "show"); !strings.Contains(out, "cluster: here") {
		t.Errorf("./skerry.yaml: %s", out)
	}
}
