package health

import (
	"testing"
	"time"
)

// TestPolicyJudgesNeither: what the site's policy does is held against no version, on either side; what has got no
// answer for its caller is a failure all the same.
func TestPolicyJudgesNeither(t *testing.T) {
	failed := map[Outcome]bool{Injected: true, Limited: true, Denied: true, Mirrored: false, Fallback: false,
		MirrorFailed: false}
	for o := range Outcome(outcomeCount) {
		f, byPolicy := failed[o]
		if byPolicy && (o.Judges(Client) || o.Judges(Server) || o.Failed() != f) {
			t.Errorf("%v: judges %v and %v, failed %v", o, o.Judges(Client), o.Judges(Server), o.Failed())
		}
		if !byPolicy && !o.Judges(Client) {
			t.Errorf("%v does not judge the caller", o)
		}
		if outcomeNames[o] == "" {
			t.Errorf("outcome %d has no name", o)
		}
	}
}

// TestPolicyIsNotTimed: a call that the site's policy has refused is counted, and its time is in no latency.
func TestPolicyIsNotTimed(t *testing.T) {
	r := NewRecorder(Config{})
	both, refused := r.Cell(Key{Side: Server, Method: "both"}), r.Cell(Key{Side: Server, Method: "refused"})
	both.Record(OK, 10*time.Millisecond)
	for range 99 {
		both.Record(Limited, time.Nanosecond)
		refused.Record(Denied, time.Nanosecond)
	}
	rows := r.Rows()
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2", len(rows))
	}
	if b := rows[0]; b.Calls() != 100 || b.Timed() != 1 || b.P50 != 10*time.Millisecond || b.Max != b.P50 {
		t.Errorf("%+v", b)
	}
	if only := rows[1]; only.Calls() != 99 || only.Timed() != 0 || only.P50+only.P99+only.Max+only.Sum != 0 {
		t.Errorf("%+v", only)
	}
}
