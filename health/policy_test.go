package health

import "testing"

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
