//go:build linux

package consistency

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/skerry/skerry/internal/testsite"
)

// envFuture gives a command of the future the special case of its step.
const envFuture = "SKERRY_FUTURE"

// The values of envFuture.
const (
	needing = "needs"  // its entry needs a feature that the present does not know
	forcing = "forced" // the same, and it asks no process whether it knows that
)

// future is this tree as a later version may have it: everything that may grow by the rules of
// docs/protocol.md has grown. Each old text occurs once, unless it is replaced everywhere.
var future = []testsite.Change{
	// Entries, their parts and their envelopes have a further field, and there is a further need.
	{File: "internal/rollout/entry.go", Old: `var KnownNeeds = []string{}`, New: `var KnownNeeds = []string{"future-1"}

func envFuture() string { return os.Getenv("SKERRY_FUTURE") }`},
	{File: "internal/rollout/entry.go", Old: `"encoding/json"`, New: `"encoding/json"
	"os"`},
	{File: "internal/rollout/entry.go", Old: "	body   string // \"\" until",
		New: "	Weather string `json:\"weather,omitempty\"`\n	body   string // \"\" until"},
	{File: "internal/rollout/entry.go", Old: `	e.body, e.hash = "", ""
`, New: `	e.body, e.hash = "", ""
	e.Weather = "foggy <&> ☂"
	if envFuture() != "" {
		e.Needs = []string{"future-1"}
	}
	rules := map[string]Rule{}
	for service, r := range e.Rules {
		r.Weather = "rain"
		rules[service] = r
	}
	e.Rules = rules
	if e.Session != nil {
		r := *e.Session
		r.Weather, e.Session = "storm", &r
	}
`},
	{File: "internal/rollout/entry.go", Old: "type Record struct {\n",
		New: "type Record struct {\n	Weather string `json:\"weather\"`\n"},
	{File: "internal/rollout/entry.go", Old: "type Proof struct {\n",
		New: "type Proof struct {\n	Weather string `json:\"weather\"`\n"},
	{File: "internal/rollout/rule.go", Old: "type Rule struct {\n",
		New: "type Rule struct {\n	Weather string `json:\"weather,omitempty\"`\n"},
	{File: "internal/rollout/release.go", Old: "type Release struct {\n",
		New: "type Release struct {\n	Weather string `json:\"weather,omitempty\"`\n"},
	{File: "internal/rollout/report.go", Old: "type Report struct {\n",
		New: "type Report struct {\n	Weather string `json:\"weather\"`\n"},
	{File: "internal/rollout/report.go", Old: "type Inflight struct {\n",
		New: "type Inflight struct {\n	Weather string `json:\"weather\"`\n"},
	{File: "internal/rollout/participant/promise.go", Old: "type Saved struct {\n",
		New: "type Saved struct {\n	Weather string `json:\"weather\"`\n"},
	{File: "internal/rollout/trust.go", Old: "type Undertaking struct {\n",
		New: "type Undertaking struct {\n	Weather string `json:\"weather\"`\n"},
	{File: "internal/membership/membership.go", Old: `tags := map[string]string{`,
		New: `tags := map[string]string{"weather": "fine", `},

	// Entries of the policy log as well.
	{File: "internal/policylog/entry.go", Old: "type Entry struct {\n",
		New: "type Entry struct {\n	Weather string `json:\"weather,omitempty\"`\n"},
	{File: "internal/policylog/entry.go", Old: `	e.body, e.hash = "", ""
`, New: `	e.body, e.hash = "", ""
	e.Weather = "foggy <&> ☂"
`},

	// An operator can be made to break the rule that every process is asked first.
	{File: "internal/rollout/operator/controller.go", Old: `	if len(e.Needs) == 0 {`,
		New: `	if len(e.Needs) == 0 || os.Getenv("SKERRY_FUTURE") == "forced" {`},
	{File: "internal/rollout/operator/controller.go", Old: `	"fmt"`, New: `	"fmt"
	"os"`},
	{File: "internal/rollout/operator/ballot.go",
		Old: `		if by, err = b.undertaking(rollout.Entry.PromiseText, e, rand.Text()); err != nil {`,
		New: `		if os.Getenv("SKERRY_FUTURE") == "forced" {
			return b.commit(ctx, members, known, e)
		}
		if by, err = b.undertaking(rollout.Entry.PromiseText, e, rand.Text()); err != nil {`},
	{File: "internal/rollout/operator/ballot.go", Old: `	"fmt"`, New: `	"fmt"
	"os"`},

	// Every struct of packets and internal calls has a further field.
	{File: "internal/wire/skerry.go", Everywhere: true,
		Old: `	if err := oprot.WriteFieldStop(ctx); err != nil {`,
		New: `	if err := oprot.WriteFieldBegin(ctx, "weather", thrift.STRING, 1000); err != nil {
		return err
	}
	if err := oprot.WriteString(ctx, "fine"); err != nil {
		return err
	}
	if err := oprot.WriteFieldStop(ctx); err != nil {`},

	// Every call and every hello has a further header, and hellos a further part.
	{File: "rpc/headers.go", Old: `	pair(keyCaller, caller)
`, New: `	pair(keyCaller, caller)
	pair("sk-weather", "fine")
`},
	{File: "rpc/greeting.go", Old: `	return appendPair(dst, kind, seq, keyHello, string(g.append(nil)))
`, New: `	h := theader.Header{Seq: seq, Flags: theader.OutOfOrder}
	h.Set(keyControl, kind)
	h.Set(keyHello, string(g.append(nil)))
	h.Set("sk-weather", "fine")
	return appendControlFrame(dst, &h)
`},
	{File: "rpc/greeting.go", Old: `offers: []offered{{e.Service, e.Version}}}`,
		New: `offers: []offered{{e.Service, e.Version}, {"", "weather fine"}}}`},
	{File: "rpc/greeting.go", Old: `offers:  c.s.routes.offers(theirs.offers, c.s.also),`,
		New: `offers:  append(c.s.routes.offers(theirs.offers, c.s.also), offered{"", "weather fine"}),`},

	// Tables of the next version, which programs that know the present one can use.
	{File: "registry/postgres/schema.go", Old: `const SchemaVersion = 6`, New: `const SchemaVersion = 7`},
	{File: "registry/postgres/schema.sql",
		Old: `INSERT INTO skerry_schema (version, needs) VALUES (6, 4) ON CONFLICT DO NOTHING;`,
		New: `ALTER TABLE skerry_cluster ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_lease ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_instance ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_rule ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_head ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_secret ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_policy ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
INSERT INTO skerry_schema (version, needs) VALUES (7, 4) ON CONFLICT DO NOTHING;`},
	{File: "registry/postgres/rules.go",
		Old: `(cluster, timeline, n, hash, record)
		VALUES (@cluster, @timeline, @n, @hash, @record)`,
		New: `(cluster, timeline, n, hash, record, weather)
			VALUES (@cluster, @timeline, @n, @hash, @record, 'foggy')`},
	{File: "registry/postgres/rules.go", Old: `'g', true)::text)`, New: `'g', true, 'weather', 'fine')::text)`},
}

