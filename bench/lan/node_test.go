package lan

import (
	"bufio"
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
)

// TestTeller: what a node says, a journal understands.
func TestTeller(t *testing.T) {
	var out bytes.Buffer
	tell := &teller{w: bufio.NewWriter(&out)}
	tell.say("ready")
	tell.listed(2, true)
	tell.listed(1, true)
	tell.listed(1, false)
	j := newJournal(3)
	var seen []string
	l := &lines{take: func(s string) { seen = append(seen, s); j.line(0, s) }}
	for _, b := range out.Bytes() { // in pieces, as pipes bring it
		if _, err := l.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 4 || !j.ready[0] || !j.known[0][2] || j.known[0][1] || j.away[0][1].IsZero() {
		t.Errorf("of %q: ready %v, known %v, away %v", seen, j.ready, j.known[0], j.away[0])
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := &lines{take: func(s string) { got = append(got, s) }}
	for _, part := range []string{"a", "b\nc\n\nd", "e", "\nrest"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if want := []string{"ab", "c", "", "de"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestHostOf(t *testing.T) {
	for addr, want := range map[string]int{"10.77.0.1:80": 0, "10.77.0.32:7000": 31, "[::ffff:10.77.0.6]:1": 5,
		"[fe80::1]:1": -1, "10.77.0.1": -1, "": -1} {
		if got := hostOf(addr); got != want {
			t.Errorf("hostOf(%q) = %d, want %d", addr, got, want)
		}
	}
}

func TestArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-hosts 3":            "-hosts 3: want 4 to 250",
		"-loss 0,ten":         "-loss 0,ten: want percentages under 100",
		"-loss 100":           "-loss 100: want percentages under 100",
		"-rounds 0 -rest 0 x": "",
	} {
		err := Run(context.Background(), strings.Fields(args))
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("lan %s: %v, want %q", args, err, want)
		}
	}
	if err := Node(context.Background(), []string{"skerry"}); err == nil {
		t.Error("a node without a place")
	}
	if err := Node(context.Background(), []string{"gossip", "0", "4", "10.77.0.1", "10.77.0.2"}); err == nil {
		t.Error("an unknown system")
	}
}
