package plan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/chance"
)

var otherDigest = "sha256:" + strings.Repeat("8", 64)

// mustDraft parses services of a draft.
func mustDraft(t *testing.T, services string) *Plan {
	t.Helper()
	p, err := ParseDraft("draft.yaml", []byte("cluster: site\nservices:\n"+services))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// inStore has artifacts of every version, for linux/amd64.
func inStore(string, string) map[string]string { return map[string]string{"linux/amd64": digest} }

func threeHosts() []Host {
	return []Host{
		{"ops-1", "linux/amd64", map[string]string{"hall": "3"}},
		{"ops-2", "linux/amd64", map[string]string{"hall": "3", "disk": "big"}},
		{"ops-3", "linux/amd64", map[string]string{"hall": "4"}},
	}
}

func TestMarshalIsReadBack(t *testing.T) {
	p, err := Parse("plan.yaml", []byte(example()))
	if err != nil {
		t.Fatal(err)
	}
	text := p.Marshal()
	back, err := Parse("plan.yaml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(p, back) {
		t.Errorf("%+v\n%+v", p, back)
	}
	if !strings.Contains(string(text), "config: |\n      listen") {
		t.Errorf("the configuration is no block:\n%s", text)
	}
}

// TestMarshalOfAnyConfig: texts that blocks of YAML change, or that look like something else.
func TestMarshalOfAnyConfig(t *testing.T) {
	rnd := chance.Rand(t, 19)
	pieces := []string{"\n", " ", "\t", "a", "#", ": ", "- ", "\"", "\\", "'", "\r", "界", "${port}", "\u0085", "\u2028",
		"\ufeff", "|", "---\n", "null", "\x01"}
	for range 500 {
		config := ""
		for range rnd.IntN(12) {
			config += pieces[rnd.IntN(len(pieces))]
		}
		p := &Plan{Number: 1, Cluster: "1e5", Reason: "it's \"new\": 界 # no"}
		p.Services = map[string]Service{"on": {Config: config, Ports: "7001",
			User: config, Run: map[string]Run{"1.10": {Artifacts: map[string]string{"any": digest}}}}}
		back, err := Parse("p.yaml", p.Marshal())
		if err != nil {
			t.Fatalf("%q: %v\n%s", config, err, p.Marshal())
		}
		if !reflect.DeepEqual(p, back) {
			t.Fatalf("%q came back as %q:\n%s", config, back.Services["on"].Config, p.Marshal())
		}
	}
}

func TestDraftsLeaveOut(t *testing.T) {
	text := "cluster: site\nservices: {auth: {run: {v15: {on: {labels: {hall: \"3\"}, count: 2}}}}}"
	if _, err := Parse("p.yaml", []byte(text)); err == nil {
		t.Error("a draft is taken for a plan")
	}
	draft, err := ParseDraft("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := draft.Resolve(nil, threeHosts(), inStore)
	if err != nil {
		t.Fatal(err)
	}
	whole.Number = 1
	if _, err := Parse("p.yaml", whole.Marshal()); err != nil {
		t.Errorf("%v\n%s", err, whole.Marshal())
	}
	want := map[string]int{"ops-1": 1, "ops-2": 1}
	if got := whole.Services["auth"].Run["v15"].Hosts; !reflect.DeepEqual(got, want) {
		t.Errorf("chosen: %v", got)
	}
	if len(draft.Services["auth"].Run["v15"].Hosts) != 0 {
		t.Error("the draft was changed")
	}
}

func TestMistakesOfDrafts(t *testing.T) {
	for text, want := range map[string]string{
		"{on: {count: -1}}":                           "on.count",
		"{on: {labels: {hall: a}}}":                   "on.count",
		"{on: {labels: {\"a b\": a}, count: 1}}":      "a b",
		"{artifacts: {linux: \"" + digest + "\"}}":    "platform",
		"{on: {label: {hall: a}, count: 1}}":          "did you mean labels",
		"{hosts: {a: 1}, on: {count: 99999}}":         "on.count",
		"{artifacts: {any: auth/v15}, hosts: {a: 1}}": "digest",
	} {
		_, err := ParseDraft("p.yaml", []byte("cluster: site\nservices: {auth: {run: {v1: "+text+"}}}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	whole := head + "services: {auth: {run: {v1: {artifacts: {any: \"" + digest +
		"\"}, hosts: {a: 1}, on: {count: 2}}}}}"
	if _, err := Parse("p.yaml", []byte(whole)); err == nil || !strings.Contains(err.Error(), "on.count is 2") {
		t.Error(err)
	}
}

func TestResolveSaysWhatIsMissing(t *testing.T) {
	p := mustDraft(t, `  auth: {run: {v1: {hosts: {ops-1: 1}}, v2: {on: {labels: {hall: "9"}, count: 1}}}}`)
	_, err := p.Resolve(nil, threeHosts(), func(_, version string) map[string]string {
		if version == "v1" {
			return nil
		}
		return inStore("", "")
	})
	if err == nil || !strings.Contains(err.Error(), "auth/v1: there is no such artifact") ||
		!strings.Contains(err.Error(), `auth/v2: no known host has the labels {hall: "9"}`) {
		t.Error(err)
	}
}

// TestArtifactsStay: what the site obeys names an artifact that the store of this host has no more.
func TestArtifactsStay(t *testing.T) {
	now := &Plan{Services: map[string]Service{"auth": {Run: map[string]Run{
		"v1": {Artifacts: map[string]string{"linux/arm64": otherDigest}}}}}}
	p := mustDraft(t, `  auth: {run: {v1: {hosts: {ops-1: 1}}}}`)
	for name, found := range map[string]map[string]string{"nothing": nil, "another platform": inStore("", "")} {
		whole, err := p.Resolve(now, nil, func(string, string) map[string]string { return found })
		if err != nil {
			t.Fatal(err)
		}
		got := whole.Services["auth"].Run["v1"].Artifacts
		if got["linux/arm64"] != otherDigest || len(got) != 1+len(found) {
			t.Errorf("the store has %s: %v", name, got)
		}
	}
	if len(now.Services["auth"].Run["v1"].Artifacts) != 1 {
		t.Error("the plan that is obeyed was changed")
	}
}

// TestSelectorsInWorlds: in random worlds the number is right, the spread is even, the choice is the same for each
// order of hosts, and the same plan again moves nothing.
func TestSelectorsInWorlds(t *testing.T) {
	rnd := chance.Rand(t, 20)
	for range 300 {
		hosts := make([]Host, 1+rnd.IntN(8))
		for i := range hosts {
			hosts[i] = Host{fmt.Sprintf("h%d", i), []string{"linux/amd64", "linux/arm64"}[rnd.IntN(2)],
				map[string]string{"hall": fmt.Sprint(rnd.IntN(3))}}
		}
		draft := randomDraft(rnd)
		first, err := draft.Resolve(nil, hosts, inStore)
		if err != nil {
			continue
		}
		shuffled := slices.Clone(hosts)
		rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for what, now := range map[string]*Plan{"another order": nil, "again": first} {
			again, err := draft.Resolve(now, shuffled, inStore)
			if err != nil || !bytes.Equal(again.Marshal(), first.Marshal()) {
				t.Fatalf("%s: %v\n%s\n%s", what, err, first.Marshal(), again.Marshal())
			}
		}
		first.each(func(name, version string, r *Run) {
			fit, most, least, sum := 0, 0, 1000, 0
			for _, h := range hosts {
				if h.Platform == "linux/amd64" && r.On.fits(h.Labels) {
					fit++
					most, least = max(most, r.Hosts[h.Name]), min(least, r.Hosts[h.Name])
					sum += r.Hosts[h.Name]
				}
			}
			if r.On.Count > 0 && (sum != r.On.Count || most-least > 1) {
				t.Errorf("%s/%s: %d on %d hosts: %v", name, version, r.On.Count, fit, r.Hosts)
			}
		})
	}
}

func randomDraft(rnd *rand.Rand) *Plan {
	p := &Plan{Cluster: "site", Services: map[string]Service{}}
	for _, name := range []string{"auth", "proc", "rec"} {
		run := Run{Hosts: map[string]int{"h0": 1}}
		if rnd.IntN(3) > 0 {
			run = Run{On: Selector{Count: 1 + rnd.IntN(9)}}
		}
		if rnd.IntN(2) == 0 && run.On.Count > 0 {
			run.On.Labels = map[string]string{"hall": fmt.Sprint(rnd.IntN(3))}
		}
		p.Services[name] = Service{Run: map[string]Run{"v1": run}}
	}
	return p
}

// TestSelectorStaysWhereItIs: a fourth host takes its share and moves no more than that.
func TestSelectorStaysWhereItIs(t *testing.T) {
	draft := mustDraft(t, "  auth: {run: {v1: {on: {count: 6}}}}")
	first, err := draft.Resolve(nil, threeHosts(), inStore)
	if err != nil {
		t.Fatal(err)
	}
	more := append(threeHosts(), Host{"ops-0", "linux/amd64", nil})
	second, err := draft.Resolve(first, more, inStore)
	if err != nil || len(Diff(first, second)) != 0 {
		t.Errorf("six on three hosts are two each, and so few on four: %v, %v", err, Diff(first, second))
	}
	fewer, err := draft.Resolve(second, more[1:], inStore)
	if err != nil || fewer.Services["auth"].Run["v1"].Hosts["ops-2"] == 0 {
		t.Errorf("%v: %s", err, fewer.Marshal())
	}
}

func TestEdits(t *testing.T) {
	p := mustDraft(t, "  auth: {run: {v14: {artifacts: {any: \""+digest+"\"}, hosts: {ops-1: 2, ops-2: 1}}}}")
	beside, err := p.Beside("auth", "v15", "")
	if err != nil {
		t.Fatal(err)
	}
	fewer, err := beside.Scale("auth", "v15", map[string]int{"ops-1": 0, "ops-3": 1})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := fewer.Without("auth", "v14")
	if err != nil {
		t.Fatal(err)
	}
	again, err := gone.Restart("auth")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to *Plan
		want     string
	}{
		{p, beside, "+ auth/v15: 2 on ops-1, ops-2"},
		{beside, fewer, "~ auth/v15: ops-1 2 → 0, ops-3 0 → 1"},
		{fewer, gone, "- auth/v14: 2 on ops-1, ops-2"},
		{gone, again, "~ auth: its instances are restarted, one after the other on each host"},
		{nil, gone, "+ auth/v15: ops-2, ops-3"},
		{p, p, ""},
	} {
		if got := strings.Join(Diff(c.from, c.to), "; "); got != c.want {
			t.Errorf("%s, not %s", got, c.want)
		}
	}
	for what, err := range map[string]error{
		"another service": second(p.Beside("proc", "v1", "")), "twice": second(beside.Beside("auth", "v15", "")),
		"of which": second(beside.Beside("auth", "v16", "")), "no version": second(p.Without("auth", "v1")),
		"no version to scale": second(p.Scale("auth", "v1", nil)), "no service": second(p.Restart("x")),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func second(_ *Plan, err error) error { return err }

func TestDiffOfConfig(t *testing.T) {
	from, to := mustDraft(t, "  auth: {user: a}"), mustDraft(t, "  auth: {limits: {memory: 512MiB}}")
	old, s := from.Services["auth"], to.Services["auth"]
	old.Config, s.Config = "a\nb\nc\nd\n", "a\nc\nx\nd\ne\n"
	from.Services["auth"], to.Services["auth"] = old, s
	want := "~ auth: user a → none|~ auth: memory none → 512MiB|~ auth: config|    @@ -1,4 +1,5 @@|     a|    -b|" +
		"     c|    +x|     d|    +e"
	if got := strings.Join(Diff(from, to), "|"); got != want {
		t.Errorf("%s", got)
	}
}

func TestEffects(t *testing.T) {
	from := mustDraft(t, "  auth: {run: {v1: {artifacts: {linux/amd64: \""+digest+"\"}, hosts: {ops-1: 2, ops-4: 1}}}}")
	to, err := from.Scale("auth", "v1", map[string]int{"ops-1": 1, "ops-2": 1, "ops-4": 1})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(Effects(from, to, threeHosts()))
	if want := "[{ops-1 stop auth/v1#2} {ops-2 start auth/v1#1}]"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if to, err = from.Restart("auth"); err != nil {
		t.Fatal(err)
	}
	got = fmt.Sprint(Effects(from, to, threeHosts()))
	if want := "[{ops-1 change auth/v1#1} {ops-1 change auth/v1#2} {ops-4 change auth/v1#1}]"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}
