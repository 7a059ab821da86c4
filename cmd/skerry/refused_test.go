package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// stats --refused and doctor show the refusals of a running process, with a remedy.
func TestRefused(t *testing.T) {
	t.Parallel()
	config := site(t, "")
	offerClock(t, config)
	code, out, errs := heard(t, "ls", "clock", "-c", config, "--json")
	var doc listing
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Instances) != 1 {
		t.Fatalf("ls: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	addr := doc.Instances[0].Addr
	c, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Addr: addr})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Service("skerry.internal", rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := wire.NewInternalClient(s).Members(t.Context()); rpc.CodeOf(err) != rpc.NotMember {
			t.Fatalf("a stranger asks for the members: %v", err)
		}
	}

	code, out, errs = heard(t, "stats", "--refused", "-c", config)
	for _, want := range []string{
		"outsiders", " 3  ", "calls for members of the site", "→ store the site's key on that host (skerry key set)",
	} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("stats --refused: exit code %d, want %q\n%s%s", code, want, out, errs)
		}
	}
	code, out, errs = heard(t, "stats", "--refused", "-c", config, "--json")
	var refused struct {
		Processes []struct {
			Process string
			Refused map[string]int64
			UpS     float64 `json:"up_s"`
		}
		Kinds map[string]struct{ What, Do string }
	}
	if err := json.Unmarshal([]byte(out), &refused); err != nil || code != exitOK || len(refused.Processes) != 1 ||
		refused.Processes[0].Refused["outsiders"] != 3 || refused.Processes[0].UpS <= 0 ||
		refused.Kinds["outsiders"].Do == "" {
		t.Errorf("stats --refused --json: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	code, out, errs = heard(t, "doctor", "-c", config)
	if code != exitOK || !strings.Contains(out, "Refused\n") ||
		!strings.Contains(out, "note     3 calls for members of the site") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
	if code, _, errs := cli(t, "", "stats", "clock", "--refused", "-c", config); code != exitUsage {
		t.Errorf("stats clock --refused: exit code %d\n%s", code, errs)
	}
}

func TestRefusedTable(t *testing.T) {
	list := []control.Refusals{
		{Process: "host-1/12/a", Up: 3 * time.Hour, Kinds: map[string]int64{"lan_wrong_key": 120, "outsiders": 2}},
		{Process: "host-2/7/b", Up: 90 * time.Second, Kinds: map[string]int64{
			"lan_wrong_key": 4, "denied_promise": 1, "of_tomorrow": 5, "lan_full": 0,
		}},
	}
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	if err := a.printRefused(list, map[string]error{"host-3/9/c": errors.New("no route to it")}); err != nil {
		t.Fatal(err)
	}
	if err := a.printRefused([]control.Refusals{{Process: "host-1/12/a"}}, nil); err != nil {
		t.Fatal(err)
	}
	f := findings{area: "Refused"}
	describeRefused(&f, list)
	_ = a.printFindings(f.list)
	golden(t, "refused", out.Bytes())
}
