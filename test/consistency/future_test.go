//go:build linux

package consistency

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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
var future = []struct {
	file, old, new string
	everywhere     bool
}{
	// Entries, their parts and their envelopes have a further field, and there is a further need.
	{file: "internal/rollout/entry.go", old: `var KnownNeeds = []string{}`, new: `var KnownNeeds = []string{"future-1"}

func envFuture() string { return os.Getenv("SKERRY_FUTURE") }`},
	{file: "internal/rollout/entry.go", old: `"encoding/json"`, new: `"encoding/json"
	"os"`},
	{file: "internal/rollout/entry.go", old: "	body   string // \"\" until",
		new: "	Weather string `json:\"weather,omitempty\"`\n	body   string // \"\" until"},
	{file: "internal/rollout/entry.go", old: `	e.body, e.hash = "", ""
`, new: `	e.body, e.hash = "", ""
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
	{file: "internal/rollout/entry.go", old: "type Record struct {\n",
		new: "type Record struct {\n	Weather string `json:\"weather\"`\n"},
	{file: "internal/rollout/entry.go", old: "type Proof struct {\n",
		new: "type Proof struct {\n	Weather string `json:\"weather\"`\n"},
	{file: "internal/rollout/rule.go", old: "type Rule struct {\n",
		new: "type Rule struct {\n	Weather string `json:\"weather,omitempty\"`\n"},
	{file: "internal/rollout/release.go", old: "type Release struct {\n",
		new: "type Release struct {\n	Weather string `json:\"weather,omitempty\"`\n"},
	{file: "internal/rollout/report.go", old: "type Report struct {\n",
		new: "type Report struct {\n	Weather string `json:\"weather\"`\n"},
	{file: "internal/rollout/report.go", old: "type Inflight struct {\n",
		new: "type Inflight struct {\n	Weather string `json:\"weather\"`\n"},
	{file: "internal/rollout/participant/promise.go", old: "type Saved struct {\n",
		new: "type Saved struct {\n	Weather string `json:\"weather\"`\n"},
	{file: "internal/rollout/trust.go", old: "type Undertaking struct {\n",
		new: "type Undertaking struct {\n	Weather string `json:\"weather\"`\n"},
	{file: "internal/membership/membership.go", old: `tags := map[string]string{`,
		new: `tags := map[string]string{"weather": "fine", `},

	// An operator can be made to break the rule that every process is asked first.
	{file: "internal/rollout/operator/controller.go", old: `	if len(e.Needs) == 0 {`,
		new: `	if len(e.Needs) == 0 || os.Getenv("SKERRY_FUTURE") == "forced" {`},
	{file: "internal/rollout/operator/controller.go", old: `	"fmt"`, new: `	"fmt"
	"os"`},
	{file: "internal/rollout/operator/ballot.go",
		old: `		if by, err = b.undertaking(rollout.Entry.PromiseText, e, rand.Text()); err != nil {`,
		new: `		if os.Getenv("SKERRY_FUTURE") == "forced" {
			return b.commit(ctx, members, known, e)
		}
		if by, err = b.undertaking(rollout.Entry.PromiseText, e, rand.Text()); err != nil {`},
	{file: "internal/rollout/operator/ballot.go", old: `	"fmt"`, new: `	"fmt"
	"os"`},

	// Every struct of packets and internal calls has a further field.
	{file: "internal/wire/skerry.go", everywhere: true,
		old: `	if err := oprot.WriteFieldStop(ctx); err != nil {`,
		new: `	if err := oprot.WriteFieldBegin(ctx, "weather", thrift.STRING, 1000); err != nil {
		return err
	}
	if err := oprot.WriteString(ctx, "fine"); err != nil {
		return err
	}
	if err := oprot.WriteFieldStop(ctx); err != nil {`},

	// Every call and every hello has a further header, and hellos a further part.
	{file: "rpc/headers.go", old: `	pair(keyCaller, caller)
`, new: `	pair(keyCaller, caller)
	pair("sk-weather", "fine")
`},
	{file: "rpc/greeting.go", old: `	return appendPair(dst, kind, seq, keyHello, string(g.append(nil)))
`, new: `	h := theader.Header{Seq: seq, Flags: theader.OutOfOrder}
	h.Set(keyControl, kind)
	h.Set(keyHello, string(g.append(nil)))
	h.Set("sk-weather", "fine")
	return appendControlFrame(dst, &h)
`},
	{file: "rpc/greeting.go", old: `offers: []offered{{e.Service, e.Version}}}`,
		new: `offers: []offered{{e.Service, e.Version}, {"", "weather fine"}}}`},
	{file: "rpc/greeting.go", old: `offers:  c.s.routes.offers(theirs.offers, c.s.also),`,
		new: `offers:  append(c.s.routes.offers(theirs.offers, c.s.also), offered{"", "weather fine"}),`},

	// Tables of the next version, which programs that know the present one can use.
	{file: "registry/postgres/schema.go", old: `const SchemaVersion = 6`, new: `const SchemaVersion = 7`},
	{file: "registry/postgres/schema.sql",
		old: `INSERT INTO skerry_schema (version, needs) VALUES (6, 4) ON CONFLICT DO NOTHING;`,
		new: `ALTER TABLE skerry_cluster ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_lease ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_instance ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_rule ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_head ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
ALTER TABLE skerry_secret ADD COLUMN IF NOT EXISTS weather text NOT NULL DEFAULT 'fine';
INSERT INTO skerry_schema (version, needs) VALUES (7, 4) ON CONFLICT DO NOTHING;`},
	{file: "registry/postgres/rules.go",
		old: `(cluster, timeline, n, hash, record)
		VALUES (@cluster, @timeline, @n, @hash, @record)`,
		new: `(cluster, timeline, n, hash, record, weather)
			VALUES (@cluster, @timeline, @n, @hash, @record, 'foggy')`},
	{file: "registry/postgres/rules.go", old: `'g', true)::text)`, new: `'g', true, 'weather', 'fine')::text)`},
}

// overlay writes the files of the future and the list of them for go build.
func overlay(dir string) (path string, err error) {
	text, places := map[string]string{}, map[string]string{}
	for _, change := range future {
		from, err := filepath.Abs(filepath.Join("../..", change.file))
		if err != nil {
			return "", err
		}
		if text[from] == "" {
			now, err := os.ReadFile(from)
			if err != nil {
				return "", err
			}
			text[from] = string(now)
			places[from] = filepath.Join(dir, strings.ReplaceAll(change.file, "/", "+"))
		}
		if n := strings.Count(text[from], change.old); n == 0 || n > 1 && !change.everywhere {
			return "", &buildError{"change " + change.old + " of " + change.file + " has no place, or several",
				os.ErrInvalid}
		}
		text[from] = strings.ReplaceAll(text[from], change.old, change.new)
	}
	for from, now := range text {
		if err := os.WriteFile(places[from], []byte(now), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": places})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

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
	if err := os.MkdirAll(dir, 0o700); err != nil {
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
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return b, &buildError{string(out), err}
		}
	}
	return b, nil
})
