package doctor

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/policy/form"
)

// TestCheckThatHangs: a check without an end is a finding after its limit, and is not begun again while it hangs; the
// others are told, one that panics, too.
func TestCheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Checker
		var begun atomic.Int32
		hang := make(chan struct{})
		checks := []Check{
			{"Disk", func(context.Context) []Finding { begun.Add(1); <-hang; return nil }},
			{"State", func(context.Context) []Finding { return State("none") }},
			{"LAN", func(context.Context) []Finding { panic("no such map") }},
		}
		start := time.Now()
		list := c.Run(t.Context(), checks)
		if time.Since(start) != CheckLimit || len(list) != 3 || list[0].Level != Problem || list[1].Level != Hint ||
			!strings.Contains(string(list[0].Text), "has not ended within 8 s") || list[2].Level != Problem ||
			!strings.Contains(string(list[2].Text), "no such map") {
			t.Errorf("after %v: %+v", time.Since(start), list)
		}
		time.Sleep(time.Minute)
		start = time.Now()
		if list = c.Run(t.Context(), checks); time.Since(start) != 0 || begun.Load() != 1 ||
			!strings.Contains(string(list[0].Text), "within 68 s") {
			t.Errorf("again, begun %d times: %+v", begun.Load(), list)
		}
		close(hang)
		synctest.Wait()
		if list = c.Run(t.Context(), checks); begun.Load() != 2 || len(list) != 2 {
			t.Errorf("begun %d times, when it has ended: %+v", begun.Load(), list)
		}
	})
}

// TestReportsOfOthersAreBounded: what another process says is short, and no character of it is hidden.
func TestReportsOfOthersAreBounded(t *testing.T) {
	r := Report{Process: "h/1/a", At: time.Unix(1e9, 0)}
	for range 500 {
		r.Findings = append(r.Findings, Finding{Area: "A\x1b[2J", Level: "worst", Text: "t\x1b[31m"})
	}
	r.Findings[0].Text += "x\u202ex"
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(b)
	if err != nil || len(got.Findings) != reportsMost || got.Findings[0].Level != Hint {
		t.Fatalf("%d findings, %v", len(got.Findings), err)
	}
	for _, f := range got.Findings {
		if strings.ContainsAny(string(f.Text)+f.Area, "\x1b\u202e") {
			t.Fatalf("hidden characters: %q", f)
		}
	}
	if _, err := Read([]byte(`{"process": "` + strings.Repeat("x", reportBytes) + `"}`)); err == nil {
		t.Error("a report of any size is read")
	}
	if _, err := Read([]byte("[")); err == nil {
		t.Error("what is no report is read")
	}
	long := Report{Findings: []Finding{{Text: "é"}}}
	for range 13 {
		long.Findings[0].Text += long.Findings[0].Text
	}
	if b, err = long.Marshal(); err != nil || len(b) > longestText+500 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestByHost: what several processes of a host find is one finding, problems are first, and so are hosts with them.
func TestByHost(t *testing.T) {
	full := Finding{"Disk", Problem, "full", "make room"}
	well := Finding{"State", Fine, "well", ""}
	hosts := ByHost([]Report{
		{Process: "a/1/x", Findings: []Finding{well}},
		{Process: "b/2/y", Findings: []Finding{well, full}},
		{Process: "b/1/x", Findings: []Finding{full}},
	})
	if len(hosts) != 2 || hosts[0].Host != "b" || hosts[0].Problems() != 1 || hosts[0].Fine() != 1 ||
		hosts[0].Findings[0].Finding != full || len(hosts[0].Findings[0].Processes) != 2 || hosts[1].Problems() != 0 {
		t.Errorf("%+v", hosts)
	}
}

// TestRedacted: a report for a reader outside of the site names no host, service, address, path, user or key, and the
// same thing by the same name.
func TestRedacted(t *testing.T) {
	text := Finding{"Database", Problem, `ops-4.hall3 (10.20.0.4:7001, fe80::1%eth0): user "li" may not write ` +
		`/var/lib/site/db, SHA256:ab/cd+e of historian at 10.20.0.4; historian-2 is on ops-4, 127.0.0.1 stays`,
		"ssh ops-4 skerry doctor"}
	r := &Redactor{}
	r.Name("service", "historian")
	r.Name("host", "ops-4.hall3")
	out := Redacted([]Host{{Host: "ops-4", Processes: []string{"ops-4/412/5f"},
		Findings: []HostFinding{{text, []string{"ops-4/412/5f"}}}}}, r)
	got := string(out[0].Findings[0].Text+out[0].Findings[0].Do) + out[0].Host + out[0].Processes[0]
	for _, secret := range []string{"ops", "hall3", "10.20", "fe80", `"li"`, "/var", "site", "SHA256", "historian"} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is told: %s", secret, got)
		}
	}
	if strings.Count(got, "address-1") != 2 || !strings.Contains(got, "127.0.0.1") ||
		!strings.Contains(got, "/412/5f") || !strings.Contains(got, "may not write") {
		t.Error(got)
	}
}

