package console

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
)

// troubled is a site with findings of all kinds.
func troubled() *snapshot {
	s := slowNight()
	for i := range s.Entries {
		switch e := &s.Entries[i]; {
		case e.Service == "report":
			e.State, e.Why = discovery.Gone, "withdrawn by lan"
		case e.Service == "auth" && e.Version == "v2":
			e.State, e.Since = discovery.Suspect, s.At.Add(-time.Minute)
			e.Why = "2 of 3 vanished from lan within a minute without a goodbye; being asked"
		}
	}
	failing := flow{Caller: "gateway", Service: "portal", Calls: 1200, Failed: 600,
		Kinds: map[string]int64{"timeout": 600}}
	failing.Latency.Add(30*time.Millisecond, 600)
	s.Flows = append(s.Flows, failing)
	s.Rollout.Frozen = "no process of the site answers"
	s.Sources = []discovery.SourceStatus{{Name: "database", Lost: "context deadline exceeded"}}
	s.Processes[5].Policy = 17
	s.Processes[6].Silent = "i/o timeout"
	s.Processes[1].Condition.Clock = -7 * time.Second
	s.Processes[2].Condition.Sources[0].Lost = "context deadline exceeded"
	s.Processes[3].Condition.Sources = []control.SourceState{{Name: "lan"}}
	s.Doctor = &examination{At: s.At, Hosts: []doctor.Host{{Host: "ops-1", Processes: []string{"ops-1/412/a"},
		Findings: []doctor.HostFinding{}}}}
	s.Findings = s.find()
	return s
}

var (
	latin  = regexp.MustCompile(`[A-Za-z][a-z']+( [A-Za-z]?[a-z']+){2,}`)
	markup = regexp.MustCompile(`(?s)<(script|style|pre)\b.*?</(script|style|pre)>|<div class="line-cmd">.*?</div>|` +
		`<[^>]*>`)
	shown = regexp.MustCompile(` (title|aria-label|placeholder|alt)="([^"]*)"`)
)

// TestPagesAreChinese: no page in Chinese has a sentence in English, with findings of every kind.
// What operators have written, and names, stay as they are.
func TestPagesAreChinese(t *testing.T) {
	s := troubled()
	var found []string
	for _, f := range s.Findings {
		found = append(found, f.Kind)
	}
	for _, kind := range []string{"down", "fails", "slow", "avoided", "frozen", "silent", "policy", "lost"} {
		if !slices.Contains(found, kind) {
			t.Errorf("the site has no finding of the kind %s: %v", kind, found)
		}
	}
	h := signedIn(t, still{s}, Config{})
	own := []string{"report slows verify down", "more orders"}
	services := []string{}
	for _, r := range s.services() {
		services = append(services, "/services/"+r.Name)
	}
	for _, path := range append(paths(), services...) {
		body := get(t, h, path, in(chinese)).Body.String()
		text := markup.ReplaceAllString(body, "\n")
		for _, m := range shown.FindAllStringSubmatch(body, -1) {
			text += "\n" + m[2]
		}
		text = html.UnescapeString(text)
		for _, words := range own {
			text = strings.ReplaceAll(text, words, "")
		}
		for _, m := range latin.FindAllString(text, -1) {
			if !strings.HasPrefix(m, "skerry ") {
				t.Errorf("%s in Chinese has %q", path, m)
			}
		}
	}
}
