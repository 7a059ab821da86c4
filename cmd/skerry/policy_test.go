package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/rpc"
)

func checkPolicyText(t *testing.T, text string, flags ...string) (out, errs string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = execute(t.Context(), append([]string{"policy", "check", file}, flags...), strings.NewReader(""),
		&stdout, &stderr)
	return strings.ReplaceAll(stdout.String(), file, "policy.yaml"), stderr.String(), code
}

func TestPolicyCheck(t *testing.T) {
	good := "policy: 1\nservices:\n  auth:\n    timeout: 100ms\n    limits: [{rate: 5, per: site}]\n"
	out, errs, code := checkPolicyText(t, good)
	if code != exitOK || errs != "" ||
		!strings.Contains(out, "policy.yaml:4:5: note: services.auth.timeout: 100ms is shorter") ||
		!strings.Contains(out, "policy.yaml: nothing is wrong with it; 1 service, 0 plans and 1 item\n") {
		t.Errorf("a good text: %d\n%s%s", code, out, errs)
	}
	bad := "policy: 1\nservices:\n  auth:\n    timout: 1s\n    limits: [{rate: 5, per: \"hall\\e[2J\"}]\n"
	out, errs, code = checkPolicyText(t, bad)
	if code != exitProblem || errs != "" ||
		!strings.Contains(out, "policy.yaml:4:5: services.auth.timout: no such key; did you mean timeout?\n") ||
		!strings.Contains(out, "policy.yaml:5:24: services.auth.limits[0].per: ") || strings.Contains(out, "\x1b") ||
		strings.Contains(out, "nothing is wrong") {
		t.Errorf("a bad text: %d\n%s%s", code, out, errs)
	}
	out, _, code = checkPolicyText(t, bad, "--json")
	var doc struct {
		Problems []struct {
			File, Key, Text string
			Line, Column    int
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitProblem || len(doc.Problems) != 2 ||
		doc.Problems[0].Line != 4 || doc.Problems[0].Column != 5 || doc.Problems[0].File != "policy.yaml" {
		t.Errorf("as JSON: %d, %v, %+v\n%s", code, err, doc, out)
	}
	if out, _, code = checkPolicyText(t, good, "--json"); code != exitOK || !strings.Contains(out, `"note": true`) {
		t.Errorf("a note as JSON: %d\n%s", code, out)
	}
	if out, errs, code = checkPolicyText(t, strings.Repeat("#", 600<<10)); code != exitUsage ||
		out != "" || errs == "" {
		t.Errorf("a text that is too long: %d\n%.200s%s", code, out, errs)
	}
	var stdout, stderr bytes.Buffer
	if code := execute(t.Context(), []string{"policy", "check", "no-such-file"}, strings.NewReader(""), &stdout,
		&stderr); code != exitUsage ||
		!strings.Contains(stderr.String(), "there is no file no-such-file") {
		t.Errorf("no file: %d\n%s", code, &stderr)
	}
}

// TestPolicyKnowsTheCodes: a fallback may be for every failure that a caller can meet by the callee's or the network's
// fault, by the name that rpc and statistics give it.
func TestPolicyKnowsTheCodes(t *testing.T) {
	not := []string{"unknown", "canceled", "too_large", "deadline_exceeded", "not_member", "not_sealed", "rules_needed",
		"retired", "wrong_version", "orphan", "expired", "forsworn", "rules_forked", "access_denied", "shadow",
		"unsupported", "slow_reader", "moved"} // of streams, which have no fallback
	known := 0
	for code := rpc.Code(1); code.String() != rpc.Code(250).String(); code++ {
		text := "policy: 1\nservices: {auth: {fallback: [{on: " + code.String() + ", reply: {}}]}}\n"
		out, _, exit := checkPolicyText(t, text)
		if want := !slices.Contains(not, code.String()); (exit == exitOK) != want {
			t.Errorf("a fallback on %s may stand in a policy: %v, want %v\n%s", code, exit == exitOK, want, out)
		} else if want {
			known++
		}
	}
	if known < 10 {
		t.Errorf("only %d codes were looked at", known)
	}
	for _, also := range []string{"timeout", "always"} {
		text := "policy: 1\nservices: {auth: {fallback: [{on: " + also + ", reply: {}, expires: 1h}]}}\n"
		if out, _, exit := checkPolicyText(t, text); exit != exitOK {
			t.Errorf("%s: %s", also, out)
		}
	}
}
