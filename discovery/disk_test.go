package discovery

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

func TestColdStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "known.json")
	with := func(c *Config) { c.StateFile = file }
	bubble(t, func(t *testing.T) {
		w := newWorld(t, with)
		w.db.lists(1, 2, 3)
		w.after(10*time.Second + 1)
		if _, err := os.Stat(file); err != nil {
			t.Fatal("not saved after 10 s")
		}
		w.db.lists(1, 2, 3, 4)
		w.after(time.Second)
		w.stop() // saves the unsaved changes
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, with)
		w.expect("nobody has answered yet", 1, 2, 3, 4)
		w.db.lost()
		w.after(time.Hour).expect("every source is down", 1, 2, 3, 4)
		if e := w.entry(1); !e.Stale || e.Sources[0].Name != Disk {
			t.Errorf("entry from the disk: %+v", e)
		}
		w.db.lists(1, 2, 3)
		w.expect("one is not confirmed", 1, 2, 3)
		if e := w.entry(1); e.Stale || len(e.Sources) != 1 || e.Sources[0].Name != "database" {
			t.Errorf("confirmed entry: %+v", e)
		}
	})
}

func TestColdStartOnALan(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known.json")
	with := func(c *Config) { c.StateFile = file }
	bubble(t, func(t *testing.T) {
		w := newWorld(t, with)
		w.lan.lists(1, 2, 3)
		w.after(5 * time.Second)
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, with)
		w.kill(errCut, 2)
		w.db.lost()
		w.lan.lists(1)
		w.after(2900*time.Millisecond).expect("the LAN may not have heard all", 1, 2, 3)
		w.after(6*time.Second).expect("who was not heard is asked", 1, 3)
		w.after(time.Hour).expect("a LAN can't vouch that it is gone", 1, 3)
		w.expectEntry(3, OK, "listed by disk only, and no source that answers can vouch")
		w.db.lists(1)
		w.after(16*time.Minute).expect("the database can", 1)
	})
}

func TestBadStateFile(t *testing.T) {
	good := `{"cluster":"test","services":{"auth":{"list":[{"Service":"auth","Host":"10.0.0.2","Port":7000}]}}}`
	for _, c := range []struct {
		name, content string
		want          int
	}{
		{"good", good, 1},
		{"empty", "", 0},
		{"cut", good[:len(good)/2], 0},
		{"binary", "\x00\xff\x17", 0},
		{"other cluster", `{"cluster":"prod"` + good[17:], 0},
		{"bad instance",
			`{"cluster":"test","services":{"auth":{"list":[{"Service":"auth","Host":"","Port":7000}]}}}`, 0},
		{"of another service",
			`{"cluster":"test","services":{"auth":{"list":[{"Service":"db","Host":"10.0.0.2","Port":7000}]}}}`, 0},
		{"null", `{"cluster":"test","services":null}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "known.json")
			if err := os.WriteFile(file, []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			bubble(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.StateFile = file })
				if got := len(w.picks()); got != c.want {
					t.Errorf("%d instances, want %d", got, c.want)
				}
				w.db.lists(2, 3)
				w.expect("goes on", 2, 3)
			})
		})
	}
}

func TestStateKeepsWhatWasNotAskedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known.json")
	with := func(c *Config) { c.StateFile = file }
	bubble(t, func(t *testing.T) {
		w := newWorld(t, with)
		w.db.lists(1, 2)
		w.after(4 * time.Second)
	})
	bubble(t, func(t *testing.T) { // this run has heard no source: it must keep the saved list
		w := newWorld(t, with)
		w.after(30 * time.Second)
	})
	saved, err := readSaved(file, "test")
	if list := saved.Services["auth"].instances(); err != nil || len(list) != 2 ||
		!slices.EqualFunc(list, instances(1, 2), func(a, b registry.Instance) bool { return a.Equal(b) }) {
		t.Errorf("saved: %+v, %v", saved, err)
	}
}

// TestADiskThatHangsStopsNoList: while the last known list can't be written, services are still
// found. It is written when the disk answers.
func TestADiskThatHangsStopsNoList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "lists.json")
	bubble(t, func(t *testing.T) {
		hung := make(chan struct{})
		w := newWorld(t, func(c *Config) { c.StateFile = file })
		w.after(time.Second) // it has read the file
		given, giveUp := context.WithCancel(t.Context())
		giveUp()
		_ = w.disk.Do(given, func() error { <-hung; return nil }, nil)
		w.db.lists(1, 2)
		w.after(2*saveEvery).expect("the disk hangs", 1, 2)
		if _, err := os.Stat(file); err == nil {
			t.Error("it was written past the disk")
		}
		close(hung)
		w.after(2 * saveEvery)
		if saved, err := readSaved(file, w.cfg.Cluster); err != nil || len(saved.Services["auth"].List) != 2 {
			t.Errorf("saved: %v, %v", saved, err)
		}
	})
}
