//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// withRole makes a user with the rights of a role.
func withRole(t *testing.T, server *pgtest.Server, db string, role postgres.Role) (url string) {
	t.Helper()
	return server.UserURL(db, server.CreateUser(t, db, role.Grant("%s")))
}

// TestRoles: a process with each role succeeds within its rights and is refused beyond them.
func TestRoles(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	nodes := map[postgres.Role]*node{}
	keys := map[postgres.Role]chan []string{}
	heard := map[postgres.Role]chan rollout.Entry{}
	for i, role := range []postgres.Role{postgres.Operator, postgres.Service, postgres.Reader, postgres.Viewer} {
		cfg := quick(t, withRole(t, server, db, role), newOwner())
		// Only notifications bring changes within the test.
		cfg.Heartbeat, cfg.Poll, cfg.Expiry = time.Minute, time.Minute, 3*time.Minute
		k, h := make(chan []string, 100), make(chan rollout.Entry, 10_000)
		cfg.Secret = func(keys []string) { k <- keys }
		cfg.NewKey = func() string { return fmt.Sprint("sk1-", i) }
		cfg.Applied = func() rollout.Generation { return rollout.Generation{} }
		cfg.Rules = func(entries []rollout.Entry) {
			for _, e := range entries {
				h <- e
			}
		}
		nodes[role], keys[role], heard[role] = start(t, cfg), k, h
		if role == postgres.Operator || role == postgres.Service {
			nodes[role].offer()
		}
		nodes[role].until(5*time.Second, "a list", live)
	}
	operator, service := nodes[postgres.Operator], nodes[postgres.Service]
	reader, viewer := nodes[postgres.Reader], nodes[postgres.Viewer]
	both := []registry.Instance{operator.instance(), service.instance()}
	for _, role := range []postgres.Role{postgres.Operator, postgres.Service, postgres.Reader} {
		nodes[role].sees(2*time.Second, both...)
		if got := receive(t, keys[role]); !slices.Equal(got, []string{"sk1-0"}) {
			t.Errorf("%s: keys %q, want the first one made", role, got)
		}
	}
	viewer.sees(2*time.Second, both...)

	t.Run("news", func(t *testing.T) {
		in := service.instance()
		in.Port = 7001
		if err := service.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		both = append(both, in)
		operator.sees(time.Second, both...)
		reader.sees(time.Second, both...)
		viewer.holds(time.Second, viewer.last.Instances...)
		if len(viewer.last.Instances) != 2 {
			t.Error("a role that may not read the secret heard of a change")
		}
	})
	t.Run("rules", func(t *testing.T) {
		e := (&rollout.Log{}).Next("spring", map[string]rollout.Rule{"auth": {Version: "v1"}})
		for _, role := range []postgres.Role{postgres.Service, postgres.Reader, postgres.Viewer} {
			refused(t, nodes[role].Rules().Append(t.Context(), e), postgres.Operator)
			if _, err := nodes[role].Rules().Since(t.Context(), rollout.Generation{}); err != nil {
				t.Errorf("%s reads the rules: %v", role, err)
			}
		}
		if err := operator.Rules().Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		for _, role := range []postgres.Role{postgres.Service, postgres.Reader} {
			if got := receive(t, heard[role]); got.Hash() != e.Hash() {
				t.Errorf("%s followed %v", role, got)
			}
		}
	})
	t.Run("keys", func(t *testing.T) {
		for _, role := range []postgres.Role{postgres.Service, postgres.Reader, postgres.Viewer} {
			refused(t, nodes[role].SetKeys(t.Context(), []string{"sk1-0"}, []string{"evil"}), postgres.Operator)
		}
		if _, err := viewer.Keys(t.Context()); err == nil {
			t.Error("a viewer read the site's key")
		} else {
			refused(t, err, postgres.Reader)
		}
		if err := operator.SetKeys(t.Context(), []string{"another"}, []string{"sk1-new"}); !errors.Is(err,
			postgres.ErrKeysChanged) {
			t.Errorf("keys that are no longer there were replaced: %v", err)
		}
		if err := operator.SetKeys(t.Context(), []string{"sk1-0"}, []string{"sk1-0", "sk1-new"}); err != nil {
			t.Fatal(err)
		}
		for _, role := range []postgres.Role{postgres.Operator, postgres.Service, postgres.Reader} {
			if got := receive(t, keys[role]); !slices.Equal(got, []string{"sk1-0", "sk1-new"}) {
				t.Errorf("%s: keys %q, want both", role, got)
			}
		}
		if got, err := reader.Keys(t.Context()); err != nil || !slices.Equal(got, []string{"sk1-0", "sk1-new"}) {
			t.Errorf("a reader reads %q, %v", got, err)
		}
	})
	t.Run("registrations and statistics", func(t *testing.T) {
		stats := []health.Row{row(health.Client, "m", "p", 1, 0, 1)}
		for _, n := range []*node{reader, viewer} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			refused(t, n.Register(ctx, n.instance()), postgres.Service)
			cancel()
			refused(t, n.Write(t.Context(), stats), postgres.Service)
		}
		for _, n := range []*node{operator, service} {
			if err := n.Write(t.Context(), stats); err != nil {
				t.Error(err)
			}
		}
		if sum, err := viewer.Stats(t.Context(), postgres.StatQuery{}); err != nil || len(sum) != 1 {
			t.Errorf("a viewer reads %v, %v", sum, err)
		}
	})
	if len(keys[postgres.Viewer]) > 0 {
		t.Error("a viewer was told the site's keys")
	}
}

