package postgres

import (
	"encoding/json"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
)

func listed(service string, n int) row {
	owner := registry.Owner{Host: "node", PID: n, Epoch: int64(n)}
	return row{
		owner:    owner.String(),
		Instance: registry.Instance{Service: service, Host: "192.0.2.1", Port: 7000 + n, Owner: owner},
	}
}

func departedRow(r row, kind registry.DepartureKind) row {
	r.gone, r.when = kind, time.Now()
	return r
}

// ports returns the model's list of a service as port numbers.
func (m *model) ports(service string) []int {
	out := []int{}
	for _, in := range m.shown(service) {
		out = append(out, in.Port-7000)
	}
	slices.Sort(out)
	return out
}

func expectPorts(t *testing.T, m *model, what string, want ...int) {
	t.Helper()
	if got := m.ports("auth"); !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestModelMerge(t *testing.T) {
	m := newModel()
	m.replace([]row{listed("auth", 1), listed("auth", 2), departedRow(listed("auth", 9), registry.Deregistered)}, nil,
		true)
	expectPorts(t, m, "a full read", 1, 2)
	m.merge(
		[]row{
			listed("auth", 3),
			departedRow(listed("auth", 1), registry.Deregistered),
			departedRow(listed("auth", 7), registry.Expired),
		},
	)
	expectPorts(t, m, "changes", 2, 3)
	if got := len(m.left["auth"]); got != 3 {
		t.Errorf("%d departures, want 3: also of those that were never seen", got)
	}
	m.only([]string{"proc"}, false)
	expectPorts(t, m, "nobody watches")
}

// TestModelKeepsTheDoubted: an instance that a full read lacks stays until the database has
// settled, unless it was deregistered.
func TestModelKeepsTheDoubted(t *testing.T) {
	m := newModel()
	m.replace([]row{listed("auth", 1), listed("auth", 2), listed("auth", 3)}, nil, true)
	m.replace([]row{listed("auth", 2), departedRow(listed("auth", 3), registry.Deregistered)}, nil, false)
	expectPorts(t, m, "an unsettled database without 1", 1, 2)
	if !m.doubted {
		t.Error("not doubted")
	}
	m.replace([]row{listed("auth", 2)}, nil, true)
	expectPorts(t, m, "a settled database without 1", 2)
	if m.doubted {
		t.Error("doubted still")
	}
}

func TestModelJudge(t *testing.T) {
	m := newModel()
	m.replace([]row{listed("auth", 1), listed("auth", 2)}, nil, true)
	one := listed("auth", 1).owner
	now := time.Now()
	m.judge([]string{one}, false, now)
	expectPorts(t, m, "old lease, unsettled", 1, 2)
	m.judge([]string{one}, true, now)
	expectPorts(t, m, "old lease, settled", 2)
	if left := m.left["auth"]; len(left) != 1 || left[0].Kind != registry.Expired {
		t.Errorf("departures %v, want one expired", left)
	}
	m.judge([]string{one}, false, now)
	expectPorts(t, m, "still old, unsettled again", 2)
	m.replace([]row{listed("auth", 1), listed("auth", 2)}, nil, true)
	expectPorts(t, m, "a full read says nothing about leases", 2)
	m.judge(nil, true, now)
	expectPorts(t, m, "the lease is renewed", 1, 2)
	m.judge([]string{one}, true, now)
	m.merge([]row{listed("auth", 1)})
	expectPorts(t, m, "the owner wrote", 1, 2)
	if got := m.owners(one); !slices.Equal(got, []string{listed("auth", 2).owner}) {
		t.Errorf("owners %v, want all but ourselves", got)
	}
}

func lapsed(r row) row {
	r.lapsed = true
	return r
}

func version(r row, v string) row {
	r.Version = v
	return r
}

// TestModelListsNoneThatHadLapsed: an instance with a lease that had run out when it was first seen
// is not listed, unless the service was never read before and no better instance is known.
func TestModelListsNoneThatHadLapsed(t *testing.T) {
	m := newModel()
	m.replace(
		[]row{
			version(listed("auth", 1), "v1"),
			lapsed(version(listed("auth", 2), "v1")),
			lapsed(version(listed("auth", 3), "v2")),
		},
		nil,
		false,
	)
	m.sees([]string{"auth"}, false)
	expectPorts(t, m, "an unsettled site, first read", 1, 3)
	m.replace(
		[]row{
			version(listed("auth", 1), "v1"),
			lapsed(version(listed("auth", 3), "v2")),
			lapsed(version(listed("auth", 4), "v3")),
		},
		nil,
		false,
	)
	expectPorts(t, m, "an unsettled site, second read", 1, 3)
	m.merge([]row{lapsed(listed("auth", 5)), lapsed(version(listed("auth", 3), "v2"))})
	expectPorts(t, m, "changes", 1, 3)
	m.merge([]row{version(listed("auth", 6), "v2")})
	expectPorts(t, m, "one of the version lives", 1, 6)
	m.merge(
		[]row{version(listed("auth", 3), "v2"), departedRow(version(listed("auth", 6), "v2"), registry.Deregistered)})
	expectPorts(t, m, "the guess was right", 1, 3)
	clear(m.left)

	three := listed("auth", 3).owner
	m.replace([]row{version(listed("auth", 1), "v1")}, []string{three}, true)
	m.judge([]string{three}, true, time.Now())
	expectPorts(t, m, "a settled site", 1)
	if left := m.left["auth"]; len(left) != 1 || left[0].Kind != registry.Expired {
		t.Errorf("departures %v, want one expired", left)
	}
	m.judge(nil, true, time.Now())
	expectPorts(t, m, "its owner is back", 1, 3)
	m.judge([]string{three}, true, time.Now())
	m.replace([]row{version(listed("auth", 1), "v1")}, []string{three}, true)
	m.judge([]string{three}, true, time.Now())
	if m.lists["auth"].in[0].Port != 7001 || len(m.lists["auth"].in) != 1 || len(m.stale) != 0 {
		t.Errorf("%v and stale owners %v are remembered after two full reads, want the living only",
			m.lists["auth"].in, m.stale)
	}
}

// TestLostRowsOfTheClusterReviveNobody: an answer without the rows of the cluster says nothing of leases,
// so an instance with a lapsed one stays off the list.
func TestLostRowsOfTheClusterReviveNobody(t *testing.T) {
	self := registry.Owner{Host: "h", PID: 1, Epoch: 1}
	r, err := New(Config{URL: "postgres://db/site", Cluster: "site", Owner: self})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{r: r, m: newModel()}
	s.m.replace([]row{listed("auth", 1), listed("auth", 2)}, nil, true)
	s.m.judge([]string{listed("auth", 1).owner}, true, time.Now())
	expectPorts(t, s.m, "a lapsed lease", 2)
	for _, full := range []bool{false, true} {
		s.apply(head{writable: true, empty: true}, []string{"auth"}, false, full)
		expectPorts(t, s.m, "no rows of the cluster", 2)
	}
	s.apply(head{settled: true}, []string{"auth"}, false, false)
	expectPorts(t, s.m, "the lease is valid", 1, 2)
}

// TestKeysOfAnOlderCopy: a ring without any of the keys before is said, as a rotation goes in steps.
func TestKeysOfAnOlderCopy(t *testing.T) {
	var out strings.Builder
	r, err := New(Config{URL: "postgres://db/site", Cluster: "site", Owner: registry.Owner{Host: "h", PID: 1, Epoch: 1},
		Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, ring := range [][]string{{}, {"a"}, {"a", "b"}, {"b", "a"}, {}, {"b"}} {
		r.learn(secret{state: "1", keys: ring})
	}
	if out.Len() > 0 {
		t.Errorf("a rotation says %s", &out)
	}
	r.learn(secret{state: "2", keys: []string{"a"}})
	if !strings.Contains(out.String(), "other keys of the site than before") {
		t.Errorf("the key from before the rotation: %q is said", &out)
	}
}

// TestOnlyTheDatabasesTime: statements take no time from the process except the one that the
// database reported, and compare only with the database's now(). Ages are lengths by the monotonic
// clock.
func TestOnlyTheDatabasesTime(t *testing.T) {
	all := []string{
		helloSQL,
		versionSQL,
		secretSQL,
		makeSecretSQL,
		setKeysSQL,
		fillKeysSQL,
		rulesSinceSQL,
		newestRuleSQL,
		writeRuleSQL,
		probeSQL,
		surveySQL,
		oddStatSQL,
		beatSQL.delta,
		beatSQL.named,
		beatSQL.whole,
		readSQL.delta,
		readSQL.named,
		readSQL.whole,
		listSQL,
		mendSQL,
		expireSQL,
		notifySQL,
		notifyPauseSQL,
		bloatSQL,
		vouchSQL,
		leaveSQL,
		mineSQL,
		writeStatSQL,
		readStatSQL,
		schemaSQL,
	}
	all = append(append(all, joinSQL...), cleanSQL...)
	foreign := regexp.MustCompile(
		`(?i)@\w+::(timestamp|date)|current_timestamp|clock_timestamp|localtime|statement_timestamp`,
	)
	for _, sql := range all {
		if found := foreign.FindString(sql); found != "" {
			t.Errorf("%q in %s", found, sql)
		}
		if strings.ContainsAny(sql, "{") && regexp.MustCompile(`\{[a-z]+\}`).MatchString(sql) {
			t.Errorf("a fragment was not filled in: %s", sql)
		}
	}
	r, err := New(
		Config{URL: "postgres://db/site", Cluster: "site", Owner: registry.Owner{Host: "h", PID: 1, Epoch: 1}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.args() {
		if _, isTime := value.(time.Time); isTime {
			t.Errorf("parameter %s is a time", name)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var c clock
		if got := c.latest(time.Now(), stmtTime); got != 0 {
			t.Errorf("latest %d before the database was asked; want 0: nothing takes effect", got)
		}
		c.set(1_000, time.Now())
		time.Sleep(time.Minute)
		if got, want := c.latest(time.Now(), stmtTime), int64(1_000+65_000_000); got != want {
			t.Errorf("latest %d, want %d: what the database said, the time since, and our patience", got, want)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{URL: "postgres://db/site", Cluster: "site", Owner: registry.Owner{Host: "h", PID: 1, Epoch: 1}}
	for want, edit := range map[string]func(*Config){
		"cluster":                  func(c *Config) { c.Cluster = "" },
		"Owner":                    func(c *Config) { c.Owner = registry.Owner{} },
		"Poll":                     func(c *Config) { c.Poll = -1 },
		"expiry 50s":               func(c *Config) { c.Expiry = 50 * time.Second },
		"database URL":             func(c *Config) { c.URL = "postgres://db:x/site" },
		"twice the heartbeat 1m0s": func(c *Config) { c.Heartbeat = time.Minute },
	} {
		cfg := good
		edit(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want an error that names %q", err, want)
		}
	}
}

// TestPatience: a small site detects a silent database soon, and a large one does not keep it busy.
func TestPatience(t *testing.T) {
	for processes, want := range map[int64]time.Duration{
		0: 5 * time.Second, 100: 5 * time.Second, 200: 10 * time.Second, 1000: 20 * time.Second,
		100_000: 20 * time.Second,
	} {
		if got := pingAfter(processes); got != want {
			t.Errorf("%d processes: %v, want %v", processes, got, want)
		}
	}
}

func TestChannelIsSecret(t *testing.T) {
	a, b := newChannel(), newChannel()
	if a == b || len(a) > 63 || !channelForm.MatchString(a) {
		t.Errorf("channels %q and %q; want two different ones of skerry: and 40 digits", a, b)
	}
}

// FuzzNotifyPayload: no payload does harm, a written payload is read unchanged, and accepted
// content is within the bounds.
func FuzzNotifyPayload(f *testing.F) {
	f.Add(`{"c":"site","r":5,"i":[{"s":"auth","h":"h","p":1,"o":"node/1/1","a":5,"t":{"k":"v"}}]}`)
	f.Add(`{"c":"site","r":9223372036854775807}`)
	f.Add(`{"c":"site","r":1,"i":[{"s":"auth","h":"h","p":1,"o":"n/1/1","g":255,` +
		`"c":-9223372036854775808,"a":9223372036854775807}]}`)
	f.Add(`{"c":"site","r":6,"f":5,"i":[{"s":"auth","h":"h","p":1,"o":"node/1/1","t":{"rack":7}},7,null,{"x":"odd"}]}`)
	f.Add(`{"c":"site","k":true,"g":true}`)
	f.Fuzz(func(t *testing.T, payload string) {
		n, err := parsePayload(payload)
		if err != nil {
			return
		}
		if n.complete(5) && (len(n.Changed) > maxChanges || n.Rev < 6 || n.Rev > 5+maxLeap || n.Since > 5) {
			t.Fatalf("content out of bounds: %+v", n)
		}
		now := time.Now()
		for _, text := range n.Changed {
			r, first, err := parseRow(text, now)
			if err != nil {
				if odd := oddInstance(&first, err); len(odd.Row) > 2000 || len(odd.Why) > 1200 ||
					!printable(odd.Row+odd.Why) {
					t.Fatalf("an odd row is shown as %q, %q", odd.Row, odd.Why)
				}
				continue
			}
			if r.Started.After(now) || now.Sub(r.Started) > maxAge {
				t.Fatalf("started %v", r.Started)
			}
			text, err := json.Marshal(newEntry(r.Instance, now))
			if err != nil {
				t.Fatal(err)
			}
			var e entry
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatal(err)
			}
			e.Owner = first.Owner
			again, err := e.row(now)
			if err != nil || !maps.Equal(again.Tags, r.Tags) || !again.Equal(r.Instance) {
				t.Fatalf("%v: %+v became %+v", err, r, again)
			}
		}
	})
}
