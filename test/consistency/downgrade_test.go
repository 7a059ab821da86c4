//go:build linux

package consistency

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// The schedules in which skerry itself changes its version. They are the longest. The name of this
// file makes them begin early.

// TestUpgradeAndDowngrade: in the middle of a release, while a quarter of the users meets the new
// version, every process is restarted with a binary of the future, and operators of both versions
// take steps. A second release begins there, and continues while every process returns to the
// present binary. A policy of the site is in force all the time, and operators of both versions change it.
func TestUpgradeAndDowngrade(t *testing.T) {
	t.Parallel()
	t.Run("LAN", func(t *testing.T) {
		t.Parallel()
		upgradeAndDowngrade(t, newSite(t, 4, onTheLAN), nil)
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		s, db := onDatabase(t, 4, "database", pgtest.Options{})
		upgradeAndDowngrade(t, s, db)
	})
}

func upgradeAndDowngrade(t *testing.T, s *site, db *database) {
	present, next := s.binaries, ofTheFuture(t)
	// on a busy machine callers learn late of processes that leave
	s.lines = strings.Replace(s.lines, "grace: 500ms", "grace: 1s", 1)
	fleet := s.portals(0, 1)
	add := func(host int, name, service, version string) {
		t.Helper()
		fleet = append(fleet, s.serve(host, name, service, version))
	}
	add(2, "auth-1a", "auth", "v1")
	add(3, "auth-1b", "auth", "v1")
	add(2, "proc-1a", "proc", "v1")
	add(3, "proc-1b", "proc", "v1")
	if db != nil {
		db.await("auth", "v1")
		db.await("proc", "v1")
	}
	s.users(3, "users", part{Keys: 60, Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
		atOnce("portal", call("auth"), call("proc", call("auth"))),
	}}, 0, 1)
	s.users(2, "users-with-time", part{Workers: 2, Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth")).held(time.Second)),
	}}, 0, 1)

	s.rules(1)
	s.open("ann")
	add(2, "auth-2a", "auth", "v2")
	add(3, "auth-2b", "auth", "v2")
	s.ship("auth", "v2")
	s.stands("auth", "v2", "25")
	s.binaries = next
	half := len(fleet) / 2
	fleet = s.renew(fleet[half:], fleet[:half]) // the newer half now, the rest later
	s.obey(1)
	s.rules(2) // by the future, for both
	s.stands("auth", "v2", "40")
	s.binaries = present
	s.rules(3)
	s.stands("auth", "v2", "60")
	s.binaries = next
	fleet = s.renew(fleet[half:], fleet[:half])
	s.obey(3)
	s.release("commit")
	s.release("clean")
	fleet = slices.DeleteFunc(fleet, func(p *process) bool { return p.Service == "auth" && p.Version == "v1" })

	s.open("bob")
	add(2, "proc-2a", "proc", "v2")
	add(3, "proc-2b", "proc", "v2")
	s.ship("proc", "v2")
	s.stands("proc", "v2", "25")
	if db != nil {
		db.schemaStays(present.tool)
	}
	s.rules(4)
	s.binaries = present
	half = len(fleet) / 2
	fleet = s.renew(fleet[half:], fleet[:half])
	s.rules(5)
	s.stands("proc", "v2", "40")
	fleet = s.renew(fleet[half:], fleet[:half])
	s.binaries = next
	s.stands("proc", "v2", "60")
	s.binaries = present
	s.release("commit")
	s.release("clean")
	fleet = slices.DeleteFunc(fleet, func(p *process) bool { return p.Service == "proc" && p.Version == "v1" })
	s.binaries = next
	fleet = s.renew(fleet[1:], fleet[:1]) // reads the state that the present binary has kept
	s.binaries = present
	s.obey(5)
	s.judge(1000)
	s.keptAlike(fleet, db)
	s.policyKeptAlike(fleet, 5)
}