func receive[T any](t *testing.T, from chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(2 * time.Second):
		t.Error("nothing came within 2 s")
	}
	return got
}

// refused expects an error that names the role with the needed rights.
func refused(t *testing.T, err error, need postgres.Role) {
	t.Helper()
	rights, ok := errors.AsType[*postgres.RightsError](err)
	if !ok || rights.Role != need ||
		!strings.Contains(err.Error(), fmt.Sprintf("skerry schema --grant-%s %s", need, rights.User)) {
		t.Errorf("%v; want a RightsError that names --grant-%s", err, need)
	}
}

// TestRolesByHand: the rights of a user of each role on the tables, by its own SQL.
func TestRolesByHand(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	a.offer()
	e := (&rollout.Log{}).Next("spring", map[string]rollout.Rule{"auth": {Version: "v1"}})
	if err := a.Rules().Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, db, "CREATE ROLE stranger_"+db+" LOGIN PASSWORD 'the-secret'")
	conns := map[postgres.Role]*pgx.Conn{}
	for role, url := range map[postgres.Role]string{
		"":                server.UserURL(db, "stranger_"+db),
		postgres.Viewer:   withRole(t, server, db, postgres.Viewer),
		postgres.Reader:   withRole(t, server, db, postgres.Reader),
		postgres.Service:  withRole(t, server, db, postgres.Service),
		postgres.Operator: withRole(t, server, db, postgres.Operator),
	} {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		conns[role] = conn
	}
	const nobody = postgres.Role("nobody")
	order := append(append([]postgres.Role{""}, postgres.Roles()...), nobody)
	for sql, from := range map[string]postgres.Role{ // the first role with the right
		"SELECT FROM skerry_instance":                      postgres.Viewer,
		"SELECT FROM skerry_service_registry":              postgres.Viewer,
		"SELECT FROM skerry_call_stat":                     postgres.Viewer,
		"SELECT FROM skerry_rule":                          postgres.Viewer,
		"SELECT FROM skerry_secret":                        postgres.Reader,
		"SELECT keys FROM skerry_secret":                   postgres.Reader,
		"UPDATE skerry_lease SET heartbeat = now()":        postgres.Service,
		"UPDATE skerry_instance SET weight = 1":            postgres.Service,
		"DELETE FROM skerry_call_stat":                     postgres.Service,
		"UPDATE skerry_call_stat SET calls = 1":            nobody,
		"TRUNCATE skerry_instance":                         nobody,
		"TRUNCATE skerry_call_stat":                        nobody,
		"DELETE FROM skerry_revision":                      nobody,
		"DELETE FROM skerry_cluster":                       nobody,
		"UPDATE skerry_secret SET keys = '{evil}'":         postgres.Operator,
		"UPDATE skerry_secret SET cluster = 'x'":           nobody,
		"DELETE FROM skerry_secret":                        nobody,
		"TRUNCATE skerry_secret":                           nobody,
		"SELECT FROM skerry_head FOR UPDATE":               postgres.Operator,
		"SELECT FROM skerry_head FOR KEY SHARE":            postgres.Operator,
		"LOCK TABLE skerry_head IN ROW EXCLUSIVE MODE":     postgres.Operator,
		"LOCK TABLE skerry_rule IN SHARE MODE":             postgres.Operator,
		"LOCK TABLE skerry_schema IN SHARE MODE":           nobody,
		"UPDATE skerry_head SET n = 7":                     postgres.Operator,
		"INSERT INTO skerry_rule SELECT 'x', 0, 1, '', ''": postgres.Operator,
		"UPDATE skerry_rule SET record = ''":               nobody,
		"DELETE FROM skerry_rule":                          postgres.Operator,
		"TRUNCATE skerry_rule":                             nobody,
		"SELECT FROM skerry_policy":                        postgres.Viewer,
		"INSERT INTO skerry_policy SELECT 'x', 1, '', ''":  postgres.Operator,
		"UPDATE skerry_policy SET record = ''":             nobody,
		"DELETE FROM skerry_policy":                        nobody,
		"DELETE FROM skerry_head":                          nobody,
		"INSERT INTO skerry_schema VALUES (99, 99)":        nobody,
		"UPDATE skerry_schema SET needs = 99":              nobody,
		"CREATE TRIGGER x BEFORE INSERT ON skerry_rule EXECUTE FUNCTION suppress_redundant_updates_trigger()": nobody,
	} {
		for _, role := range order[:len(order)-1] {
			err := pgx.BeginFunc(t.Context(), conns[role], func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), sql); err != nil {
					return err
				}
				return errUndo
			})
			may := slices.Index(order, role) >= slices.Index(order, from)
			pg, _ := errors.AsType[*pgconn.PgError](err)
			switch {
			case may && !errors.Is(err, errUndo):
				t.Errorf("%s by a %s: %v", sql, role, err)
			case !may && (pg == nil || pg.Code != "42501"):
				t.Errorf("%s by a %q: %v; want no right to it", sql, role, err)
			}
		}
	}
}

