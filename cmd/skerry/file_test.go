package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
)

// TestManifestKeepsVersions: a manifest is parsed like the configuration.
func TestManifestKeepsVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "release.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\ufeffmodules:\n  kit: &kit {version: 1.10, old: 007, wish: 1, check_time: 5s, env: {n: 1.50}}\n" +
		"  mail: {wish: 3, <<: *kit}\n")
	all, err := readManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	kit, mail := all["kit"], all["mail"]
	if kit.Version != "1.10" || kit.Old != "007" || kit.Env["n"] != "1.50" || mail.Wish != 3 || mail.Version != "1.10" {
		t.Errorf("read %+v", all)
	}
	for _, c := range [][2]string{
		{"modules: {kit: {verzion: v2}}\n", ":1: modules.kit.verzion: no such key; did you mean version?"},
		{"modules:\n  kit: {version: v1/2}\n", "character '/' in place 3"},
		{"modules:\n  kit: {version: v2, wish: 0}\n",
			":2: modules.kit.wish: 0 is not possible here; leave the key out"},
		{"modules:\n  kit: {version: v2, wish: -1}\n", "want a number of instances"},
		{"modules:\n  kit: {version: v2, patience: none}\n", "patience: want a duration"},
		{"modules:\n  kit: {version: v2}\n  kit: {}\n", ":3: modules.kit: stands twice; the first is in line 2"},
		{"\xff\xfem\x00o\x00", ":1: this is UTF-16"},
		{"modules: {kit: {version: v2, patience: 30}}\n", `30 has no unit; write "30s"`},
		{"# \xb7\xa2\xc9\xe4\nmodules: {kit: {version: v2}}\n", ":1: the bytes"},
	} {
		text, want := c[0], c[1]
		write(text)
		if _, err := readManifest(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestShipRefusesImpossibleVersions: ship refuses versions that no instance can have,
// because it would wait for them without end.
func TestShipRefusesImpossibleVersions(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	for _, version := range []string{"v1/2", "a b", "第二版"} {
		code, out := d.on(t, "", "ship", "auth", "--version", version, "--yes")
		if code != exitUsage || !strings.Contains(out, "the version") || !strings.Contains(out, "in place") {
			t.Errorf("ship %q: exit code %d\n%s", version, code, out)
		}
		code, out = d.on(t, "", "config", "put", "auth", "version="+version, "--yes")
		if code != exitUsage || !strings.Contains(out, "in place") {
			t.Errorf("config put version=%q: exit code %d\n%s", version, code, out)
		}
	}
}

// TestSettingsKeepCommas: each setting has its own line, with any characters.
func TestSettingsKeepCommas(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.must(t, "config", "put", "auth", "version=1.10", "args=a,b --tag=x,y")
	if code, out := d.on(t, "", "config", "get", "auth"); code != exitOK ||
		!strings.HasSuffix(out, "args=a,b --tag=x,y\nversion=1.10\n") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// TestShownConfigurationIsOne: the output of config show passes config check and has
// the same meaning.
func TestShownConfigurationIsOne(t *testing.T) {
	text := `
cluster: site-2
mode: database
zone: "null"
services:
- name: auth
  version: 1.10
  listen: "0.0.0.0:9000"
  weight: -1
  tags: {note: "$${x} 发射场", odd: "a: b #c \"d\""}
  entry: ["*"]
- {name: mail, version: "Null"}
consumers:
  "*": {timeout: 3s, retries: 2}
  auth: {breaker: {off: true}, idempotent: [GetToken], max_pending: 7}
database: {url: "postgres://app:hunter2@db/site"}
lan: {seeds: ["10.0.0.1:99", host-2]}
stop: {grace: none, drain: 90s}
memory: {floor: none}
limits: {frame: 1000000}
gateway:
  routes: [{path: /, service: web}, {path: /a, service: auth, timeout: 5s, encoded_slash: refuse}]
state_dir: none
`
	path := writeConfig(t, text)
	want, err := config.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	code, shown, errs := cli(t, "", "config", "show", "-c", path)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	for _, lie := range []string{"timeout: 0s", "ratio: 0", "calls: 0", "window: 0s", "floor: -1", "hunter2"} {
		if strings.Contains(shown, lie) {
			t.Errorf("it shows %q:\n%s", lie, shown)
		}
	}
	again := writeConfig(t, shown)
	if code, out, errs := cli(t, "", "config", "check", again); code != exitOK {
		t.Fatalf("config check: exit code %d\n%s%s\n%s", code, out, errs, shown)
	}
	got, err := config.Read(again)
	if err != nil {
		t.Fatal(err)
	}
	got, want = got.WithDefaults(), want.WithDefaults()
	got.Database.URL, want.Database.URL = "", ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestConfigCheckOfTheGateway: the check finds the errors with which skerry gateway ends.
func TestConfigCheckOfTheGateway(t *testing.T) {
	text := "cluster: a\ngateway:\n  routes:\n  - {path: /, service: web}\n  - {path: /a//b, service: web}\n" +
		"  - path: /c\n    service: web\n    thrift: /nowhere/c.thrift\n  tls:\n    cert: /nowhere/c.pem\n" +
		"    key: /nowhere/k.pem\n"
	path := writeConfig(t, text)
	code, out, errs := cli(t, "", "config", "check", path)
	for _, want := range []string{
		path + `:5: gateway.routes[1].path: "/a//b": write "/a/b"`, path + ":6: gateway.routes[2]: read thrift file: ",
		path + ":9: gateway.tls: open /nowhere/c.pem",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want %s, got\n%s%s", want, out, errs)
		}
	}
	if code != exitProblem || strings.Count(out, "\n") != 3 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	good := writeConfig(t,
		"cluster: a\ngateway: {routes: [{path: /, service: clock, thrift: "+clockFile(t)+", interface: Clock}]}\n")
	if code, out, errs := cli(t, "", "config", "check", good); code != exitOK {
		t.Errorf("a good one: exit code %d\n%s%s", code, out, errs)
	}
	bad := writeConfig(t,
		"cluster: a\ngateway: {routes: [{path: /, service: clock, thrift: "+clockFile(t)+", interface: Watch}]}\n")
	if code, out, _ := cli(t, "", "config", "check", bad); code != exitProblem ||
		!strings.Contains(out, `has no service "Watch"`) {
		t.Errorf("an interface that the file has not: exit code %d\n%s", code, out)
	}
}

// TestConfigCheckOfDescriptions: the check reads the .thrift files that describe services, which a process reads late.
func TestConfigCheckOfDescriptions(t *testing.T) {
	const proxy = "proxy:\n  programs:\n    billing:\n      listen: unix:/run/skerry/billing.sock\n      provides:\n" +
		"      - service: clock\n        addr: 127.0.0.1:9090\n        thrift: "
	path := writeConfig(t, "cluster: a\nservice:\n  name: clock\n  thrift: /nowhere/a.thrift\n"+proxy+
		"/nowhere/b.thrift\n")
	code, out, errs := cli(t, "", "config", "check", path)
	for _, want := range []string{path + ":4: service.thrift: read thrift file: ",
		path + ":12: proxy.programs.billing.provides[0].thrift: read thrift file: "} {
		if !strings.Contains(out, want) {
			t.Errorf("want %s, got\n%s%s", want, out, errs)
		}
	}
	if code != exitProblem || strings.Count(out, "\n") != 2 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	good := writeConfig(t, "cluster: a\nservice: {name: clock, thrift: "+clockFile(t)+"}\n"+proxy+clockFile(t)+"\n")
	if code, out, errs := cli(t, "", "config", "check", good); code != exitOK {
		t.Errorf("good ones: exit code %d\n%s%s", code, out, errs)
	}
}

// TestConfigCheckOfTheSite: the check reports the errors with which a service ends, in
// the same words and with the line.
func TestConfigCheckOfTheSite(t *testing.T) {
	dir := t.TempDir()
	for key, line := range map[string]string{
		"site.operators": "  operators: " + dir + "/none",
		"site.keys":      "  keys: [" + dir + "/none]",
	} {
		path := writeConfig(t, "cluster: a\nstate_dir: none\nmode: broadcast\nsite:\n"+line+"\n")
		_, err := skerry.OpenFile(t.Context(), path)
		if err == nil {
			t.Fatalf("%s: a node opens", key)
		}
		_, text, _ := strings.Cut(err.Error(), key+": ")
		want := path + ":5: " + key + ": " + text + "\n"
		if code, out, errs := cli(t, "", "config", "check", path); code != exitProblem || out != want {
			t.Errorf("%s: exit code %d\n%s%swant %s", key, code, out, errs, want)
		}
		if code, _, errs := cli(t, "", "config", "show", "-c", path); code != exitOK {
			t.Errorf("%s: config show: exit code %d\n%s", key, code, errs)
		}
	}
	for _, path := range []string{dir, dir + "/none.yaml"} {
		if code, _, errs := cli(t, "", "config", "check", path); code != exitUsage || errs == "" {
			t.Errorf("check of %s, which can't be read: exit code %d\n%s", path, code, errs)
		}
	}
}

// TestConfigCheckOfAnEmptyFile: the check tells the meaning of an empty file.
func TestConfigCheckOfAnEmptyFile(t *testing.T) {
	code, out, errs := cli(t, "", "config", "check", writeConfig(t, "# nothing\n"))
	if code != exitOK || !strings.Contains(out, "nothing is wrong") || !strings.Contains(errs, `cluster "default"`) ||
		!strings.Contains(errs, "this host alone") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if _, _, errs := cli(t, "", "config", "check", writeConfig(t, "cluster: a\n")); errs != "" {
		t.Errorf("a file that names its cluster: %s", errs)
	}
}

// full is a writer to a disk without room.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

// TestFailedOutput: no command exits with status 0 after its output was lost.
func TestFailedOutput(t *testing.T) {
	cfg := writeConfig(t, "cluster: a\nstate_dir: none\n")
	idl := clockFile(t)
	for _, line := range [][]string{
		{"--help"}, {"version"}, {"version", "--json"}, {"config", "show"}, {"config", "show", "--json"},
		{"config", "check"}, {"completion", "bash"},
		{"schema"}, {"call", "clock", "-t", idl, "--interface", "Clock"}, {"key", "--help"},
	} {
		var errs strings.Builder
		code := execute(t.Context(), append(line, "-c", cfg), strings.NewReader(""), full{}, &errs)
		if code == exitOK || strings.Count(errs.String(), errFull.Error()) != 1 {
			t.Errorf("%v: exit code %d\n%s", line, code, errs.String())
		}
	}
	if code := execute(t.Context(), []string{"version"}, strings.NewReader(""), io.Discard, full{}); code != exitOK {
		t.Errorf("only stderr is lost: exit code %d", code)
	}
}

func TestStatsOfNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.stats.log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{{"stats", "nix", "--log", file}, {"stats", "--log", file, "--json"}} {
		if code, out, errs := cli(t, "", line...); code != exitProblem || out == "" {
			t.Errorf("%v: exit code %d\n%s%s", line, code, out, errs)
		}
	}
}

// TestAdvertisedByAnnounce: for an address without a host, announce uses the advertised
// address of the configuration.
func TestAdvertisedByAnnounce(t *testing.T) {
	c := skerry.Config{
		Services: []config.Service{
			{Name: "a", Advertise: "10.9.8.7"},
			{Name: "b", Advertise: "b.site:9090"},
			{Name: "c", Advertise: "127.0.0.0/8"},
		},
	}
	for service, want := range map[string]string{
		"a": "10.9.8.7", "b": "b.site", "c": "127.0.0.1", "foreign": "10.9.8.7",
	} {
		if got, err := advertised(c, service); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", service, got, err, want)
		}
	}
	for host, want := range map[string]bool{"localhost": true, "LOCALHOST.": true, "ip6-localhost": true,
		"x.localhost": true, "localhost.localdomain": true, "127.0.0.2": true, "::1": true, "10.0.0.1": false,
		"localhosts": false, "host-2": false} {
		if ownHostOnly(host) != want {
			t.Errorf("%s: want %v", host, want)
		}
	}
	if code, _, errs := cli(t, "", "announce", "--service", "a", "--addr", ":1", "--weight", "0"); code != exitUsage ||
		!strings.Contains(errs, "-1: listed") {
		t.Errorf("--weight 0: exit code %d\n%s", code, errs)
	}
}

func TestCompletions(t *testing.T) {
	entry := func(service, version string) discovery.Entry {
		var e discovery.Entry
		e.Service, e.Version = service, version
		return e
	}
	entries := []discovery.Entry{
		entry("b", "v2"), entry("a", ""), entry("b", "v1"), entry("a b", "v3"), entry("b", "v2"),
	}
	versions := completions(entries, func(e discovery.Entry) string { return e.Version })
	if !reflect.DeepEqual(versions, []string{"v1", "v2", "v3"}) {
		t.Errorf("versions: %q", versions)
	}
	services := completions(entries, func(e discovery.Entry) string { return e.Service })
	if !reflect.DeepEqual(services, []string{"a", "b"}) {
		t.Errorf("services: %q", services)
	}
	for _, line := range [][]string{
		{"release", "ship", ""}, {"release", "ship", "a", "--version", ""}, {"release", "config", "put", ""},
	} {
		cfg := writeConfig(t, "cluster: nobody-else\nstate_dir: none\nlan: {port: 39217}\n")
		code, out, errs := cli(t, "",
			append(append([]string{"__complete", "--config", cfg}, line[:len(line)-1]...), line[len(line)-1])...)
		if code != exitOK || !strings.Contains(out, ":4") { // file names are absent
			t.Errorf("%v: exit code %d\n%s%s", line, code, out, errs)
		}
	}
}

func TestHints(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		3 * time.Second: 10 * time.Second, 10 * time.Second: 30 * time.Second, time.Hour: 2 * time.Hour,
	} {
		if got := longer(d); got != want {
			t.Errorf("longer than %v: %v, want %v", d, got, want)
		}
	}
	if got := latency(0) + " " + latency(2040*time.Millisecond); got != "- 2.04s" {
		t.Errorf("got %s", got)
	}
}
