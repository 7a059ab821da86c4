package console

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/registry"
)

// hall is the processes of a site, as the console's lists show them.
type hall struct {
	members []membership.Member
	entries []discovery.Entry
}

func (h *hall) add(process int, runs ...string) *hall {
	owner := registry.Owner{Host: fmt.Sprint("ops-", process), PID: process, Epoch: 1}
	h.members = append(h.members, membership.Member{Owner: owner, Addr: "10.20.0.1:7001"})
	for _, name := range append(runs, "skerry.node") {
		service, version, _ := strings.Cut(name, "/")
		h.entries = append(h.entries, discovery.Entry{Service: service, Version: version, Owner: owner.String(),
			State: discovery.OK, Sources: []discovery.SourceListing{{Name: "lan"}}})
	}
	return h
}

// lost marks a process as one that has vanished.
func (h *hall) lost(process int, why string) *hall {
	for i := range h.members {
		if m := &h.members[i]; m.Owner.PID == process {
			m.Gone = why
			h.entries = slices.DeleteFunc(h.entries, func(e discovery.Entry) bool {
				return e.Owner == m.Owner.String()
			})
		}
	}
	return h
}

// said are the events of a log in English, from one on.
func said(l *memberLog, from int) (list []string) {
	for _, e := range l.all()[from:] {
		c := e.change()
		list = append(list, strings.TrimSuffix(c.Line+": "+c.Causes, ": "))
	}
	return list
}

// TestMemberLog: what joins, leaves, is lost and comes back is told once, with its services and its cause.
func TestMemberLog(t *testing.T) {
	at := time.Date(2026, 11, 29, 3, 0, 0, 0, time.Local)
	l := &memberLog{}
	look := func(after time.Duration, h *hall) {
		at = at.Add(after)
		l.compare(at, h.members, h.entries)
	}
	site := func() *hall { return (&hall{}).add(1, "auth/v1").add(2, "db/v1", "log/v2") }
	look(0, site())
	look(time.Second, site())
	if got := said(l, 0); len(got) > 0 {
		t.Fatalf("nothing has changed, and %v", got)
	}
	for _, step := range []struct {
		after time.Duration
		site  *hall
		want  []string
	}{
		{time.Minute, site().add(3), []string{"ops-3/3/1 has joined, with no service"}},
		{time.Second, site().add(3, "proc/v1"), nil}, // belongs to that
		{time.Minute, site().add(3, "proc/v1", "web/v1"), []string{"ops-3/3/1 offers web/v1"}},
		{time.Minute, site().add(3, "proc/v1", "web/v1").lost(2, "expired"),
			[]string{"ops-2/2/1 is lost, with db/v1, log/v2: its lease in the registry ran out"}},
		{time.Minute, site().add(3, "proc/v1", "web/v1").lost(2, "silent"), nil},
		{time.Minute, site().add(3, "proc/v1", "web/v1"),
			[]string{"ops-2/2/1 is back after 2 min, with db/v1, log/v2"}},
		{time.Minute, site().add(3, "proc/v1"), []string{"ops-3/3/1 has withdrawn web/v1"}},
		{10 * time.Second, site(), []string{"ops-3/3/1 has left in order, with proc/v1, web/v1"}},
		{time.Minute, site().lost(1, "no registry lists it any more"),
			[]string{"ops-1/1/1 is lost, with auth/v1: no registry lists it any more"}},
		{time.Minute, (&hall{}).add(2, "db/v1", "log/v2"),
			[]string{"ops-1/1/1, which was lost, was taken off the list of processes"}},
	} {
		before := l.all()
		look(step.after, step.site)
		n := len(before)
		if slices.ContainsFunc(step.want, func(s string) bool { return strings.Contains(s, "left in order") }) {
			n-- // the withdrawal just before has become a part of it
		}
		if got := said(l, n); !slices.Equal(got, step.want) {
			t.Errorf("%v: %q, want %q", at, got, step.want)
		}
	}
	if e := l.all()[0]; !slices.Equal(e.Runs, []string{"proc/v1"}) {
		t.Errorf("the process that joined offers %v", e.Runs)
	}
}

// TestMemberLogOfManyProcesses: when all vanish at a time it is one event, and the log stays bounded.
func TestMemberLogOfManyProcesses(t *testing.T) {
	at := time.Date(2026, 11, 29, 3, 0, 0, 0, time.Local)
	l := &memberLog{}
	site := func(lost bool) *hall {
		h := &hall{}
		for i := range 12 {
			if h.add(i, "auth/v1"); lost {
				h.members[i].Gone = "silent"
			}
		}
		return h
	}
	for i := range keptEvents + 4 {
		at = at.Add(time.Minute)
		h := site(i%2 == 1)
		l.compare(at, h.members, h.entries)
	}
	got := said(l, keptEvents-2)
	if len(l.all()) != keptEvents || len(got) != 2 || !strings.Contains(got[0], "and 11 more processes are back") ||
		!strings.Contains(got[1], "and 11 more processes are lost: it did not answer") {
		t.Errorf("%d events, the last are %q", len(l.all()), got)
	}
}