var errUndo = errors.New("undo it")

// TestStrangerOfTheDatabase: a role that may only connect can't learn the channel. No process
// receives its notifications under names that it can guess.
func TestStrangerOfTheDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	service := withRole(t, server, db, postgres.Service)
	a, b := start(t, quick(t, service, newOwner())), start(t, quick(t, service, newOwner()))
	in := a.offer()
	b.sees(2*time.Second, in)
	stranger, err := pgx.Connect(t.Context(), server.UserURL(db, server.CreateUser(t, db)))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close(context.Background())
	channel := one[string](t, server.URL(db), "SELECT channel FROM skerry_secret")
	var shown string
	err = stranger.QueryRow(t.Context(), `SELECT coalesce(string_agg(concat_ws(' ', query, application_name), ' '), '')
		FROM pg_stat_activity WHERE datname = current_database()`).Scan(&shown)
	if err != nil || strings.Contains(shown, channel[7:]) || !strings.Contains(shown, "skerry site "+a.owner.String()) {
		t.Errorf("a stranger sees, %v: %s", err, shown)
	}
	gone := fmt.Sprintf(`{"c":"site","f":0,"r":%d,"i":[{"s":"auth","v":"v1","h":%q,"p":7000,"o":%q,"g":1}]}`,
		one[int64](t, server.URL(db), "SELECT rev + 1 FROM skerry_revision"), in.Host, in.Owner.String())
	for _, name := range []string{"skerry:site", "skerry", "skerry:" + strings.Repeat("0", 40)} {
		if _, err := stranger.Exec(t.Context(), "SELECT pg_notify($1, $2)", name, gone); err != nil {
			t.Fatal(err)
		}
	}
	b.holds(time.Second, in)

	// A member's notification is believed within bounds. One that claims more changes than it can
	// hold causes a read.
	far := strings.Replace(
		gone,
		fmt.Sprintf(`"r":%d`, one[int64](t, server.URL(db), "SELECT rev + 1 FROM skerry_revision")),
		`"r":4611686018427387903`,
		1,
	)
	server.Exec(t, db, fmt.Sprintf("SELECT pg_notify('%s', '%s')", channel, far))
	b.holds(time.Second, in)
	in.Weight = 3
	if err := a.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	b.sees(time.Second, in)
}

