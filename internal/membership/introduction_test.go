package membership

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

func TestIntroductions(t *testing.T) {
	who := func(host string) Member {
		return Member{Owner: registry.Owner{Host: host, PID: 1, Epoch: 7}, Addr: host + ":1"}
	}
	m := newList(nil)
	must(t, "introduce a", m.introduce(who("a")))
	must(t, "introduce b", m.introduce(who("b")))
	m.heard("database", registry.Snapshot{Instances: []registry.Instance{}}, time.Now())
	m.farewell(who("b").Owner)
	m.farewell(who("c").Owner)
	if list := m.members(); len(list) != 1 || list[0].Owner.Host != "a" || list[0].Gone != "" {
		t.Errorf("after introductions: %+v", list)
	}
	m.introduced[who("a").Owner] = time.Now().Add(-introductionEnds)
	if list := m.members(); len(list) != 1 || list[0].Gone == "" {
		t.Errorf("after silence: %+v", list)
	}

	i := introduction{told: map[registry.Owner]acquaintance{}}
	var all []Member
	for _, host := range strings.Split("abcdefghijkl", "") {
		all = append(all, who(host))
	}
	self := registry.Owner{Host: "z", PID: 1, Epoch: 1<<62 + 5}
	chosen := i.choose(all, self)
	for _, a := range chosen {
		i.record(a.Member, nil)
	}
	i.record(chosen[0].Member, errors.New("refused"))
	again := i.choose(all, self)
	if len(chosen) != introduceTo || len(again) != introduceTo || len(i.known(again)) != introduceTo-1 ||
		again[introduceTo-1].Owner == chosen[0].Owner {
		t.Errorf("chosen %v, then %v", chosen, again)
	}
	all[0].Gone = "silent"
	if lost := i.choose(all[:1], self); len(lost) != 1 {
		t.Errorf("with nobody listed: %v", lost)
	}
	if none := i.choose(nil, self); len(none) != 0 {
		t.Errorf("of nobody: %v", none)
	}
}

// TestIntroductionsAreBounded: what a registry lists is not overwritten, and
// processes that only introduced themselves have a bound for good.
func TestIntroductionsAreBounded(t *testing.T) {
	m := newList(nil)
	listed := registry.Instance{Service: NodeService, Host: "10.0.0.1", Port: 7,
		Owner: registry.Owner{Host: "a", PID: 1, Epoch: 7},
		Tags:  map[string]string{identityTag: "here"}}
	m.heard("database", registry.Snapshot{Instances: []registry.Instance{listed}}, time.Now())
	must(t, "introduce a listed one", m.introduce(Member{Owner: listed.Owner, Addr: "10.0.0.9:9", Place: "there"}))
	if k, _ := m.find(listed.Owner); k.Addr != "10.0.0.1:7" || k.Place != "here" {
		t.Errorf("the listed process is now %+v", k)
	}
	m.farewell(listed.Owner)
	if _, known := m.find(listed.Owner); !known {
		t.Error("a farewell has taken a listed process off")
	}
	ghost := func(n int) Member {
		return Member{Owner: registry.Owner{Host: "ghost", PID: n, Epoch: 1}, Addr: "10.0.0.9:9"}
	}
	for n := range introducedMost {
		must(t, "introduce", m.introduce(ghost(n)))
	}
	for o := range m.introduced { // all of them have fallen silent
		m.introduced[o] = time.Now().Add(-introductionEnds)
	}
	if n := len(m.members()); n != introducedMost+1 {
		t.Errorf("%d processes are known", n)
	}
	if err := m.introduce(ghost(introducedMost)); err == nil {
		t.Error("one more is taken")
	}
}
