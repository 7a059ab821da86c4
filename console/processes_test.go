package console

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
)

// TestProcessesSayTheirCondition: clock, memory, LAN and database of each process; what is wrong with them marks the
// process, and one that tells nothing is no worse for it.
func TestProcessesSayTheirCondition(t *testing.T) {
	s := night()
	s.Processes[5].Policy, s.Processes[6].Silent = 18, ""
	s.Processes[1].Condition.Clock = -7 * time.Second
	s.Processes[2].Condition.Sources[0].Lost = "no <route> to host"
	s.Processes[3].Condition.Sources = []control.SourceState{{Name: "lan"}} // alone, and without a database
	s.Processes[4].Condition.Clock, s.Processes[4].Condition.Doubt = 6*time.Second, 2*time.Second
	h := signedIn(t, still{s}, Config{})
	body := get(t, h, "/processes", in(english)).Body.String()
	for _, part := range []string{"wrong: −7.0", "&#43;0.5", "no &lt;route&gt; to host", "6, 12 s ago",
		"no other process", "ops-2/412/a is −7.0 s off this console&#39;s. 5 are as they should be"} {
		if !strings.Contains(body, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	var doc struct {
		Processes struct {
			Hosts []struct {
				Processes []struct {
					Process  string
					Clock    *struct{ Offset_s, Doubt_s float64 }
					Memory   int64 `json:"memory_bytes"`
					Database *struct{ Lost string }
				}
			}
		}
	}
	body = get(t, h, "/processes?state=ill&format=json").Body.String()
	if err := json.Unmarshal([]byte(body), &doc); err != nil || len(doc.Processes.Hosts) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	clock, database := doc.Processes.Hosts[0].Processes[0], doc.Processes.Hosts[1].Processes[0]
	if clock.Clock.Offset_s != -7 || clock.Memory != 41<<20 || database.Database.Lost != "no <route> to host" {
		t.Errorf("%+v, %+v", clock, database)
	}
}

// TestOffsets: a sign only where the clocks differ.
func TestOffsets(t *testing.T) {
	for s, want := range map[float64]string{0: "0.0", 0.04: "0.0", -0.04: "0.0", 0.5: "+0.5", -12.34: "−12.3",
		7200: "+7,200"} {
		if got := offsetText(s); got != want {
			t.Errorf("%v is %q, want %q", s, got, want)
		}
	}
}