// rules makes a policy in force with limits and an access list, which every process obeys before the command ends.
func (s *site) rules(number int) {
	s.t.Helper()
	path := filepath.Join(s.dir, fmt.Sprintf("policy-%d.yaml", number))
	text := "policy: 1\nservices:\n"
	for _, service := range []string{"auth", "proc"} {
		text += fmt.Sprintf("  %s:\n    retries: %d\n    limits: [{pending: %d, per: instance}]\n"+
			"    access: {mode: enforce, default: allow, deny: [{caller: stranger}]}\n",
			service, 1+number%2, 900+number)
	}
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	said := s.command(0, "policy", "--yes", "--by", "ann", "apply", path).must()
	if !strings.Contains(said, fmt.Sprintf("Policy %d is obeyed by ", number)) {
		s.t.Errorf("policy %d: %s", number, said)
	}
}

// obey waits until every process of the site says that it obeys a policy.
func (s *site) obey(number int) {
	s.t.Helper()
	said := ""
	s.await(fmt.Sprintf("all obey policy %d", number), func() (obeyed bool) {
		var err error
		said, err = s.command(0, "policy", "show", "--processes").done()
		return err == nil && strings.Contains(said, fmt.Sprintf("  %d  ok", number))
	})
}

// policyKeptAlike checks that all processes keep the same policies, as many as newest, with the fields of the future.
func (s *site) policyKeptAlike(fleet []*process, newest int) {
	s.t.Helper()
	var want []string
	for _, p := range fleet {
		var saved struct{ Records [][]byte }
		must(s.t, json.Unmarshal(p.keptFile(".policy.json"), &saved))
		var got []string
		for _, record := range saved.Records {
			first, body, _ := strings.Cut(string(record), "\n") // a line with the proofs stands before the signed body
			var proofs []json.RawMessage
			must(s.t, json.Unmarshal([]byte(first), &proofs))
			got = append(got, fmt.Sprintf("%d proofs of %s", len(proofs), body))
		}
		slices.Sort(got)
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			s.t.Errorf("%s keeps other policies than %s: %q, %q there", p.Name, fleet[0].Name, got, want)
		}
	}
	foggy := 0
	for _, record := range want {
		if strings.Contains(record, "foggy") {
			foggy++
		}
	}
	if len(want) != newest || foggy != 2 {
		s.t.Errorf("%d policies are kept, %d of them of the future; want %d and 2", len(want), foggy, newest)
	}
}

// TestNeedsOfTheFuture: an operator of the future takes a step that needs more than some processes
// know. The step is refused and names them. When it is written nevertheless, they continue by the
// rules before it and log it. They refuse calls under the new rules until they are upgraded.
func TestNeedsOfTheFuture(t *testing.T) {
	t.Parallel()
	t.Run("LAN", func(t *testing.T) {
		t.Parallel()
		needsOfTheFuture(t, newSite(t, 3, onTheLAN), nil)
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		s, db := onDatabase(t, 3, "database", pgtest.Options{})
		needsOfTheFuture(t, s, db)
		if n, newest := db.rows(); n != newest || n < 6 {
			t.Errorf("the database keeps %d entries, the newest is %d", n, newest)
		}
	})
}