func TestDiskWithoutSpace(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		free, all uint64
		want      Level
	}{{50 * gib, 100 * gib, Fine}, {900 * gib, 10_000 * gib, Fine}, {8 * gib, 100 * gib, Hint},
		{gib / 2, 4 * gib, Hint},
		{gib / 2, 100 * gib, Problem}, {gib / 32, 3 * gib, Problem}, {0, gib, Problem}, {60 << 20, 100 << 20, Fine}} {
		l := List{Area: "Disk"}
		if l.describeDisk("/x", c.free, c.all); len(l.All) != 1 || l.All[0].Level != c.want {
			t.Errorf("%d MiB of %d MiB: %+v", c.free>>20, c.all>>20, l.All)
		}
	}
	if list := Disk(t.TempDir()); len(list) > 1 {
		t.Errorf("%+v", list)
	}
}

func TestLimitsInUse(t *testing.T) {
	if list := Process("v1", 95, 100); list[len(list)-1].Level != Problem {
		t.Errorf("95 of 100 connections: %+v", list)
	}
	if list := Process("v1", 5, 100); Problems(list) != 0 || len(list) < 2 {
		t.Errorf("5 of 100 connections: %+v", list)
	}
}

func TestPolicyOfOneProcess(t *testing.T) {
	for _, c := range []struct {
		s    sitepolicy.Status
		want []Level
	}{
		{sitepolicy.Status{}, nil},
		{sitepolicy.Status{Number: 3, Newest: 3}, []Level{Fine}},
		{sitepolicy.Status{Number: 2, Newest: 3, Because: "it is not confirmed"}, []Level{Hint}},
		{sitepolicy.Status{Newest: 3, Obey: sitepolicy.ObeysNone}, []Level{Problem}},
		{sitepolicy.Status{Number: 3, Newest: 3, Lost: []form.Problem{{Key: "a", Text: "b"}}}, []Level{Fine, Problem}},
	} {
		var got []Level
		for _, f := range Policy(c.s, "again") {
			got = append(got, f.Level)
		}
		if len(got) != len(c.want) || len(got) > 0 && got[len(got)-1] != c.want[len(got)-1] {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
}

// TestClockOfAnotherHost: a difference of clocks is told from the time between question and answer on.
func TestClockOfAnotherHost(t *testing.T) {
	asked := time.Unix(1e9, 0)
	came := asked.Add(2 * time.Second)
	for _, c := range []struct {
		at   time.Time
		says string
	}{{time.Time{}, ""}, {asked.Add(time.Second), ""}, {asked.Add(-4 * time.Second), ""},
		{came.Add(4 * time.Second), ""}, {came.Add(time.Minute), "1m0s before"},
		{asked.Add(-time.Hour), "59m55s behind"}} {
		list := Clock(Report{At: c.at}, asked, came, 5*time.Second)
		if len(list) > 1 || (len(list) == 0) != (c.says == "") || c.says != "" &&
			!strings.Contains(string(list[0].Text), c.says) {
			t.Errorf("%v: %+v", c.at, list)
		}
	}
}
