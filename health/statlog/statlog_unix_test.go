//go:build unix

package statlog

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/run"
)

// TestFullDisk: rows that fit only in part are not written at all, and the next Write with room has
// all rows. A limit of the process simulates the full disk: the kernel writes up to it.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.log")
	sink := New(Config{Path: path})
	rows := []health.Row{sample(time.Now()), sample(time.Now())}
	if err := sink.Write(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	full := was
	full.Cur = uint64(len(before) + len(before)/3)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	err = sink.Write(context.Background(), rows)
	if back := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); back != nil {
		t.Fatal(back)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("written to a full disk: %v", err)
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, before) {
		t.Errorf("a full disk leaves %q of what it could not take, %v", bytes.TrimPrefix(left, before), err)
	}
	if err := sink.Write(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
	n := 0
	bad, err := Read(path, time.Time{}, func(health.Row) error { n++; return nil })
	if err != nil || bad != 0 || n != 4 {
		t.Errorf("%d rows, %d bad, %v; want 4", n, bad, err)
	}
}

// TestDiskThatHangsTakesNoRowTwice: an abandoned write is undone when the disk goes on, as its rows
// are offered again.
func TestDiskThatHangsTakesNoRowTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.log")
	sink := New(Config{Path: path})
	rows := []health.Row{sample(time.Now())}
	if err := sink.Write(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
	given, giveUp := context.WithCancel(context.Background())
	giveUp()
	for range 20 { // some are abandoned before they begin, some after
		if err := sink.Write(given, rows); err != nil && !errors.Is(err, run.ErrDiskHangs) {
			t.Fatal(err)
		} else if err == nil {
			rows = nil // the disk was faster
		}
	}
	settle, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for sink.disk.Do(settle, func() error { return nil }, nil) != nil && settle.Err() == nil {
	}
	n := 0
	if _, err := Read(path, time.Time{}, func(health.Row) error { n++; return nil }); err != nil || n != 2-len(rows) {
		t.Errorf("%d rows, %v; want %d", n, err, 2-len(rows))
	}
}