func needsOfTheFuture(t *testing.T, s *site, db *database) {
	present, next := s.binaries, ofTheFuture(t)
	old := s.portals(0)
	old = append(old, s.serve(2, "proc-1", "proc", "v1"), s.serve(2, "auth-1", "auth", "v1"))
	s.binaries = next
	s.portals(1)
	s.serve(2, "auth-1f", "auth", "v1")
	if db != nil {
		db.await("auth", "v1")
		db.await("proc", "v1")
		pause(t.Context(), 3*time.Second) // longer than between two reads
	}
	plans := []plan{call("portal", call("auth"), call("proc", call("auth")))}
	s.users(2, "users-of-old", part{Workers: 3, Plans: plans}, 0)
	s.users(2, "users-of-new", part{Workers: 3, Plans: plans}, 1)
	s.more(20)
	s.open("ann")
	s.serve(2, "auth-2a", "auth", "v2")
	s.serve(1, "auth-2b", "auth", "v2")
	before := s.log()

	s.env = []string{envFuture + "=" + needing}
	said, err := s.operator(0, "ship", "auth", "--version", "v2").done()
	if err == nil || len(s.log()) != len(before) {
		t.Fatalf("a step was taken that some processes can't obey: %v\n%s", err, said)
	}
	for _, p := range s.members {
		if named := strings.Contains(said, p.id()+"/"); p.Role == "hop" && named != slices.Contains(old, p) {
			t.Errorf("%s (%s) is named: %v:\n%s", p.Name, p.id(), named, said)
		}
	}
	if !strings.Contains(said, "future-1") || !strings.Contains(said, "upgrade it first") {
		t.Errorf("the operator is told:\n%s", said)
	}

	over := s.faultOf("users-of-new", "rules_needed")
	s.env = []string{envFuture + "=" + forcing}
	s.ship("auth", "v2")
	s.env = nil
	s.await("calls by the new rules are refused", func() bool {
		return s.book.count(asked, func(n note) bool { return n.Code == "rules_needed" }) > 20
	})
	s.more(100)
	for _, b := range []binaries{present, next} {
		s.binaries = b
		status, err := s.operator(0, "status").done()
		if frozen := strings.Contains(status, "FROZEN"); frozen != (err != nil) {
			t.Errorf("status says that it is frozen: %v, and ends with %v", frozen, err)
		}
		if n := strings.Count(status, "  too old  "); n != len(old) || strings.Count(status, `["future-1"]`) < n {
			t.Errorf("status counts %d processes that are too old:\n%s", n, status)
		}
		doctor, err := s.on(0, b.tool, "--config", s.configure("doctor", how{}), "doctor").CombinedOutput()
		if err == nil || strings.Count(string(doctor), "which it does not know") != len(old) {
			t.Errorf("doctor: %v\n%s", err, doctor)
		}
	}
	s.binaries = present
	if said, err := s.operator(0, "commit").done(); err == nil || !strings.Contains(said, "upgrade skerry here") {
		t.Errorf("an operator's command that is too old takes a step: %v\n%s", err, said)
	}
	for _, p := range old {
		text, err := os.ReadFile(p.log)
		must(t, err)
		if n := bytes.Count(text, []byte("skerry is too old here")); n != 1 {
			t.Errorf("%s says %d times that it is too old:\n%s", p.Name, n, text)
		}
	}

	s.binaries = next
	upgraded := s.fault("rules_needed", "unreachable", "version_unavailable", "no_instance", "draining")
	s.renew(nil, old)
	upgraded()
	over()
	s.release("commit")
	s.release("clean")
	v := s.judge(300)
	refused := 0
	for _, span := range v.history.Spans {
		if span.Refused != nil {
			refused++
		}
	}
	t.Logf("%d processes were too old; %d calls were refused, %d requests failed for that; auth was met in %s",
		len(old), refused, v.failed, v.versions("auth"))
}

// stands begins a ramp, leaves it at a share, and waits until the share is in use.
func (s *site) stands(service, version, percent string) {
	s.t.Helper()
	before := s.log()
	o := s.operator(0, "commit", "--ramp", percent+",100", "--every", "1h")
	o.says(percent + "%")
	s.await(percent+" % meet "+version, func() bool {
		return o.over() || s.book.count(began, func(n note) bool {
			g, err := rollout.ParseGeneration(n.Applied)
			return err == nil && before[len(before)-1].Generation.Before(g) && met(service, version)(n)
		}) > 0
	})
	if o.over() {
		s.t.Fatalf("the ramp has ended:\n%s", o.said())
	}
	o.Kill()
}

// renew restarts processes one after the other, with the site's present binaries and their earlier
// state. rest are the processes that it leaves alone.
func (s *site) renew(rest, old []*process) (all []*process) {
	s.t.Helper()
	all = slices.Clone(rest)
	for _, p := range old {
		p.stop()
		how, again := p.how, p.part
		how.state, again.Name = firstName(p), p.Name+"+"
		started := s.start(p.host, again, how)
		s.await(again.Name+" works", func() bool {
			return s.book.count(began, func(n note) bool { return strings.HasPrefix(n.ID, again.Name+"#") }) > 40
		})
		pause(s.t.Context(), time.Second) // until the other callers know it as well
		all = append(all, started)
	}
	return all
}

// firstName returns the first name of the processes that had the same state.
func firstName(p *process) string { return strings.TrimRight(p.Name, "+") }