// TestMemberLogOverARestart: the next run tells what has happened while no console ran, and keeps the events.
func TestMemberLogOverARestart(t *testing.T) {
	at := time.Date(2026, 11, 29, 3, 0, 0, 0, time.Local)
	dir := t.TempDir()
	first := &memberLog{dir: dir}
	two := (&hall{}).add(1, "auth/v1").add(2, "db/v1")
	first.compare(at, two.members, two.entries)
	if err := first.save(false); err != nil {
		t.Fatal(err)
	}
	three := (&hall{}).add(1, "auth/v1").add(2, "db/v1").add(3)
	first.compare(at.Add(time.Minute), three.members, three.entries)
	first.compare(at.Add(time.Hour), three.members, three.entries)
	if err := first.save(true); err != nil { // which keeps when it looked last
		t.Fatal(err)
	}
	next := &memberLog{dir: dir}
	if err := next.load(); err != nil {
		t.Fatal(err)
	}
	one := (&hall{}).add(1, "auth/v1").add(2, "db/v1").lost(2, "not heard of since this process started")
	next.compare(at.Add(2*time.Hour), one.members, one.entries)
	next.compare(at.Add(3*time.Hour), one.members, one.entries)
	unseen := "; between 2026-11-29 04:00 and this time, while no console ran"
	want := []string{"ops-3/3/1 has joined, with no service",
		"ops-3/3/1 has left in order, with no service" + unseen,
		"ops-2/2/1 is lost, with db/v1" + unseen + ": it was not heard of since the console started"}
	if got := said(next, 0); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// eventful is the night of the examples with processes that have come and gone.
func eventful() *snapshot {
	s := night()
	for i, kind := range []string{memberJoined, memberLost, memberBack, memberOffers, memberWithdrew, memberLeft} {
		s.Members = append(s.Members, memberEvent{At: s.At.Add(time.Duration(i-40) * time.Minute), Kind: kind,
			Process: "ops-4/881/b", Runs: []string{"historian/v4"}})
	}
	s.Members[1].Why = "silent"
	return s
}

// TestHistoryFilters: text, kind and time choose entries; a time that is none is named.
func TestHistoryFilters(t *testing.T) {
	h := signedIn(t, still{eventful()}, Config{})
	type entry struct{ Kind, What, Cause string }
	entries := func(query string) (list []entry) {
		var doc struct{ History struct{ Changes []entry } }
		body := get(t, h, "/history?format=json&"+query).Body.Bytes()
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return doc.History.Changes
	}
	if all := entries(""); len(all) != 8 { // a policy and a sign-in beside
		t.Fatalf("%d entries: %+v", len(all), all)
	}
	for query, want := range map[string]int{"kind=processes": 6, "q=LOST": 1, "q=" + url.QueryEscape("失联"): 1,
		"q=probes": 1, "kind=policy&q=lost": 0, "from=02:33&to=02:34": 2, "kind=processes&from=2026-11-29": 6,
		"kind=processes&to=2026-11-28": 0, "kind=processes&from=25:99": 6, "q=historian": 6, "q=verify": 1} {
		if got := entries(query); len(got) != want {
			t.Errorf("%s finds %d entries, want %d: %+v", query, len(got), want, got)
		}
	}
	if body := get(t, h, "/history?from=25:99").Body.String(); !strings.Contains(body, "25:99 is no time") {
		t.Error("a time that is none is not named")
	}
	if body := get(t, h, "/").Body.String(); !strings.Contains(body, "ops-4/881/b is lost") ||
		strings.Contains(body, "ops-4/881/b has joined") {
		t.Error("the first page does not show what was lost, or shows more of the processes")
	}
}

// TestHistoryAsFiles: CSV and JSON have what the filter finds, beyond one page; a spreadsheet computes nothing of it.
func TestHistoryAsFiles(t *testing.T) {
	s := eventful()
	for i := range 3 * perPage {
		s.Members = append(s.Members, memberEvent{At: s.At.Add(time.Duration(i) * time.Second), Kind: memberJoined,
			Process: fmt.Sprint("ops-9/", i, "/c")})
	}
	evil := []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "a;=1", "a\n=1", `",=1`}
	for i, why := range evil {
		e := s.Policy.Current
		e.Number, e.Why, e.By = uint64(100+i), why, why
		s.Policy.Log = append(s.Policy.Log, e)
	}
	h := signedIn(t, still{s}, Config{})
	w := get(t, h, "/history?format=csv&kind=policy", in(chinese))
	text, marked := strings.CutPrefix(w.Body.String(), byteOrderMark)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || !marked || len(rows) != 2+len(evil) || !strings.Contains(w.Header().Get("Content-Disposition"),
		"skerry-history.csv") {
		t.Fatalf("%v, %d rows: %s", err, len(rows), text)
	}
	if rows[0][3] != "reason" || rows[1][2] == "" || strings.Contains(rows[1][2], "Policy") {
		t.Errorf("the rows begin with %q", rows[:2])
	}
	for _, row := range rows[1:] {
		for _, cell := range row {
			for part := range strings.FieldsFuncSeq(cell, func(r rune) bool {
				return strings.ContainsRune(";\n\r", r)
			}) {
				if part = strings.TrimLeft(part, " \t"); strings.ContainsAny(part[:1], "=+-@") ||
					strings.HasPrefix(part, "＝") {
					t.Errorf("a cell begins as a formula: %q", cell)
				}
			}
		}
	}
	var doc struct {
		Changes []change
		Left    int `json:"left_out"`
	}
	body := get(t, h, "/history?format=file&kind=processes&q=ops-9").Body.Bytes()
	if err := json.Unmarshal(body, &doc); err != nil || len(doc.Changes) != 3*perPage || doc.Left != 0 {
		t.Errorf("%v, %d entries", err, len(doc.Changes))
	}
}
