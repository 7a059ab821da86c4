package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
)

// TestDoctorOfTheSite: an operator runs doctor on the page of processes, which shows the findings by host, silent
// processes and old ones; a viewer does not; a second one at a time is refused.
func TestDoctorOfTheSite(t *testing.T) {
	c := serve(still{night()}, Config{})
	asked, hold, inside := 0, make(chan struct{}), make(chan struct{}, 1)
	c.doctors.ask = func(ctx context.Context) (control.Examined, error) {
		asked++
		inside <- struct{}{}
		<-hold
		return control.Examined{Reports: []doctor.Report{
			{Process: "ops-4/881/b", Findings: []doctor.Finding{
				{Area: "Disk", Level: doctor.Problem, Text: "none of 100 GiB is free at /srv/historian <x>",
					Do: "make room"},
				{Area: "State", Level: doctor.Fine, Text: "well"}}},
			{Process: "ops-1/412/a", Findings: []doctor.Finding{{Area: "State", Level: doctor.Fine, Text: "well"}}},
		}, Silent: map[string]error{"ops-6/412/a": control.ErrNoDoctor, "ops-7/412/a": errors.New("no answer")}}, nil
	}
	li, viewer := as(t, c, "li", roleOperator), as(t, c, "wang", roleViewer)
	if body := get(t, li, "/processes").Body.String(); !strings.Contains(body, "Not asked yet") {
		t.Error("before the first examination the page does not say so")
	}
	if w := post(t, viewer, "/processes/doctor", nil); asked > 0 || w.Code == http.StatusOK {
		t.Errorf("a viewer runs doctor: status %d", w.Code)
	}
	first := make(chan string)
	go func() { first <- post(t, li, "/processes/doctor", nil).Header().Get("Location") }()
	<-inside
	if w := post(t, li, "/processes/doctor?format=json", nil); w.Code == http.StatusOK ||
		!strings.Contains(w.Body.String(), "examining themselves") {
		t.Errorf("two examinations at a time: status %d, %s", w.Code, w.Body)
	}
	close(hold)
	if to := <-first; asked != 1 || to == "" {
		t.Errorf("asked %d times, led to %q", asked, to)
	}
	for _, l := range languages {
		body := get(t, viewer, "/processes", in(l)).Body.String()
		for _, part := range []string{"ops-4", "none of 100 GiB is free at /srv/historian &lt;x&gt;", "ops-7/412/a",
			"no answer", "ops-6/412/a"} {
			if !strings.Contains(body, part) {
				t.Errorf("the page in %s lacks %q", l, part)
			}
		}
	}
	w := get(t, viewer, "/processes/report?format=file")
	var report vendorReport
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || report.Problems != 2 || len(report.Hosts) != 2 ||
		!strings.Contains(w.Header().Get("Content-Disposition"), reportFile) {
		t.Errorf("%v: %s", err, w.Body)
	}
	for _, page := range []string{w.Body.String(), text(get(t, viewer, "/processes/report").Body.String())} {
		for _, secret := range []string{"ops-4", "ops-7", "historian", "launch-site", "/srv"} {
			if strings.Contains(page, secret) {
				t.Errorf("the report names %s: %s", secret, page)
			}
		}
	}
}

// text is what a page has in its pre.
func text(page string) string {
	_, after, _ := strings.Cut(page, "<pre")
	inside, _, _ := strings.Cut(after, "</pre>")
	return inside
}
