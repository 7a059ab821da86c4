package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/policy"
)

// TestPolicyReplies: replies of fallbacks become Thrift by the .thrift file, stay with the text, and are refused when
// they do not fit.
func TestPolicyReplies(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	n := offerClock(t, cfg)
	idl := clockFile(t)
	text := func(reply string) string {
		return "policy: 1\nservices:\n  clock:\n    fallback:\n" +
			"      - {match: {method: now}, on: [timeout], reply: " + reply + "}\n"
	}
	bytesOf := func() []byte {
		i := n.Membership().Policy().Table().Rules("clock", "now").Fallback(&policy.Request{Method: "now"}, "timeout")
		if i == nil {
			return nil
		}
		return i.Thrift
	}
	apply := func(text string, args ...string) (int, string) {
		code, out, errs := policyCommand(t, cfg, text, append([]string{"apply", "-", "--yes"}, args...)...)
		return code, out + errs
	}
	for _, c := range []struct {
		text, idl, says string
		code            int
	}{
		{text("{a: 1}"), "clock=" + idl, "services.clock.fallback[0]: the reply of now: ", exitProblem},
		{strings.Replace(text("x"), "method: now", `method: "n*"`, 1), "clock=" + idl, "in full", exitProblem},
		{strings.Replace(text("x"), "method: now", "method: nwo", 1), "clock=" + idl, "nwo", exitProblem},
		{text("x"), "auth=" + idl, "no fallback for this service", exitProblem},
		{text("x"), "clock=no-such-file", "no-such-file", exitUsage},
	} {
		if code, out := apply(c.text, "--idl", c.idl); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s by %s: exit code %d\n%s", c.text, c.idl, code, out)
		}
	}
	if code, out := apply(text("noon"), "--idl", "clock="+idl); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	buf := thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(buf, nil)
	ctx := t.Context()
	for _, err := range []error{p.WriteFieldBegin(ctx, "success", thrift.STRING, 0), p.WriteString(ctx, "noon"),
		p.WriteFieldStop(ctx)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(bytesOf(), buf.Bytes()) {
		t.Errorf("the reply is %x, want %x", bytesOf(), buf.Bytes())
	}
	// Another part of the text changes; the .thrift file is not needed again.
	if code, out := apply(text("noon") + "    timeout: 3s\n"); code != exitOK || !bytes.Equal(bytesOf(), buf.Bytes()) {
		t.Errorf("exit code %d, the reply is %x\n%s", code, bytesOf(), out)
	}
	if code, out := apply(text("night")); code != exitOK || bytesOf() != nil {
		t.Errorf("exit code %d, another reply is %x\n%s", code, bytesOf(), out)
	}
	if code, out, errs := policyCommand(t, cfg, "", "undo", "--yes"); code != exitOK ||
		!bytes.Equal(bytesOf(), buf.Bytes()) {
		t.Errorf("undo: exit code %d, the reply is %x\n%s%s", code, bytesOf(), out, errs)
	}
}

// TestReplyID: bytes belong to a service, its methods and a reply, wherever the item stands.
func TestReplyID(t *testing.T) {
	item := policy.Item{Service: "clock", Match: policy.Match{Method: []string{"now"}}, Key: "a"}
	item.Reply = []byte(`"noon"`)
	id := sitepolicy.ReplyID(&item)
	for _, change := range []func(*policy.Item){
		func(i *policy.Item) { i.Service = "cloc" },
		func(i *policy.Item) { i.Match.Method = []string{"now", "reset"} },
		func(i *policy.Item) { i.Reply = []byte(`"n"`) },
	} {
		other := item
		change(&other)
		if sitepolicy.ReplyID(&other) == id {
			t.Errorf("%+v has the id of %+v", other, item)
		}
	}
	item.Key, item.Why = "b", "c"
	if sitepolicy.ReplyID(&item) != id {
		t.Error("the place of an item changes its id")
	}
}