// TestHintsAreBounded: a process reads at most four times a second because of hints.
func TestHintsAreBounded(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{Config: "log_statement = 'none'"})
	db := server.CreateDB(t)
	cfg := quick(t, server.URL(db), newOwner())
	cfg.Heartbeat, cfg.Poll, cfg.Expiry = time.Minute, time.Minute, 3*time.Minute
	cfg.Applied = func() rollout.Generation { return rollout.Generation{} }
	looked, calls := make(chan struct{}, 10_000), 0
	cfg.Rules = func([]rollout.Entry) { looked <- struct{}{} }
	a := start(t, cfg)
	a.sees(5*time.Second, a.offer())
	a.holds(time.Second, a.instance())
	for len(looked) > 0 {
		<-looked
	}
	begun := time.Now()
	server.Exec(t, db, `DO $$ DECLARE c text := (SELECT channel FROM skerry_secret); BEGIN
		FOR i IN 1..2000 LOOP
			PERFORM pg_notify(c, json_build_object('c', 'site',
				CASE i % 3 WHEN 0 THEN 'g' WHEN 1 THEN 'k' ELSE 'x' END, true,
				'r', 4611686018427387903 - i, 'n', i)::text);
			PERFORM pg_sleep(0.001);
			COMMIT;
		END LOOP; END $$`)
	a.holds(time.Second, a.instance())
	for len(looked) > 0 {
		<-looked
		calls++
	}
	// Each read of rules and each beat reads the log once.
	if most := 2 * (int(time.Since(begun)/(250*time.Millisecond)) + 2); calls > most || calls < 2 {
		t.Errorf("%d looks at the rule log in %v, want %d at most", calls, time.Since(begun), most)
	}
}

// TestOneWriterOfRules: a lock that a role without rights can take delays no writer of rules. A
// lock of an operator's role does, and the error names its holder.
func TestOneWriterOfRules(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	a := start(t, quick(t, withRole(t, server, db, postgres.Operator), newOwner()))
	a.offer()
	stranger, err := pgx.Connect(t.Context(), withRole(t, server, db, postgres.Reader))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close(context.Background())
	// 126905100694137 encodes "skerry": earlier versions locked it around the tables.
	if _, err := stranger.Exec(t.Context(), "BEGIN; SELECT pg_advisory_lock(hashtextextended('skerry rules "+
		"site', 0)), pg_advisory_lock(126905100694137); LOCK TABLE skerry_rule, skerry_head IN ACCESS "+
		"SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	log := &rollout.Log{}
	e := log.Next("spring", map[string]rollout.Rule{"auth": {Version: "v1"}})
	if err := a.Rules().Append(t.Context(), e); err != nil {
		t.Fatalf("beside the locks of a reader: %v", err)
	}
	log, _ = log.Apply(e)

	holder, err := pgx.Connect(t.Context(), withRole(t, server, db, postgres.Operator)+"&application_name=forgotten")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	if _, err := holder.Exec(t.Context(), "BEGIN; SELECT FROM skerry_head FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	err = a.Rules().Append(t.Context(), log.Next("spring", nil))
	if err == nil || !strings.Contains(err.Error(), "forgotten") ||
		!strings.Contains(err.Error(), fmt.Sprint(holder.PgConn().PID())) {
		t.Errorf("%v; want an error that names the application and process that hold the row", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("the refusal took %v", took)
	}
	if err := a.SetKeys(t.Context(), nil, []string{"sk1-a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), "ROLLBACK; BEGIN; UPDATE skerry_secret SET changed = now()"); err != nil {
		t.Fatal(err)
	}
	if err := a.SetKeys(t.Context(), []string{"sk1-a"}, []string{"sk1-b"}); err == nil ||
		!strings.Contains(err.Error(), "forgotten") {
		t.Errorf("%v; want an error that names the application that holds the row", err)
	}
}
