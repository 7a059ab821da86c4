package deploy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKeystrokeModel(t *testing.T) {
	for _, c := range []struct {
		name string
		step step
		want time.Duration
	}{
		{"a command", step{command: "mount /mnt"}, 11*keyTime + mentalTime},
		{"a command that is read", step{command: "mount /mnt", reads: true}, 11*keyTime + 2*mentalTime},
		{"an edit", step{command: "vi f", file: "f", values: map[string]string{"DB": "10.77.0.4"}},
			(5+9+editKeys+saveKeys)*keyTime + 3*mentalTime},
		{"a way", step{walks: true}, walkTime + time.Duration(len(signIn)+1)*keyTime + mentalTime},
	} {
		if got := c.step.time(); got != c.want {
			t.Errorf("%s takes %v, want %v", c.name, got, c.want)
		}
	}
}

// Each column does each task, every visit ends with signing out, and a stick that was mounted is taken along.
func TestLists(t *testing.T) {
	columns, err := chosen("A,B,C,D")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		if len(c.works) != len(tasks) {
			t.Fatalf("%s has %d tasks, want %d", c.name, len(c.works), len(tasks))
		}
		for i, does := range c.works {
			w := &work{}
			does(w)
			if !w.steps[0].walks {
				t.Errorf("%s, %s begins without a visit", c.name, tasks[i].name)
			}
			signedIn, mounted := false, false
			for _, s := range append(slices.Clone(w.steps), step{walks: true}) {
				switch {
				case s.walks:
					if mounted || signedIn {
						t.Errorf("%s, %s leaves a host signed in, or the stick at it", c.name, tasks[i].name)
					}
					signedIn = true
				case s.command == "mount /mnt":
					mounted = true
				case s.command == "umount /mnt":
					mounted = false
				case s.command == "exit":
					signedIn = false
				}
			}
		}
	}
}

func TestGoals(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	c := &calls{}
	line := func(s, answer string) {
		if _, err := c.Write([]byte(s + "000000000 " + answer + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	line("10", "portal/v1@ops-1 db/v1@ops-4")
	line("11", "")
	line("12", "portal/v1@ops-1 db/v1@ops-2")
	move := goal{seen: []string{"db/v1@ops-2"}, gone: []string{"db/v1@ops-4"}}
	if got, ok := c.reached(move, at(9), at(15)); !ok || !got.Equal(at(12)) {
		t.Errorf("reached at %v, %v; want 12 s", got, ok)
	}
	line("13", "portal/v1@ops-1 db/v1@ops-4")
	if got, ok := c.reached(move, at(9), at(15)); !ok || !got.Equal(at(13)) {
		t.Errorf("reached at %v, %v; want 13 s, when the old one was seen last", got, ok)
	}
	if _, ok := c.reached(move, at(9), at(13)); ok {
		t.Error("reached while the old one has just been seen")
	}
	if _, ok := c.reached(goal{seen: []string{"db/v2@ops-2"}}, at(9), at(15)); ok {
		t.Error("reached without an answer of the new version")
	}
	if n := c.failures(at(10), at(12)); n != 1 {
		t.Errorf("%d calls failed, want 1", n)
	}
}

func TestEditsNameWhatIsThere(t *testing.T) {
	s := step{file: "f", values: map[string]string{"AUTH": "10.77.0.2"}}
	if out, ok := s.apply("auth AUTH:7002\n"); !ok || strings.Contains(out, "AUTH") {
		t.Errorf("the edit gives %q, %v", out, ok)
	}
	if _, ok := s.apply("db DB:7004\n"); ok {
		t.Error("an edit of a value that does not stand there has passed")
	}
}
