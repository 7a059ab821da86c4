package skerry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/operator"
)

// TestReadOnlyConsumer releases a service while a process has a request under
// way that no registry lists, as its user may only read the database: the
// request holds the old version back, and when it is over the release goes on.
func TestReadOnlyConsumer(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	site := withDatabase(lanSite(t), config.ModeDatabase, server.URL(db))
	provide(t, site, "auth", "v1")
	annWith := func(progress func(operator.Progress)) *operator.Controller {
		c := site
		c.StateDir = "none"
		return open(t, c, AsGuest()).Releases(Operator{Name: "ann", Progress: progress})
	}
	ann := annWith(nil)
	eventually(t, "auth is listed", func() bool { return ann.Start(t.Context(), "spring", "new tokens", "") == nil })

	user := server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s")
	reader := withDatabase(site, config.ModeDatabase, server.UserURL(db, user))
	reader.StateDir = t.TempDir()
	root := open(t, reader)
	call := func(ctx context.Context) (string, error) {
		id, err := wire.NewInternalClient(root.Client("auth")).WhoAmI(ctx)
		if err != nil {
			return "", err
		}
		return id.Release, nil
	}
	var met string
	ctx, end := root.Begin(t.Context(), "long job")
	eventually(t, "the job has begun", func() (ok bool) { met, ok = first(call(ctx)); return ok })

	eventually(t, "the reader is known", func() bool { return len(root.introduction.known(nil)) > 0 })

	provide(t, site, "auth", "v2")
	eventually(t, "v2 is shipped", func() bool {
		return ann.Ship(t.Context(), rollout.Module{Service: "auth", Old: "v1", New: "v2"}) == nil
	})
	must(t, "commit", ann.Commit(t.Context(), rollout.Whole))
	eventually(t, "the reader has the rules", func() bool { return root.Rollout().Log().Last().N >= 3 })

	// It is cut off when it has found what holds it back, however long that takes.
	hurry, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := annWith(func(p operator.Progress) {
		if slices.ContainsFunc(p.Holders, func(h rollout.Blocker) bool {
			return h.Process == root.owner.String() && h.Why == "holding"
		}) {
			cancel()
		}
	})
	if err := cut.Clean(hurry); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), root.owner.String()+" is holding") {
		t.Errorf("clean while the job runs: %v", err)
	}
	if again, err := call(ctx); err != nil || again != met {
		t.Errorf("the job met %s, and then %s, %v", met, again, err)
	}
	end()
	must(t, "clean", annWith(nil).Clean(t.Context()))
	if s := annWith(nil).Status(t.Context()); len(s.Members) != 2 {
		t.Errorf("members in the end: %+v", s.Members)
	}
	must(t, "close", root.Close())
	if s := annWith(nil).Status(t.Context()); len(s.Members) != 1 {
		t.Errorf("members after its farewell: %+v", s.Members)
	}
}

func first(s string, err error) (string, bool) { return s, err == nil }

func TestIntroductions(t *testing.T) {
	who := func(host string) member {
		return member{Owner: registry.Owner{Host: host, PID: 1, Epoch: 7}, Addr: host + ":1"}
	}
	m := newMembership(nil)
	must(t, "introduce a", m.introduce(who("a")))
	must(t, "introduce b", m.introduce(who("b")))
	m.heard("database", registry.Snapshot{Instances: []registry.Instance{}}, time.Now())
	m.farewell(who("b").Owner)
	m.farewell(who("c").Owner)
	if list := m.list(); len(list) != 1 || list[0].Owner.Host != "a" || list[0].Gone != "" {
		t.Errorf("after introductions: %+v", list)
	}
	m.introduced[who("a").Owner] = time.Now().Add(-introductionEnds)
	if list := m.list(); len(list) != 1 || list[0].Gone == "" {
		t.Errorf("after silence: %+v", list)
	}

	i := introduction{told: map[registry.Owner]acquaintance{}}
	var all []member
	for _, host := range strings.Split("abcdefghijkl", "") {
		all = append(all, who(host))
	}
	self := registry.Owner{Host: "z", PID: 1, Epoch: 1<<62 + 5}
	chosen := i.choose(all, self)
	for _, a := range chosen {
		i.note(a.member, nil)
	}
	i.note(chosen[0].member, errors.New("refused"))
	again := i.choose(all, self)
	if len(chosen) != introduceTo || len(again) != introduceTo || len(i.known(again)) != introduceTo-1 || again[introduceTo-1].Owner == chosen[0].Owner {
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
	m := newMembership(nil)
	listed := registry.Instance{Service: nodeName, Host: "10.0.0.1", Port: 7, Owner: registry.Owner{Host: "a", PID: 1, Epoch: 7},
		Tags: map[string]string{placeTag: "here"}}
	m.heard("database", registry.Snapshot{Instances: []registry.Instance{listed}}, time.Now())
	must(t, "introduce a listed one", m.introduce(member{Owner: listed.Owner, Addr: "10.0.0.9:9", Place: "there"}))
	if k, _ := m.find(listed.Owner); k.Addr != "10.0.0.1:7" || k.Place != "here" {
		t.Errorf("the listed process is now %+v", k)
	}
	m.farewell(listed.Owner)
	if _, known := m.find(listed.Owner); !known {
		t.Error("a farewell has taken a listed process off")
	}
	ghost := func(n int) member {
		return member{Owner: registry.Owner{Host: "ghost", PID: n, Epoch: 1}, Addr: "10.0.0.9:9"}
	}
	for n := range introducedMost {
		must(t, "introduce", m.introduce(ghost(n)))
	}
	for o := range m.introduced { // all of them have fallen silent
		m.introduced[o] = time.Now().Add(-introductionEnds)
	}
	if n := len(m.list()); n != introducedMost+1 {
		t.Errorf("%d processes are known", n)
	}
	if err := m.introduce(ghost(introducedMost)); err == nil {
		t.Error("one more is taken")
	}
}