// keptAlike checks that all processes, and the database, keep the same bytes of every entry,
// including the fields that only the future knows.
func (s *site) keptAlike(fleet []*process, db *database) {
	s.t.Helper()
	var want []rollout.Record
	foggy := 0
	for _, p := range fleet {
		got := p.kept()
		if want == nil {
			want = got
			for _, r := range want {
				if strings.Contains(r.Body, "foggy") {
					foggy++
				}
			}
		}
		if !slices.EqualFunc(got, want, sameRecord) {
			s.t.Errorf("%s keeps other bytes than %s: %d records, %d there", p.Name, fleet[0].Name, len(got), len(want))
		}
	}
	s.t.Logf("%d processes keep %d entries byte for byte, %d of them with fields of the future", len(fleet),
		len(want), foggy)
	if foggy < 8 || foggy > len(want)-6 {
		s.t.Errorf("operators of the future have made %d of %d entries", foggy, len(want))
	}
	for _, p := range s.members {
		text, err := os.ReadFile(p.log)
		must(s.t, err)
		if bytes.Contains(text, []byte("not believed")) || bytes.Contains(text, []byte("panic")) {
			s.t.Errorf("%s has trouble with what was kept:\n%s", p.Name, text)
		}
	}
	if db == nil {
		return
	}
	for i, r := range db.records() {
		if i >= len(want) || !sameRecord(r, want[i]) {
			s.t.Errorf("entry %d of the database has other bytes than the processes keep", i+1)
		}
	}
}

func sameRecord(a, b rollout.Record) bool { return a.Body == b.Body && len(a.Proofs) == len(b.Proofs) }

// kept returns the log in the state directory of the process.
func (p *process) kept() []rollout.Record {
	p.site.t.Helper()
	var s participant.Saved
	must(p.site.t, json.Unmarshal(p.keptFile(".rules.json"), &s))
	if len(s.Records) == 0 {
		p.site.t.Fatalf("%s has kept an empty log", p.Name)
	}
	return s.Records
}

// keptFile returns the one file of a kind in the state directory of the process.
func (p *process) keptFile(kind string) []byte {
	p.site.t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(p.site.dir, firstName(p)+"-state"),
		func(path string, _ os.DirEntry, err error) error {
			if strings.HasSuffix(path, kind) {
				files = append(files, path)
			}
			return err
		})
	must(p.site.t, err)
	if len(files) != 1 {
		p.site.t.Fatalf("%s has kept %d files %s: %q", p.Name, len(files), kind, files)
	}
	text, err := os.ReadFile(files[0])
	must(p.site.t, err)
	return text
}

// query reads one column of texts.
func (d *database) query(sql string) (list []string) {
	d.site.t.Helper()
	ctx, cancel := context.WithTimeout(d.site.t.Context(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.SocketURL(d.name))
	must(d.site.t, err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	must(d.site.t, err)
	list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	must(d.site.t, err)
	return list
}

// records returns the entries that the database keeps.
func (d *database) records() (list []rollout.Record) {
	d.site.t.Helper()
	for _, text := range d.query("SELECT encode(record, 'hex') FROM skerry_rule ORDER BY timeline, n") {
		raw, err := hex.DecodeString(text)
		must(d.site.t, err)
		r, err := rollout.ParseRecord(raw)
		must(d.site.t, err)
		list = append(list, r)
	}
	return list
}

// schemaStays runs the SQL of one version of skerry on the tables of a later one, which must change
// nothing.
func (d *database) schemaStays(tool string) {
	s := d.site
	s.t.Helper()
	const columns = `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || coalesce(column_default, '')
		FROM information_schema.columns WHERE table_name LIKE 'skerry%' ORDER BY 1`
	const versions = "SELECT version || ' needs ' || needs || ' since ' || applied FROM skerry_schema ORDER BY 1"
	before := append(d.query(columns), d.query(versions)...)
	sql, err := s.on(0, tool, "schema").Output()
	must(s.t, err)
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.SocketURL(d.name))
	must(s.t, err)
	defer conn.Close(ctx)
	_, err = conn.PgConn().Exec(ctx, string(sql)).ReadAll()
	must(s.t, err)
	after := append(d.query(columns), d.query(versions)...)
	if !slices.Equal(before, after) {
		s.t.Errorf("the schema of the present has changed the tables of the future:\n%s\n%s",
			strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if said := fmt.Sprint(after); !strings.Contains(said, "skerry_rule.weather") ||
		!strings.Contains(said, "7 needs 4") {
		s.t.Errorf("the tables are not those of the future: %s", said)
	}
}
