package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/pgtest"
)

// TestStatsLog reads the statistics log of a node on a site without a database.
func TestStatsLog(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: "+t.TempDir()+"\n")
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = config.Service{Name: "clock", Listen: "127.0.0.1:0"}
	c.Log.Level = "error"
	n, err := skerry.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Handle(t.Context(), "clock", newClock()); err != nil {
		t.Fatal(err)
	}
	code, out, errs := cli(t, "", "call", "clock", "now", `{"name":"CET"}`, "-t", clockFile(t), "-c", cfg)
	if code != exitProblem {
		t.Fatalf("call: exit code %d\n%s%s", code, out, errs)
	}
	n.Close()
	code, out, errs = cli(t, "", "stats", "-c", cfg, "--by", "peer")
	if code != exitOK || !strings.Contains(out, "now") {
		t.Errorf("stats: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "stats", "nobody", "-c", cfg)
	if code != exitProblem || !strings.Contains(out, "No calls of nobody") {
		t.Errorf("stats of another service: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, _ := cli(t, "", "stats", "-c", cfg, "--json"); code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("stats --json: exit code %d\n%s", code, out)
	}
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	base := "cluster: test-site\nmode: database\n"
	cfg := writeConfig(t, base+"database: {url: \""+server.URL(db)+"\"}\n")
	n := offerClock(t, cfg)

	code, out, errs := cli(t, "", "ls", "-c", cfg)
	if code != exitOK || !strings.Contains(out, "127.0.0.1:") || !strings.Contains(out, "database") {
		t.Errorf("ls: exit code %d\n%s%s", code, out, errs)
	}
	// flags take the place of a configuration
	code, out, errs = cli(t, "", "ls", "--cluster", "other", "--mode", "database", "--database", server.URL(db))
	if code != exitProblem || !strings.Contains(out, `cluster "other" (mode database)`) ||
		!strings.Contains(out, "database: reached, and lists none") {
		t.Errorf("ls of another cluster: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "call", "clock", "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", cfg)
	if code != exitOK {
		t.Errorf("call: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "doctor", "-c", cfg)
	if code != exitOK || !strings.Contains(out, "notifications arrive") || !strings.Contains(out, "PostgreSQL 1") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
	auto := writeConfig(t,
		"cluster: test-site\nlan: {interfaces: [127.0.0.0/8], port: 23759}\ndatabase: {url: \""+server.URL(db)+"\"}\n")
	code, out, errs = cli(t, "", "doctor", "-c", auto)
	if code != exitOK || !strings.Contains(out, "the site's key lies in skerry_secret") ||
		strings.Contains(out, "no key") {
		t.Errorf("doctor in mode auto: exit code %d\n%s%s", code, out, errs)
	}
	n.Close() // writes the last statistics
	code, out, errs = cli(t, "", "stats", "-c", cfg)
	if code != exitOK || !strings.Contains(out, "now") || !strings.Contains(out, "server") {
		t.Errorf("stats: exit code %d\n%s%s", code, out, errs)
	}
}

// TestSmallRights: doctor names the SQL for the administrator, and schema prints that
// SQL.
func TestSmallRights(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	user := server.CreateUser(t, db)
	cfg := writeConfig(t, "cluster: test-site\nmode: database\ndatabase: {url: \""+server.UserURL(db, user)+"\"}\n")
	code, out, errs := cli(t, "", "doctor", "-c", cfg)
	if code != exitProblem || !strings.Contains(out, "may not make them") || !strings.Contains(out, "skerry schema") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
	code, sql, errs := cli(t, "", "schema", "--grant-service", user)
	if code != exitOK {
		t.Fatalf("schema: exit code %d\n%s", code, errs)
	}
	server.Exec(t, db, sql)
	code, out, errs = cli(t, "", "doctor", "-c", cfg)
	if code != exitOK {
		t.Errorf("doctor after the SQL: exit code %d\n%s%s", code, out, errs)
	}
}

func TestDatabaseAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	args := []string{"--timeout", "3s", "--mode", "database", "--database", "postgres://guest@" + addr + "/none"}
	for _, c := range []struct {
		command string
		code    int
		want    string
	}{
		{"ls", exitUnreachable, "database: can't be reached"},
		{"stats", exitUnreachable, "read statistics"},
		{"doctor", exitProblem, "a firewall lets its port through"},
	} {
		code, out, errs := cli(t, "", append([]string{c.command}, args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit code %d\n%s%s", c.command, code, out, errs)
		}
	}
}
