package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestSilence: an operator silences a finding for an hour with a reason; it stands apart then, on every page and over a
// restart, and comes back by itself, by undo, and when it is about more. A viewer does nothing of that.
func TestSilence(t *testing.T) {
	s, dir := night(), t.TempDir()
	now := s.At
	open := func() *Console {
		c := serve(still{s}, Config{})
		c.silences.now = func() time.Time { return now }
		if err := c.silences.load(dir); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	li, wang := as(t, c, "li", roleOperator), as(t, c, "wang", roleViewer)
	all := len(s.Findings)
	fails, silent := s.Findings[0], s.Findings[1]
	if fails.Kind != "fails" || silent.Kind != "silent" {
		t.Fatalf("the findings are %+v", s.Findings)
	}
	type overview struct {
		Findings []struct{ ID, Kind, What string }
		Silenced []struct{ ID, By, Reason string }
	}
	look := func(c *Console) overview {
		t.Helper()
		var doc struct{ Overview overview }
		body := get(t, as(t, c, "zhao", roleViewer), "/?format=json").Body.Bytes()
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatal(err)
		}
		return doc.Overview
	}
	silence := func(m member, f finding, why string) int {
		t.Helper()
		return post(t, m, "/findings/"+f.ID()+"/silence?format=json", url.Values{"reason": {why}}).Code
	}
	if strings.Contains(get(t, wang, "/").Body.String(), "/silence\"") ||
		!strings.Contains(get(t, li, "/").Body.String(), "/findings/"+fails.ID()+"/silence\"") {
		t.Error("a viewer sees the button, or an operator does not")
	}
	if silence(wang, fails, "we know") != http.StatusForbidden || silence(li, fails, "") == http.StatusOK ||
		silence(li, finding{Kind: "x"}, "we know") == http.StatusOK || len(look(c).Findings) != all {
		t.Fatal("a viewer, a form without a reason, or one of an unknown finding silences")
	}
	if code := silence(li, fails, "the disk is being changed"); code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	if code := silence(li, silent, "ops-7 is switched off"); code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	for _, c := range []*Console{c, open()} {
		got := look(c)
		if len(got.Findings) != all-2 || len(got.Silenced) != 2 || got.Silenced[0].By != "li" ||
			got.Silenced[0].Reason != "the disk is being changed" {
			t.Errorf("after two silences: %+v", got)
		}
	}
	body := get(t, li, "/").Body.String()
	for _, part := range []string{"“the disk is being changed”", "Silenced · 2", "04:12", "1 thing needs you"} {
		if !strings.Contains(body, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	history := get(t, wang, "/history?q=disk").Body.String()
	if !strings.Contains(history, "Silence of a finding") || !strings.Contains(history, "historian fails") {
		t.Error("the history lacks the silence")
	}
	s.Processes[3].Silent = "no answer for 9 s" // another one, of which the operator knew nothing
	s.Findings = s.find()
	if got := look(c); len(got.Findings) != all-1 || got.Findings[0].Kind != "silent" {
		t.Errorf("a further silent process: %+v", got.Findings)
	}
	s.Processes[3].Silent = ""
	s.Findings = s.find()
	if post(t, wang, "/findings/"+fails.ID()+"/show", url.Values{"reason": {"x"}}); len(look(c).Silenced) != 2 {
		t.Error("a viewer ends a silence")
	}
	for i, want := range []int{http.StatusSeeOther, http.StatusSeeOther} {
		w := post(t, li, "/findings/"+fails.ID()+"/show", url.Values{"reason": {"it is done"}})
		shown := get(t, li, w.Header().Get("Location")).Body.String()
		if w.Code != want || strings.Contains(shown, "not silenced any more") != (i == 1) {
			t.Errorf("show again, time %d: status %d", i, w.Code)
		}
	}
	if got := look(open()); len(got.Findings) != all-1 || len(got.Silenced) != 1 {
		t.Errorf("after the undo: %+v", got)
	}
	now = now.Add(silenceTime)
	if got := look(c); len(got.Findings) != all || len(got.Silenced) != 0 {
		t.Errorf("after an hour: %+v", got)
	}
}

// TestQuietSite: where all findings are silenced, the sentence of the state says so, and not that all is well.
func TestQuietSite(t *testing.T) {
	s := night()
	c := serve(still{s}, Config{})
	li := as(t, c, "li", roleOperator)
	for _, f := range s.Findings {
		post(t, li, "/findings/"+f.ID()+"/silence", url.Values{"reason": {"we know"}})
	}
	for _, path := range []string{"/", "/services", "/wall"} {
		body := get(t, li, path).Body.String()
		if !strings.Contains(body, "Nothing else needs you") || strings.Contains(body, "All well") {
			t.Errorf("%s does not say that findings are silenced", path)
		}
	}
	if body := get(t, li, "/").Body.String(); !strings.Contains(body, "3 findings are silenced") {
		t.Error("the number of silenced findings is not told")
	}
	s.Findings = nil
	if body := get(t, li, "/").Body.String(); !strings.Contains(body, "All well") ||
		!strings.Contains(body, "not found any more") {
		t.Error("a site that has recovered is not well, or its silences are hidden")
	}
}
