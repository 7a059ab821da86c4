package tracecontext

import "testing"

func TestMember(t *testing.T) {
	const list = "a=b, skerry-key = alice ;p=1,skerry-keys=no,empty=,flag"
	for key, want := range map[string]string{"a": "b", KeyMember: "alice", "empty": "", "flag": "", "none": ""} {
		if got := Member(list, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}