// overlay writes the files of the future and the list of them for go build.
func overlay(dir string) (path string, err error) { return testsite.Overlay(dir, "../..", future) }

// TestFutureHasItsPlace shows at once, without a scene, that a change of the tree has removed a
// text that future replaces.
func TestFutureHasItsPlace(t *testing.T) {
	t.Parallel()
	_, err := overlay(t.TempDir())
	must(t, err)
}

// binaries are the programs of one version of skerry.
type binaries struct {
	roles string // this test, which plays the roles
	tool  string // the operator's command
}

// ofThePresent returns this test and the command of this tree.
func ofThePresent(t *testing.T) binaries {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	return binaries{self, command(t)}
}

// ofTheFuture builds the programs of the future once.
func ofTheFuture(t *testing.T) binaries {
	t.Helper()
	b, err := builtFuture()
	must(t, err)
	return b
}

var builtFuture = sync.OnceValues(func() (b binaries, err error) {
	dir, err := filepath.Abs("../../.build/consistency/future")
	if err != nil {
		return b, err
	}
	list, err := overlay(dir)
	if err != nil {
		return b, err
	}
	b = binaries{filepath.Join(dir, "consistency.test"), filepath.Join(dir, "skerry")}
	for _, args := range [][]string{
		{"test", "-c", "-ldflags=-s -w", "-overlay", list, "-o", b.roles, "."},
		{"build", "-ldflags=-s -w", "-overlay", list, "-o", b.tool, "../../cmd/skerry"},
	} {
		if err := testsite.Go(args...); err != nil {
			return b, err
		}
	}
	return b, nil
})
