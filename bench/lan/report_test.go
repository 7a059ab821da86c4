package lan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

func TestReport(t *testing.T) {
	var found []sample
	add := func(system string, loss float64, what string, values ...float64) {
		for _, v := range values {
			found = append(found, sample{system, loss, what, v})
		}
	}
	add("skerry", 0, coldStart, 0.5, 0.7, 1.2)
	add("skerry", 10, coldStart, 2.5)
	add("memberlist", 0, coldStart, 0.9)
	add("skerry", 0, coldPackets, 2001, 1999, 2400)
	add("skerry", 0, killAvoided, 0)
	add("skerry", 0, killOff, 1)
	add("memberlist", 0, killOff, 7, 8, 9)
	add("memberlist", 0, cutOff, 7.5)
	add("skerry", 0, cutOff, 3.75)
	add("skerry", 0, restUDP, 0.0175)
	add("skerry", 0, restSent, 0.026)
	var b strings.Builder
	report(&b, 32, []float64{0, 10}, found)
	for _, want := range []string{
		"| goal, 32 hosts | 0 % loss | 10 % loss |\n|---|---|---|\n",
		"| power returns: all know all ≤ 1 s, ≤ 3 s with loss | 0.7, met | 2.5, met |\n",
		"| … packets of the busiest host ≤ 2,000 | 2,001, **missed** | – |\n",
		"| kill -9: avoided ≥ 8 × sooner than memberlist knows | at once (8 s), met | – |\n",
		"| kill -9: off the last list, likewise | 8 × (1 against 8 s), met | – |\n",
		"| cable pulled: avoided ≥ 2.5 × sooner than memberlist knows | – | – |\n",
		"| cable pulled: off the last list, likewise | 2 × (3.8 against 7.5 s), **missed** | – |\n",
		"| at rest: ≤ 0.02 packets/s sent per host, UDP | 0.018, met | – |\n",
		"| " + coldStart + " | 0.7 (1.2) | 0.9 (0.9) | 2.5 (2.5) | – |\n",
		"| " + restSent + " | 0.026 (0.026) | – | – | – |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), switchKnown) {
		t.Error("a line of what was not measured")
	}
	picture := filepath.Join(t.TempDir(), "lan.svg")
	if err := draw(picture, 32, []float64{0, 10}, found); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(picture)
	if err != nil || !strings.Contains(string(text), "kill -9, 0 %") {
		t.Errorf("picture: %v, %d bytes", err, len(text))
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0175: "0.018", 3.75: "3.8", 17: "17", 517.4: "517", 999.6: "1000",
		1069.7: "1,070", 12003: "12,003"} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %s, want %s", v, got, want)
		}
	}
}

// TestTraffic: what is counted is per host and second, but for the busiest.
func TestTraffic(t *testing.T) {
	before := []lab.Count{{SentPackets: 10, SentBytes: 100, ReceivedPackets: 5, ReceivedBytes: 50}, {SentPackets: 1}}
	after := []lab.Count{{SentPackets: 30, SentBytes: 500, ReceivedPackets: 25, ReceivedBytes: 250}, {SentPackets: 61}}
	k0 := []lab.Kinds{{UDP: 1, TCP: 2, ARP: 3, Neighbour: 4}, {}}
	k1 := []lab.Kinds{{UDP: 9, TCP: 6, ARP: 5, Neighbour: 4}, {UDP: 8}}
	got := between(before, after, k0, k1, 2*time.Second)
	want := traffic{Seconds: 2, SentPackets: 20, SentBytes: 100, ReceivedPackets: 5, ReceivedBytes: 50, UDP: 4, TCP: 1,
		ARP: 0.5, Busiest: 60}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
