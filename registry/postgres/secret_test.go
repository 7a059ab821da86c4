//go:build linux

package postgres_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// keyed returns a configuration that makes a key and collects the keys passed to Secret.
func keyed(t *testing.T, url, key string) (postgres.Config, chan []string) {
	told := make(chan []string, 100)
	cfg := quick(t, url, newOwner())
	cfg.Secret = func(keys []string) { told <- keys }
	cfg.NewKey = func() string { return key }
	return cfg, told
}

// TestFirstProcessesAgree: many processes start together without a key, and all have the same one.
func TestFirstProcessesAgree(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	url := withRole(t, server, db, postgres.Service)
	var told []chan []string
	for i := range 12 {
		cfg, keys := keyed(t, url, fmt.Sprint("sk1-", i))
		start(t, cfg)
		told = append(told, keys)
	}
	first := receive(t, told[0])
	for _, keys := range told[1:] {
		if got := receive(t, keys); len(got) != 1 || !slices.Equal(got, first) {
			t.Errorf("keys %q and %q", got, first)
		}
	}
	if n := one[int](t, server.URL(db),
		"SELECT count(*)::int FROM skerry_secret WHERE channel ~ '^skerry:[0-9a-f]{40}$'"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestRoleWithoutTheSecret: a process without the right reads by polling and logs so once. After it
// gets the right it listens from the next poll on.
func TestRoleWithoutTheSecret(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cfg, _ := keyed(t, server.URL(db), "sk1-a")
	a := start(t, cfg)
	list := []registry.Instance{a.offer()}
	user := server.CreateUser(t, db, postgres.Viewer.Grant("%s"))
	cfg, told := keyed(t, server.UserURL(db, user), "sk1-b")
	log := &logged{}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	v := start(t, cfg)
	v.sees(2*time.Second, list...)
	in := a.instance()
	in.Port = 7001
	if err := a.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	list = append(list, in)
	v.sees(3*time.Second, list...)
	v.holds(5*time.Second, list...)
	if n := strings.Count(log.String(), "may not read skerry_secret"); n != 1 ||
		!strings.Contains(log.String(), "skerry schema --grant-reader") {
		t.Errorf("said %d times, want once, with what to do:\n%s", n, log)
	}
	if len(told) != 0 {
		t.Error("it was told keys")
	}
	server.Exec(t, db, postgres.Reader.Grant(user))
	if got := receive(t, told); !slices.Equal(got, []string{"sk1-a"}) {
		t.Errorf("keys %q", got)
	}
	listens := func() bool {
		return one[bool](t, server.URL(db), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '"+user+"')")
	}
	if !listens() {
		t.Error("the session ended")
	}
	v.holds(500*time.Millisecond, list...)
	for port := 7002; port < 7006; port++ { // one of four might come by a poll
		in.Port = port
		if err := a.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		list = append(list, in)
		v.sees(500*time.Millisecond, list...)
	}

	server.Exec(t, db, "REVOKE ALL ON skerry_secret FROM "+user)
	in.Port = 7010
	v.holds(2500*time.Millisecond, list...)
	if err := a.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	v.sees(3*time.Second, append(list, in)...)
}

// TestChannelChanges: no change is missed while the name of the channel changes, though writers
// learn it with their next poll only. The earlier name soon has no effect.
func TestChannelChanges(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cfg, _ := keyed(t, server.URL(db), "sk1-a")
	a := start(t, cfg)
	slow := cfg
	slow.Owner = newOwner()
	slow.Heartbeat, slow.Poll, slow.Expiry = time.Minute, time.Minute, 3*time.Minute // it knows only the earlier name
	w := start(t, slow)
	list := []registry.Instance{a.offer(), w.offer()}
	a.sees(2*time.Second, list...)
	old := one[string](t, server.URL(db), "SELECT channel FROM skerry_secret")
	fresh := "skerry:" + strings.Repeat("ab", 20)
	server.Exec(t, db, "UPDATE skerry_secret SET channel = '"+fresh+"'")
	in := w.instance()
	for port := 7001; port < 7006; port++ {
		in.Port = port
		if err := w.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		list = append(list, in)
		a.sees(2500*time.Millisecond, list...) // at the latest with its poll
	}
	server.Exec(t, db, fmt.Sprintf("SELECT pg_notify('%s', '{\"c\":\"site\",\"k\":true}')", old)) // as SetKeys does
	in.Port = 7010
	a.holds(5*time.Second, list...) // two polls: now the earlier one is no longer listened to
	gone := fmt.Sprintf(`{"c":"site","f":0,"r":%d,"i":[{"s":"auth","v":"v1","h":%q,"p":7000,"o":%q,"g":1}]}`,
		one[int64](t, server.URL(db), "SELECT rev + 1 FROM skerry_revision"), w.owner.Host, w.owner.String())
	server.Exec(t, db, fmt.Sprintf("SELECT pg_notify('%s', '%s')", old, gone))
	a.holds(300*time.Millisecond, list...)
	a.sees(time.Second, list...)
}

// TestSecretComesBack: a database that lost its row gets it again, with exactly the keys that a
// process knows.
func TestSecretComesBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cfg, told := keyed(t, server.URL(db), "sk1-a")
	a := start(t, cfg)
	a.offer()
	if got := receive(t, told); !slices.Equal(got, []string{"sk1-a"}) {
		t.Fatalf("keys %q", got)
	}
	const row = "SELECT coalesce((SELECT channel || ' ' || keys::text FROM skerry_secret), '')"
	before := one[string](t, server.URL(db), row)
	for _, sql := range []string{"DELETE FROM skerry_secret", "DROP TABLE skerry_secret"} {
		server.Exec(t, db, sql)
		await(t, 2*back, sql+": the row is back", func() bool {
			exists := one[bool](t, server.URL(db), "SELECT to_regclass('skerry_secret') IS NOT NULL")
			return exists && one[string](t, server.URL(db), row) == before
		})
	}
	if len(told) != 0 {
		t.Errorf("told of new keys: %q", <-told)
	}
	// A role with the right fills an empty ring.
	server.Exec(t, db, "UPDATE skerry_secret SET keys = '{}'")
	await(t, back, "a key", func() bool { return one[string](t, server.URL(db), row) == before })
}

// TestOddSecret: an odd row is logged without its content. The keys in use stay, and lists continue
// by polling.
func TestOddSecret(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, set := range []string{
		"channel = 'hush'", "channel = ''", "channel = repeat('hush', 1000)", "keys = ARRAY['hush' || E'\\n']",
		"keys = ARRAY['']", "keys = ARRAY[NULL]::text[]", "keys = ARRAY['hush', 'hush']",
		"keys = ARRAY[repeat('hush', 100000)]", "keys = array_fill('hush'::text, ARRAY[100000])",
		"keys = ARRAY(SELECT 'hush' || i FROM generate_series(1, 17) i)",
	} {
		t.Run(fmt.Sprintf("%.40s", set), func(t *testing.T) {
			t.Parallel()
			db := server.CreateDB(t)
			log := &logged{}
			cfg, told := keyed(t, server.URL(db), "sk1-a")
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			a := start(t, cfg)
			list := []registry.Instance{a.offer()}
			receive(t, told)
			server.Exec(t, db, "UPDATE skerry_secret SET "+set)
			await(t, 5*time.Second, "it is named", func() bool {
				rows, _ := a.Odd()
				return len(rows) == 1 && rows[0].Table == "skerry_secret"
			})
			b := start(t, quick(t, server.URL(db), newOwner()))
			list = append(list, b.offer())
			a.sees(5*time.Second, list...)
			if _, err := b.Keys(t.Context()); err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("Keys: %v", err)
			}
			if said := log.String(); strings.Contains(said, "hush") || strings.Count(said, "skerry_secret") != 1 {
				t.Errorf("the log:\n%.2000s", said)
			}
			if len(told) != 0 {
				t.Errorf("told of %q", <-told)
			}
			server.Exec(t, db, "DELETE FROM skerry_secret")
			await(t, back, "the row is written again", func() bool {
				keys, err := a.Keys(t.Context())
				return err == nil && slices.Equal(keys, []string{"sk1-a"})
			})
		})
	}
}

func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	r := open(t, quick(t, server.URL(server.CreateDB(t)), newOwner()))
	for _, keys := range [][]string{
		nil, {""}, {"a", "a"}, {"a b"}, {strings.Repeat("k", 257)}, slices.Repeat([]string{"k"}, 17),
	} {
		if err := r.SetKeys(t.Context(), nil, keys); err == nil || strings.Contains(err.Error(), "kkkk") {
			t.Errorf("%.40q: %v", keys, err)
		}
	}
	if _, err := r.Keys(t.Context()); err == nil {
		t.Error("keys of a database without tables")
	}
	if _, err := open(t, quick(t, "postgres://127.0.0.1:1/x", newOwner())).Keys(t.Context()); !errors.Is(err,
		registry.ErrUnavailable) {
		t.Errorf("keys of no database: %v", err)
	}
}
