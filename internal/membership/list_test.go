package membership

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
)

// TestListSaysHowItsSourcesStand: a registry that is lost keeps its number of processes, and names its reason until its
// next list.
func TestListSaysHowItsSourcesStand(t *testing.T) {
	owner := func(pid int) registry.Owner { return registry.Owner{Host: "a", PID: pid, Epoch: 7} }
	list := func(pids ...int) (s registry.Snapshot) {
		for _, pid := range pids {
			s.Instances = append(s.Instances, registry.Instance{Service: NodeService, Host: "a", Port: pid,
				Owner: owner(pid)})
		}
		return s
	}
	l := newList(nil)
	for i, step := range []struct {
		snap   registry.Snapshot
		others int
		lost   string
		shown  bool
	}{
		{registry.Snapshot{Lost: errors.New("away")}, 0, "away", false},
		{list(1, 2, 3), 2, "<nil>", true},
		{registry.Snapshot{Lost: errors.New("cut")}, 2, "cut", true},
		{list(2), 1, "<nil>", true},
	} {
		l.heard("lan", step.snap, time.Now())
		others, lost, shown := l.of("lan", owner(1))
		if others != step.others || fmt.Sprint(lost) != step.lost || shown != step.shown {
			t.Errorf("step %d: %d others, lost %v, shown %v", i, others, lost, shown)
		}
	}
}

func TestMembershipForgetsOnlyGoodbyes(t *testing.T) {
	in := func(host string) registry.Instance {
		return registry.Instance{Service: NodeService, Host: host, Port: 1,
			Owner: registry.Owner{Host: host, PID: 1, Epoch: 7}}
	}
	now := time.Now()
	m := newList(nil)
	m.heard("lan", registry.Snapshot{Instances: []registry.Instance{in("a"), in("b"), in("c")}}, now)
	m.heard("lan", registry.Snapshot{Lost: errors.New("away")}, now)
	m.heard("lan", registry.Snapshot{Gone: []registry.Departure{
		{ID: in("a").ID(), Kind: registry.Deregistered}, {ID: in("b").ID(), Kind: registry.Expired}}}, now)
	again := newList(m.members()) // after a restart
	for _, m := range []*list{m, again} {
		got := m.members()
		if len(got) != 2 || got[0].Owner.Host != "b" || got[0].Gone != "expired" || got[1].Owner.Host != "c" ||
			got[1].Gone == "" {
			t.Errorf("remembered: %+v", got)
		}
	}
	again.heard("database", registry.Snapshot{Instances: []registry.Instance{in("b")}}, now)
	again.forget(in("c").Owner.String())
	if list := again.members(); len(list) != 1 || list[0].Gone != "" {
		t.Errorf("after b came back and c was certified dead: %+v", list)
	}
}

// A death is certified only of a process that ran in this boot and namespace.
func TestEnded(t *testing.T) {
	self := registry.NewOwner()
	if processIdentity(os.Getpid()) == "" {
		t.Log("this system does not tell: nobody is certified dead")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	owner := registry.Owner{Host: self.Host, PID: child.Process.Pid, Epoch: 1}
	where := processIdentity(owner.PID)
	if ended(owner, where, self) {
		t.Error("a living process was certified dead")
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if got := ended(owner, where, self); got != (where != "") {
		t.Errorf("a process that was killed and waited for: ended is %v", got)
	}
	elsewhere := owner
	elsewhere.Host = "another"
	if ended(elsewhere, where, self) || ended(owner, "other/boot/1", self) || ended(owner, "", self) {
		t.Error("a process of another host, boot, or of unknown place was certified dead")
	}
}

// TestRecall: a command asks the processes that those of its host knew last; what it can't read, and another cluster's,
// it leaves out.
func TestRecall(t *testing.T) {
	dir := t.TempDir()
	known := func(n int) registry.Owner { return registry.Owner{Host: "h", PID: n, Epoch: 1} }
	for name, text := range map[string]string{
		"c/a.members.json": `[{"owner":{"Host":"h","PID":1,"Epoch":1},"addr":"10.0.0.1:1"}]`,
		"c/b.members.json": `[{"owner":{"Host":"h","PID":2,"Epoch":1},"addr":"10.0.0.2:1"}]`,
		"c/d.members.json": `[{"owner":`,
		"e/a.members.json": `[{"owner":{"Host":"h","PID":3,"Epoch":1},"addr":"10.0.0.3:1"}]`,
	} {
		must(t, "directory", os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(t, "file", os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	m := &Membership{cfg: Config{Cluster: "c"}, list: newList(nil)}
	for range 2 {
		m.Recall(dir)
	}
	all := m.List()
	if len(all) != 2 || all[0].Owner != known(1) || all[1].Addr != "10.0.0.2:1" || all[0].Gone == "" {
		t.Errorf("recalled %+v", all)
	}
	m.Recall("none")
}

// TestAwaitListAtTheStart: a question for the processes of the site waits for lists that have just begun to come, and
// not when they have been followed for long.
func TestAwaitListAtTheStart(t *testing.T) {
	for name, test := range map[string]struct {
		answer time.Duration // of the LAN after the start; 0: none
		took   time.Duration // of the first question
	}{
		"the LAN's list grows": {50 * time.Millisecond, quietLimit},
		"no answer":            {0, listLimit},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &Membership{list: newList(nil), sources: []discovery.Source{{Name: broadcast.Source}}}
			ask := func() time.Duration {
				at := time.Now()
				if err := m.AwaitList(t.Context()); err != nil {
					t.Fatal(err)
				}
				return time.Since(at)
			}
			const before = 200 * time.Millisecond // the question comes before the process has begun
			time.AfterFunc(before, func() { now := time.Now(); m.begun.Store(&now) })
			if test.answer > 0 {
				time.AfterFunc(before+test.answer, func() {
					m.list.heard(broadcast.Source, registry.Snapshot{}, time.Now())
				})
			}
			if took, want := ask(), before+test.took; took < want || took > want+50*time.Millisecond {
				t.Errorf("%s: the first question took %v, want %v", name, took, want)
			}
			if took := ask(); took != 0 {
				t.Errorf("%s: a later question took %v", name, took)
			}
		})
	}
}
