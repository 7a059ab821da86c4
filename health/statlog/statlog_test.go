package statlog

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
)

var getToken = health.Key{Side: health.Client, Service: "auth", Method: "getToken", Version: "v1"}

func sample(to time.Time) health.Row {
	r := health.Row{
		Key:  getToken,
		From: to.Add(-30 * time.Second),
		To:   to,
		Sum:  1234567,
		P50:  1500,
		P99:  99 * time.Millisecond,
		Max:  time.Second,
	}
	r.Outcomes[health.OK], r.Outcomes[health.Timeout] = 40, 2
	return r
}

func TestRowSurvivesJSON(t *testing.T) {
	want := sample(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"side":"client"`, `"calls":42`, `"failures":2`, `"timeout":2`, `"p99_us":99000`} {
		if !strings.Contains(string(b), part) {
			t.Errorf("%s lacks %s", b, part)
		}
	}
	var got health.Row
	if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
}

func TestLogIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stats", "calls.log")
	sink := New(Config{Path: path})
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	write := func(minute int) {
		if err := sink.Write(context.Background(),
			[]health.Row{sample(base.Add(time.Duration(minute) * time.Minute))}); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	write(1)
	if err := sink.rotate(time.Now()); err != nil {
		t.Fatal(err)
	}
	write(2)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("{\"from\":\"2026-0\n") // a line that a crash cut off
	_ = f.Close()
	write(3)

	for _, pattern := range []string{path, filepath.Join(filepath.Dir(path), "*.log")} {
		var minutes []int
		bad, err := Read(pattern, base.Add(time.Minute), func(r health.Row) error {
			minutes = append(minutes, r.To.Minute())
			return nil
		})
		if err != nil || bad != 1 || !reflect.DeepEqual(minutes, []int{1, 2, 3}) {
			t.Errorf("%s: minutes %v, %d bad lines, %v; want 1 2 3 and one bad line", pattern, minutes, bad, err)
		}
	}
	if _, err := Read(path+".missing", base, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestSum(t *testing.T) {
	now := time.Now()
	a, b := sample(now), sample(now.Add(time.Minute))
	b.Peer, b.P50, b.P99, b.Max = "10.0.0.6:7000", 3000, time.Millisecond, 2*time.Second
	got := Sum([]health.Row{a, b}, func(k health.Key) health.Key { k.Peer = ""; return k })
	if len(got) != 1 {
		t.Fatalf("%d rows, want 1", len(got))
	}
	r := got[0]
	if r.Calls() != 84 || r.Failures() != 4 || r.P50 != 2250 || r.P99 != a.P99 || r.Max != b.Max ||
		!r.From.Equal(a.From) ||
		!r.To.Equal(b.To) {
		t.Errorf("sum: %+v", r)
	}
	if got := Sum([]health.Row{a, b}, nil); len(got) != 2 {
		t.Errorf("%d rows without a grouping, want 2", len(got))
	}
}
