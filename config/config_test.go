package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/internal/yamlfile"
)

// read parses a configuration as Read does.
func read(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "skerry.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read(path)
}

func TestConfigOfTheReadme(t *testing.T) {
	c, err := read(t, `
# everything has a default; this is a provider at a site with a database
cluster: launch-site-2
mode: auto                      # auto | database | broadcast
service: {name: auth, version: v1, listen: ":0"}
database: {url: "postgres://app@db/site"}
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Cluster != "launch-site-2" || c.Mode != ModeAuto || c.Service.Name != "auth" || c.Service.Version != "v1" ||
		c.Database.URL != "postgres://app@db/site" {
		t.Errorf("read %+v", c)
	}
	full := c.WithDefaults()
	if full.Database.Expiry != 90*time.Second || full.Services[0].Weight != 100 || full.Limits.Frame != 16<<20 {
		t.Errorf("defaults: %+v", full)
	}
}

func TestConfigEverythingHasADefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "cluster:\n", "service: {}\n"} {
		c, err := read(t, text)
		if text == "service: {}\n" {
			if err == nil || !strings.Contains(err.Error(), "a service needs a name") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err != nil || c.WithDefaults().Cluster != "default" {
			t.Errorf("%q: %v, %+v", text, err, c)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigValues(t *testing.T) {
	t.Setenv("SKERRY_TEST_PASSWORD", "s3cr:et")
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte(testsite.SiteKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := read(t, `
database: {url: "postgres://app:${SKERRY_TEST_PASSWORD}@db/site"}
zone: "${SKERRY_TEST_NOT_SET:-hall-1}"
lan:
  key: "${file:`+secret+`}"
  interfaces: eth0
  announce: 2m
services:
  - &auth {name: auth, version: 1.10, tags: {rack: 4, note: "$${x}"}}
  - <<: *auth
    version: 2
stop: {grace: none}
memory: {floor: none}
limits: {frame: 64KiB}
consumers:
  "*": {timeout: 3s, retries: 2}
  auth: {retries: 0, idempotent: [GetToken]}
`)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("url", c.Database.URL, "postgres://app:s3cr%3Aet@db/site")
	check("zone", c.Zone, "hall-1")
	check("key", c.LAN.Key, testsite.SiteKey)
	check("interfaces", strings.Join(c.LAN.Interfaces, " "), "eth0")
	check("version", c.Services[0].Version, "1.10")
	check("merged", c.Services[1].Name+c.Services[1].Version+c.Services[1].Tags["rack"], "auth24")
	check("escaped", c.Services[0].Tags["note"], "${x}")
	check("none", c.Stop.Grace, yamlfile.None)
	check("no floor", c.Memory.Floor, -1)
	check("frame", c.Limits.Frame, 64<<10)
	check("own retries", *c.ConsumerOf("auth").Retries, 0)
	check("retries of *", *c.ConsumerOf("proc").Retries, 2)
	check("timeout of *", c.ConsumerOf("auth").Timeout, 3*time.Second)
	check("default", c.ConsumerOf("auth").Balancer, "p2c")
}

// TestConfigProblems reads common mistakes. Each gets an error with its line, its key and the
// remedy.
func TestConfigProblems(t *testing.T) {
	cases := []struct {
		name, text string
		want       []string // one for each problem, in the order of the file
	}{
		{"slip", "clutser: x\n", []string{":1: clutser: no such key; did you mean cluster?"}},
		{"nested slip", "mode: auto\ndatabase:\n  url: postgres://db/site\n  hearbeat: 30s\n",
			[]string{":4: database.hearbeat: no such key; did you mean heartbeat?"}},
		{"wrong place", "port: 7000\n", []string{":1: port: no such key; did you mean lan.port?"}},
		{"wrong place, consumer", "timeout: 2s\n", []string{"did you mean consumers.NAME.timeout?"}},
		{"far off", "database: {flavour: x}\n",
			[]string{":1: database.flavour: no such key; there are url, heartbeat, expiry, poll"}},
		{"mode", "mode: broadcats\n",
			[]string{`:1: mode: "broadcats" is none of auto, database, broadcast; did you mean broadcast?`}},
		{"no unit", "database: {heartbeat: 30}\n", []string{`:1: database.heartbeat: 30 has no unit; write "30s"`}},
		{"no duration", "stop: {grace: soon}\n", []string{`:1: stop.grace: want a duration above zero such as "30s"`}},
		{"small floor", "memory: {floor: 1MiB}\n", []string{":1: memory.floor: 1048576 is not in 4194304.." +
			fmt.Sprint(min(math.MaxInt, 1<<40))}},
		{"no size", "limits: {frame: none}\n", []string{`:1: limits.frame: -1 is not in 1024..1073741824`}},
		{"none", "database: {heartbeat: none}\n", []string{`:1: database.heartbeat: "none" makes no sense here`}},
		{"intervals", "database:\n  heartbeat: 60s\n  expiry: 90s\n",
			[]string{":3: database.expiry: 1m30s is less than twice database.heartbeat (1m0s)"}},
		{"interval against a default", "database:\n  expiry: 45s\n",
			[]string{":2: database.expiry: 45s is less than twice database.heartbeat (30s)"}},
		{"poll", "database: {poll: 2m}\n", []string{":1: database.poll: 2m0s is longer than database.expiry (1m30s)"}},
		{"timeouts", "consumers:\n  auth: {timeout: 200ms}\n",
			[]string{":2: consumers.auth.timeout: 200ms is shorter than calls.connect_timeout (500ms)"}},
		{"number", "lan: {port: many}\n", []string{`:1: lan.port: want a whole number, got "many"`}},
		{"range", "lan: {port: 70000}\n", []string{":1: lan.port: 70000 is not in 1..65535"}},
		{"few ports", "lan: {ports: 2}\n", []string{":1: lan.ports: 2 is not in 4..1000"}},
		{"high ports", "lan: {port: 65000, ports: 900}\n", []string{":1: lan.ports: the last one would be 65900"}},
		{"list for text", "cluster: [a, b]\n", []string{":1: cluster: want a text, got a list"}},
		{"text for keys", "database: postgres://db\n",
			[]string{":1: database: want keys and values (url, heartbeat, expiry, poll), got \"postgres://db\""}},
		{"bool", "consumers: {auth: {zone_first: 1x}}\n",
			[]string{`:1: consumers.auth.zone_first: want true or false, got "1x"`}},
		{"CIDR", "lan:\n  interfaces:\n    - eth0\n    - 10.0.0.0/99\n",
			[]string{`:4: lan.interfaces[1]: "10.0.0.0/99" is no CIDR`}},
		{"name", "service: {name: \"auth service\"}\n",
			[]string{`:1: service.name: the name "auth service": character ' ' in place 5`}},
		{"consumer's name", "consumers:\n  a/b: {}\n", []string{`:2: consumers.a/b: the name "a/b": character '/'`}},
		{"listen", "service: {name: a, listen: 9090}\n", []string{`:1: service.listen: "9090" is no host:port; write`}},
		{"two ports", "services:\n- {name: a, listen: \":1\"}\n- {name: b, listen: \":2\"}\n",
			[]string{":3: services[1].listen: :2 here and :1 in services[0].listen; all services of a process share " +
				"one port"}},
		{"two of one name", "services:\n- name: a\n- name: a\n",
			[]string{":3: services[1].name: a  stands in services[0] already"}},
		{"weight", "service: {name: a, weight: 20000}\n", []string{":1: service.weight: 20000 is not in 1..10000"}},
		{"advertise", "service: {name: a, advertise: \":7000\"}\n",
			[]string{":1: service.advertise: \":7000\" names no host"}},
		{"advertise everything", "service: {name: a, advertise: 0.0.0.0}\n",
			[]string{":1: service.advertise: the host is 0.0.0.0, to which no connection can be made"}},
		{"advertise everything, port", "service: {name: a, advertise: \"[::]:9\"}\n",
			[]string{":1: service.advertise: the host is ::, to which"}},
		{"advertise to all", "service: {name: a, advertise: 239.1.2.3}\n",
			[]string{":1: service.advertise: the host is 239.1.2.3, to which"}},
		{"advertise a blank", "service: {name: a, advertise: \"host name\"}\n",
			[]string{`:1: service.advertise: the host: "host name" is no address`}},
		{"seed with a blank", "lan: {seeds: [\"host name\"]}\n",
			[]string{`:1: lan.seeds[0]: the host: "host name" is no address`}},
		{"JDBC", "database: {url: \"jdbc:postgresql://db:5432/site?user=app\"}\n",
			[]string{":1: database.url: this is no PostgreSQL URL"}},
		{"weight 0", "service: {name: a, weight: 0}\n",
			[]string{":1: service.weight: 0 is not possible here; leave the key out for the default (100); -1 lists " +
				"the instance"}},
		{"other zeros", "stats: {keep: 0}\nlan: {port: 0}\n", []string{":1: stats.keep: 0 is not possible",
			":2: lan.port: 0 is not possible"}},
		{"Chinese names", "cluster: 发射场\nservice: {name: a认证, tags: {机架: a}}\n", []string{
			":1: cluster: the name \"发射场\": character '发' in place 1;", ":2: service.name: the name \"a认证\": " +
				"character '认' in place 2;", ":2: service.tags: the tags: the key \"机架\": character '机' in place 1;"}},
		{"UTF-16", "\xff\xfec\x00", []string{":1: this is UTF-16"}},
		{"TLS pair", "tls: {cert: a.pem}\n",
			[]string{":1: tls.cert: a certificate without its private key; set tls.key"}},
		{"TLS files", "tls: {cert: /nowhere/c.pem, key: /nowhere/k.pem}\n",
			[]string{":1: tls.cert: open /nowhere/c.pem: no such file"}},
		{"TLS CA", "tls: {ca: /nowhere/ca.pem}\n", []string{":1: tls.ca: open /nowhere/ca.pem: no such file"}},
		{"database without URL", "cluster: x\nmode: database\n",
			[]string{":2: mode: mode database needs database.url"}},
		{"URL", "database: {url: \"postgres://app@db:port/site\"}\n", []string{":1: database.url: "}},
		{"environment", "database:\n  url: \"postgres://${SKERRY_TEST_MISSING}@db\"\n",
			[]string{":2: database.url: ${SKERRY_TEST_MISSING}: the environment has no variable " +
				"SKERRY_TEST_MISSING; set it"}},
		{"environment in mode database", "mode: database\ndatabase: {url: \"postgres://${SKERRY_TEST_MISSING}@db\"}\n",
			[]string{":2: database.url: ${SKERRY_TEST_MISSING}: the environment has no variable " +
				"SKERRY_TEST_MISSING; set it (a systemd unit has it from its EnvironmentFile=, a command has not), " +
				"or write ${file:PATH} for the text of a file"}},
		{"brace", "zone: \"${HOME\"\n", []string{`:1: zone: "${" without "}"`}},
		{"free text as a key", "lan: {key: correct horse battery}\n",
			[]string{":1: lan.key: this is no site key: one begins with sk1-; make one with: skerry key new"}},
		{"cut key", "lan: {key: " + testsite.SiteKey[:40] + "}\n",
			[]string{":1: lan.key: 36 letters and digits stand behind sk1-"}},
		{"mistyped key", "lan: {key: " + testsite.SiteKey[:59] + "a}\n",
			[]string{":1: lan.key: the check sum of the site key is wrong"}},
		{"key for a file", "site:\n  keys: [/etc/a.key, " + testsite.SiteKey + "]\n",
			[]string{":2: site.keys[1]: this is a key, and its place is a file"}},
		{"key file twice", "site: {keys: [a.key, a.key]}\n", []string{`:1: site.keys[1]: "a.key" stands twice`}},
		{"none and files", "site: {keys: [none, a.key]}\n", []string{`:1: site.keys[0]: "none" stands alone`}},
		{"certificates without", "site: {keys: certificates}\n",
			[]string{":1: site.keys: certificates prove membership only where every process shows one: set tls.ca"}},
		{"two names of one key", "site: {keys: a.key}\nlan: {key: " + testsite.SiteKey + "}\n",
			[]string{":2: lan.key: site.keys names files already"}},
		{"open and key", "site: {keys: none}\nlan: {key: " + testsite.SiteKey + "}\n",
			[]string{":2: lan.key: site.keys says none"}},
		{"calls", "site: {calls: seald}\n",
			[]string{`:1: site.calls: "seald" is none of sealed, prefer; did you mean sealed?`}},
		{"sealed by certificates", "site: {keys: certificates, calls: prefer}\ntls: {cert: a, key: b, ca: c}\n",
			[]string{":1: site.calls: sealed calls need the site's key, and site.keys says certificates",
				":2: tls.cert", ":2: tls.ca"}},
		{"sealed without key", "site: {keys: none, calls: sealed}\n",
			[]string{":1: site.calls: sealed calls need the site's key"}},
		{"twice", "cluster: a\ncluster: b\n", []string{":2: cluster: stands twice; the first is in line 1"}},
		{"tab", "database:\n\turl: x\n", []string{"YAML is indented with spaces, never with tabs"}},
		{"two documents", "cluster: a\n---\ncluster: b\n", []string{":3: a second document"}},
		{"alias", "cluster: *x\n", []string{":1: cluster: no anchor &x stands before this alias"}},
		{"all at once", "clutser: x\nmode: outo\nlan:\n  port: 0x\n  announce: 3\n",
			[]string{":1: clutser", ":2: mode", ":4: lan.port", ":5: lan.announce"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(t, c.text)
			var problems *Error
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want a Error", err)
			}
			if len(problems.Problems) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(problems.Problems), len(c.want), err)
			}
			for i, p := range problems.Problems {
				if !strings.Contains(p.String(), c.want[i]) {
					t.Errorf("got  %s\nwant %s", p, c.want[i])
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("cluster: x\nservices:\n- &a {name: a}\n- <<: *a\n  version: ${HOME}\n")
	f.Add("lan: {port: 1, seeds: [a, b]}\nstop: {grace: none}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Parse("x", []byte(text)); err == nil && c.Validate() != nil {
			t.Errorf("accepted and then refused: %v", c.Validate())
		}
	})
}

// TestKeysAreInNoError writes a site key into every other place of a configuration.
func TestKeysAreInNoError(t *testing.T) {
	for _, text := range []string{
		"KEY\n", "KEY: x\n", "site: KEY\n", "site: {KEY: x}\n", "site: {keys: {KEY: x}}\n", "site: {keys: [KEY]}\n",
		"site: {keys: \" KEY\"}\n", "site: {calls: KEY}\n", "mode: KEY\n", "cluster: [KEY]\n", "cluster: \"KEY KEY\"\n",
		"lan: {port: KEY}\n", "lan: {announce: KEY}\n", "lan: {key: KEYx}\n", "lan: {key: \"KEY KEY\"}\n",
		"lan: {seeds: \"KEY:x\"}\n", "limits: {frame: KEY}\n", "tls: {ca: KEY}\n",
		"database: {url: \"postgres://u:KEY@db:port/x\"}\n", "zone: \"${KEY}\"\n", "zone: \"${file:KEY}\"\n",
		"a: b: KEY\n", "site: {keys: *KEY}\n",
	} {
		for _, key := range []string{testsite.SiteKey, strings.ToUpper(testsite.SiteKey), testsite.SiteKey[:30]} {
			_, err := read(t, strings.ReplaceAll(text, "KEY", key))
			if err == nil {
				t.Errorf("%q is taken", text)
				continue
			}
			if strings.Contains(strings.ToLower(err.Error()), testsite.SiteKey[4:12]) {
				t.Errorf("%q: the error shows the key: %v", text, err)
			}
		}
	}
}

func TestSiteKeysFromTheEnvironment(t *testing.T) {
	list := "/run/a.key" + string(os.PathListSeparator) + string(os.PathListSeparator) + "/run/b.key"
	t.Setenv(envSiteKeys, list)
	if got := (Config{}).WithDefaults().Site.Keys; !slices.Equal(got, []string{"/run/a.key", "/run/b.key"}) {
		t.Errorf("%s=%s gives %q", envSiteKeys, list, got)
	}
	if got := (Config{Site: Site{Keys: []string{"own"}}}).WithDefaults().Site.Keys; !slices.Equal(got,
		[]string{"own"}) {
		t.Errorf("the configuration names a file, and the node takes %q", got)
	}
	t.Setenv(envSiteKeys, "none")
	if got := (Config{}).WithDefaults().Site.KeyMode(); got != KeysNone {
		t.Errorf("%s=none gives %q", envSiteKeys, got)
	}
	if err := (Config{LAN: LAN{Key: testsite.SiteKey}}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "site.keys says none") {
		t.Errorf("a key beside %s=none: %v", envSiteKeys, err)
	}
}

// TestPolicyFromTheEnvironment: SKERRY_POLICY goes before policy.obey, and both know two values.
func TestPolicyFromTheEnvironment(t *testing.T) {
	for _, c := range []struct{ file, env, want, says string }{
		{"", "", "all", ""}, {"none", "", "none", ""}, {"", "none", "none", ""}, {"none", "all", "all", ""},
		{"off", "", "", "policy.obey"}, {"", "off", "", "SKERRY_POLICY=off: want all or none"},
	} {
		t.Setenv(envPolicy, c.env)
		cfg := Config{Policy: Policy{Obey: c.file}}
		err := cfg.Validate()
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("file %q, environment %q: %v", c.file, c.env, err)
		}
		if got := cfg.WithDefaults().Policy.Obey; c.says == "" && got != c.want {
			t.Errorf("file %q, environment %q: %q", c.file, c.env, got)
		}
	}
}
