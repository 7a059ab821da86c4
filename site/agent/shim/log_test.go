package shim

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func cutAll(chunks ...string) (lines []string) {
	var c cutter
	emit := func(line []byte) { lines = append(lines, string(line)) }
	for _, chunk := range chunks {
		c.feed([]byte(chunk), emit)
	}
	c.flush(emit)
	return lines
}

func TestLinesAreCut(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		chunks []string
		want   string
	}{
		{[]string{"a\nb", "c\n", "\n", "d"}, "a\n|bc\n|\n|d\n"},
		{[]string{long, "\nb\n"}, long + "\n|b\n"},
		{[]string{long, "yz", "\nb\n"}, long + " [skerry: 2 bytes more]\n|b\n"},
		{[]string{long + long + "y"}, long + fmt.Sprintf(" [skerry: %d bytes more]\n", maxLine+1)},
	} {
		if got := strings.Join(cutAll(test.chunks...), "|"); got != test.want {
			t.Errorf("%d chunks: got %.40q…, not %.40q…", len(test.chunks), got, test.want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), 2)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		n = max(n%(len(text)+1), 1)
		var chunks []string
		for c := range strings.SplitSeq(string(text), "\x00") {
			for len(c) > n {
				chunks, c = append(chunks, c[:n]), c[n:]
			}
			chunks = append(chunks, c)
		}
		got := strings.Join(cutAll(chunks...), "")
		want := strings.Join(chunks, "")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if len(text) <= maxLine && got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}

// newTestLog is a log of small files, which nothing has written to.
func newTestLog(t *testing.T, size int64) *logger {
	t.Helper()
	l := newLogger(privateDir(t))
	l.size = size
	return l
}

func TestLogRotates(t *testing.T) {
	l := newTestLog(t, 1000)
	go l.run()
	for i := range 1000 {
		l.add(fmt.Appendf(nil, "line %04d\n", i))
	}
	l.close(time.Minute)
	var all bytes.Buffer
	for i := logFiles - 1; i >= 0; i-- {
		text, err := os.ReadFile(filepath.Join(l.dir, logName(i)))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 1000 || !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("%s has %d bytes", logName(i), len(text))
		}
		all.Write(text)
	}
	if lines := strings.Split(strings.TrimSpace(all.String()), "\n"); lines[len(lines)-1] != "line 0999" ||
		lines[0] != fmt.Sprintf("line %04d", 1000-len(lines)) || len(lines) < 300 {
		t.Errorf("%d lines from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
	if _, err := os.Stat(filepath.Join(l.dir, logName(logFiles))); err == nil {
		t.Error("there is one file too many")
	}
	var tail strings.Builder
	if err := Logs(context.Background(), l.dir, 150, false, &tail); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(tail.String(), "\n"); n != 150 || !strings.HasPrefix(tail.String(), "line 0850\n") {
		t.Errorf("the last 150 lines are %d from %.10q", n, tail.String())
	}
}

// TestLogNeverWaits: the writer of the log does not run, and lines are added all the same.
func TestLogNeverWaits(t *testing.T) {
	l := newTestLog(t, logSize)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range 1000 {
		l.add(line)
	}
	if want := int64(1000*1024 - logQueue); l.dropped() != want {
		t.Errorf("%d bytes were dropped, not %d", l.dropped(), want)
	}
	go l.run()
	l.close(time.Minute)
	text, err := os.ReadFile(filepath.Join(l.dir, "log"))
	if err != nil || !strings.HasPrefix(string(text), "[skerry: 744 lines of 761856 bytes were dropped") {
		t.Errorf("%v: the log begins with %.80q", err, text)
	}
}

// TestFollowOverRotations: a follower sees every line once and in order, whatever the files are called meanwhile.
func TestFollowOverRotations(t *testing.T) {
	l := newTestLog(t, 1000)
	l.add([]byte("before\n"))
	x, err := follow(l.dir, l, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	var got strings.Builder
	for i := range 50 { // one batch a turn: the follower reads in between
		batch := fmt.Appendf(nil, "a %03d %s\n", i, strings.Repeat("x", 300))
		l.writeAll(batch)
		if i%3 == 0 {
			if _, err := x.copy(&got); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := x.copy(&got); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got.String()), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf("a %03d", i)) {
			t.Fatalf("line %d is %.10q", i, line)
		}
	}
	if len(lines) != 50 {
		t.Errorf("%d lines", len(lines))
	}
	for i := range 50 {
		l.writeAll(fmt.Appendf(nil, "b %03d %s\n", i, strings.Repeat("x", 300)))
	}
	got.Reset()
	if _, err := x.copy(&got); err != nil || !strings.Contains(got.String(), "files of the log were gone") ||
		!strings.Contains(got.String(), "b 049") {
		t.Errorf("%v: a slow follower got %.100q", err, got.String())
	}
}
