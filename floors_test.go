package skerry_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/skerry/skerry"

// floors is the architecture: each package, its floor, and the packages of the module that it may
// import. A package that is not listed here fails the test. An import fails if it is not listed,
// points up, or stays on one floor. The same rules hold for test files, plus the packages in
// testHelpers.
var floors = map[string]struct {
	floor   int
	imports []string
}{
	"internal/run":       {0, nil},
	"internal/connlimit": {0, nil},
	"internal/heap":      {0, nil},
	"internal/resident":  {0, nil},

	"internal/quote":    {0, nil},
	"internal/reach":    {0, nil},
	"internal/recent":   {0, nil},
	"internal/refusal":  {0, nil},
	"internal/spans":    {0, nil},
	"internal/statedir": {0, nil},
	"internal/trust": {2, []string{"internal/keyfile", "internal/rollout", "internal/run", "internal/sitekey",
		"internal/sshsig"}},
	"internal/state":        {1, []string{"internal/run", "internal/statedir"}},
	"internal/mask":         {0, nil},
	"internal/number":       {0, nil},
	"internal/suggest":      {0, nil},
	"internal/tracecontext": {0, nil},
	"internal/textdiff":     {0, nil},
	"internal/idltext":      {0, nil},
	"internal/textfile":     {0, nil},
	"internal/yamlfile":     {1, []string{"internal/mask", "internal/quote", "internal/suggest", "internal/textfile"}},
	"internal/words":        {2, []string{"internal/yamlfile"}},
	"internal/sitetls":      {1, nil},
	"internal/tlsfile":      {1, []string{"internal/statedir"}},

	"internal/webpath":             {0, nil},
	"internal/websocket":           {0, nil},
	"internal/wire":                {0, nil}, // generated from internal/wire/skerry.thrift
	"health":                       {1, []string{"internal/run"}},
	"health/statlog":               {2, []string{"health", "internal/quote", "internal/run", "internal/statedir"}},
	"policy":                       {1, []string{"internal/rollout", "internal/suggest", "registry"}},
	"policy/form":                  {2, []string{"internal/yamlfile", "policy"}},
	"internal/policylog":           {1, []string{"internal/rollout"}},
	"internal/policytext":          {3, []string{"internal/yamlfile", "policy", "policy/form"}},
	"internal/policytry":           {3, []string{"internal/recent", "policy", "rpc"}},
	"internal/rollout":             {0, nil},
	"internal/rollout/participant": {1, []string{"internal/rollout"}},
	"internal/rollout/operator": {2, []string{"internal/number", "internal/rollout",
		"internal/rollout/participant", "internal/run"}},
	"registry":           {0, nil},
	"internal/registrar": {1, []string{"internal/run", "registry"}},
	"rpc": {2, []string{"health", "internal/number", "internal/recent", "internal/rollout",
		"internal/rollout/participant", "internal/run",
		"internal/spans", "internal/sitetls", "internal/tracecontext", "policy",
		"rpc/internal/flat", "rpc/internal/flow",
		"rpc/internal/theader", "rpc/internal/transport"}},

	"rpc/internal/theader":   {0, nil},
	"rpc/internal/flat":      {0, nil},
	"rpc/internal/flow":      {0, nil},
	"rpc/internal/transport": {1, []string{"rpc/internal/flat", "rpc/internal/theader"}}, // flat in its tests only
	// generated, for the tests of rpc
	"rpc/internal/echo": {0, nil},

	"internal/policylog/policylogtest":       {2, []string{"internal/policylog", "internal/rollout"}},
	"internal/rollout/rollouttest":           {1, []string{"internal/rollout"}},
	"internal/rollout/operator/operatortest": {1, []string{"internal/rollout"}},
	"registry/registrytest":                  {2, []string{"internal/registrar", "internal/run", "registry"}},
	"registry/postgres": {2, []string{"health", "internal/policylog", "internal/registrar", "internal/rollout",
		"internal/run", "registry"}},
	"internal/listing": {2, []string{"registry", "internal/wire"}},
	"broadcast": {3, []string{"internal/listing", "internal/registrar", "internal/run", "internal/wire",
		"registry"}},
	"health/prom": {2, []string{"health"}},
	"discovery": {3, []string{"registry", "rpc", "health", "internal/drain", "internal/run", "internal/statedir",
		"policy"}},
	"config": {3, []string{"internal/heap", "internal/mask", "internal/quote", "internal/sitekey",
		"internal/statedir", "internal/suggest", "internal/tlsfile", "internal/webpath", "internal/yamlfile",
		"registry", "registry/postgres"}},
	"": {5, []string{"broadcast", "config", "discovery", "health", "health/statlog",
		"internal/doctor", "internal/drain", "internal/heap",
		"internal/membership", "internal/policylog", "internal/quote", "internal/reach", "internal/recent",
		"internal/refusal",
		"internal/rollout", "internal/rollout/participant", "internal/run",
		"internal/spans", "internal/sitetls", "internal/state",
		"internal/suggest", "internal/tracecontext", "internal/trust", "internal/wire", "internal/words", "policy",
		"policy/form", "registry", "registry/postgres", "rpc"}}, // internal/words in its tests only
	"internal/foreign": {2, []string{"internal/quote", "internal/run", "internal/statedir",
		"internal/yamlfile", "registry"}},
	"proxy": {6, []string{"", "config", "internal/foreign", "internal/run", "registry", "rpc"}},
	// config and internal/wire in its tests only
	"console": {10, []string{"", "broadcast", "config", "discovery", "health", "internal/connlimit", "internal/control",
		"internal/doctor", "internal/dynamic", "internal/membership", "internal/number", "internal/policychange",
		"internal/policylog", "internal/policytext", "internal/quote", "internal/recent", "internal/releases",
		"internal/rollout", "internal/rollout/operator", "internal/run", "internal/statedir", "internal/textdiff",
		"internal/wire", "internal/words", "policy", "policy/form", "registry", "registry/postgres", "rpc",
		"site/spread"}},
	"gateway": {6, []string{"", "config", "health", "internal/connlimit", "internal/dynamic", "internal/recent",
		"internal/rollout", "internal/rollout/participant", "internal/run", "internal/spans", "internal/tracecontext",
		"internal/webpath", "internal/websocket", "policy", "registry", "rpc"}},

	"internal/drain": {1, []string{"internal/rollout", "registry"}},
	"internal/membership": {4, []string{"broadcast", "discovery", "health", "internal/drain", "internal/idltext",
		"internal/listing", "internal/policylog", "internal/policytry", "internal/quote", "internal/reach",
		"internal/recent", "internal/refusal", "internal/rollout", "internal/rollout/participant", "internal/run",
		"internal/sitepolicy", "internal/sitetls", "internal/spans", "internal/state", "internal/trust",
		"internal/wire", "policy", "policy/form", "registry", "registry/postgres", "rpc"}},

	"internal/doctor": {4, []string{"broadcast", "config", "internal/keyfile", "internal/number", "internal/quote",
		"internal/sitepolicy", "internal/statedir", "internal/tlsfile", "policy/form",
		"registry/postgres"}}, // policy/form in its tests only
	"internal/control": {6, []string{"", "broadcast", "config", "discovery", "internal/doctor", "internal/drain",
		"internal/membership", "internal/policylog", "internal/policytry", "internal/quote", "internal/recent",
		"internal/refusal", "internal/rollout", "internal/rollout/operator", "internal/rollout/participant",
		"internal/run", "internal/sitepolicy", "internal/spans", "internal/tracecontext", "internal/wire",
		"registry", "rpc"}},

	"internal/policychange": {7, []string{"", "discovery", "internal/control", "internal/number", "internal/policylog",
		"internal/policytext", "internal/policytry", "internal/rollout", "internal/sitepolicy", "internal/suggest",
		"internal/textdiff", "internal/words", "policy", "policy/form", "registry", "rpc"}},
	"internal/releases": {8, []string{"", "discovery", "gateway", "internal/control", "internal/number",
		"internal/operatorkey", "internal/policychange", "internal/quote", "internal/reach", "internal/rollout",
		"internal/rollout/operator", "internal/run", "internal/sshsig", "policy", "registry",
		"registry/postgres"}},

	"internal/testsite": {0, []string{}},
	"internal/testfeed": {3, []string{"rpc"}},

	"internal/sitepolicy": {3, []string{"internal/policylog", "internal/rollout", "internal/run", "policy",
		"policy/form"}},

	// Tests only, or used by tests and by the commands only.
	"rpc/interop":      {3, []string{"rpc"}},
	"internal/chance":  {0, nil},
	"internal/memtest": {0, nil},
	"internal/lab":     {1, []string{"internal/run", "internal/testsite"}},
	"internal/pgtest":  {1, []string{"internal/run"}},

	"internal/sitekey": {0, nil},
	"internal/sshsig":  {0, nil},
	"internal/keyfile": {1, []string{"internal/sitekey", "internal/sshsig"}},

	"internal/operatorkey": {2, []string{"internal/keyfile", "internal/sshsig"}},

	"site/agent": {4, []string{"internal/foreign", "internal/keyfile", "internal/resident", "internal/sshsig",
		"internal/statedir", "internal/yamlfile", "registry", "site/agent/shim", "site/artifact", "site/plan"}},
	"site/build": {3, []string{"internal/gitrepo", "internal/statedir", "internal/yamlfile", "registry",
		"site/artifact"}},
	"site/project": {4, []string{"internal/gitrepo", "internal/statedir", "internal/yamlfile", "registry",
		"site/artifact", "site/build"}},
	"internal/gitrepo": {0, nil},
	"site/spread": {6, []string{"", "broadcast", "config", "discovery", "internal/agentwire", "internal/membership",
		"internal/quote", "internal/run", "internal/sshsig", "registry", "rpc", "site/agent", "site/agent/shim",
		"site/artifact", "site/plan"}}, // internal/sshsig in its tests only
	"site/order": {9, []string{"internal/keyfile", "internal/quote", "internal/releases", "internal/sshsig",
		"site/agent", "site/plan", "site/spread"}},
	"internal/agentwire": {0, nil}, // generated from internal/agentwire/agent.thrift
	"scripts/agentweight": {5, []string{"internal/sshsig", "site/agent", "site/agent/shim", "site/artifact",
		"site/plan"}},
	"site/agent/shim": {1, []string{"internal/resident", "internal/statedir"}},
	"site/plan":       {3, []string{"internal/textdiff", "internal/yamlfile", "registry", "site/artifact"}},
	"site/join":       {2, []string{"internal/sitekey", "internal/sitetls", "internal/sshsig", "registry"}},
	"site/artifact":   {2, []string{"internal/keyfile", "internal/sshsig", "internal/statedir", "registry"}},

	// Thrift by JSON: skerry call, and the gateway
	"internal/dynamic": {1, []string{"internal/idltext", "internal/suggest", "internal/textfile"}},
}

// testHelpers may be imported by the tests of every package.
var testHelpers = []string{"internal/chance", "internal/lab", "internal/memtest", "internal/pgtest",
	"internal/testfeed", "internal/testsite", "registry/registrytest", "internal/policylog/policylogtest",
	"internal/rollout/operator/operatortest", "internal/rollout/rollouttest", "rpc/internal/echo",
	"examples/portal/gen/authapi", "examples/portal/gen/portalapi", "examples/historian/api",
	"examples/historian/apistream", "examples/polyglot/gen/polyglot"}

// top are the trees above the root package. They may import the listed packages, and no package
// imports them.
var top = map[string][]string{
	"cmd/": {"", "broadcast", "config", "console", "discovery", "gateway", "health",
		"health/statlog", "internal/control", "internal/doctor",
		"internal/drain", "internal/dynamic", "internal/foreign", "internal/keyfile", "internal/mask",
		"internal/membership",
		"internal/number", "internal/operatorkey", "internal/policychange", "internal/policylog",
		"internal/policytry", "internal/quote", "internal/reach",
		"internal/refusal", "internal/releases", "internal/rollout", "internal/rollout/operator", "internal/run",
		"internal/sitekey",
		"internal/sitepolicy", "internal/sitetls", "internal/sshsig", "internal/statedir", "internal/suggest",
		"internal/textdiff", "internal/textfile", "internal/tlsfile", "internal/trust", "internal/wire",
		"internal/words", "internal/yamlfile", "policy", "policy/form", "proxy", "registry", "registry/postgres",
		"rpc", "site/agent", "site/agent/shim", "site/artifact", "site/build", "site/join", "site/order", "site/plan",
		"site/project", "site/spread"},
	"examples/":        {"", "config", "gateway", "internal/rollout", "registry", "rpc", "site/artifact", "site/build"},
	"test/guarantees/": {"", "config", "gateway", "registry", "rpc"},

	"test/consistency/": {"", "config", "internal/rollout", "internal/rollout/participant", "internal/run",
		"internal/tracecontext", "rpc"},
	"test/attack/": {"", "config", "internal/drain", "internal/rollout", "internal/rollout/participant",
		"internal/sitekey",
		"internal/sitetls", "internal/sshsig", "internal/wire", "registry", "rpc"},
	"test/policy/": {"", "config", "discovery", "internal/tracecontext", "registry", "rpc"},
	"test/agent/": {"", "config", "examples/portal/gen/authapi", "internal/sshsig", "site/agent",
		"site/agent/shim", "site/artifact", "site/plan"},
	"test/soak/": {"", "config", "test/consistency/hop", "internal/lab", "internal/pgtest"},
}

func TestFloors(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "vendor" ||
			name == "bench" || name == "e2e" ||
			name == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			dir = ""
		}
		seen[dir] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			checkImport(t, path, dir, strings.Trim(spec.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range floors {
		if !seen[pkg] {
			t.Errorf("package %q is in the table of floors but not in the tree", pkg)
		}
	}
}

func checkImport(t *testing.T, path, dir, imported string) {
	t.Helper()
	rel, ok := strings.CutPrefix(imported, module)
	if !ok {
		return
	}
	rel = strings.TrimPrefix(rel, "/")
	test := strings.HasSuffix(path, "_test.go")
	if test && (slices.Contains(testHelpers, rel) || rel == dir) {
		return
	}
	for prefix, allowed := range top {
		if strings.HasPrefix(dir+"/", prefix) {
			if !slices.Contains(allowed, rel) && !strings.HasPrefix(rel, prefix) {
				t.Errorf("%s imports %s; programs under %s may import %v of the module",
					path, imported, prefix, allowed)
			}
			return
		}
	}
	from, known := floors[dir]
	if !known {
		t.Errorf("%s: package %q has no floor; give it one in floors_test.go and docs/architecture.md", path, dir)
		return
	}
	to, known := floors[rel]
	switch {
	case !known:
		t.Errorf("%s imports %s, which has no floor", path, imported)
	case !slices.Contains(from.imports, rel):
		t.Errorf("%s imports %s; %q may import %v of the module", path, imported, dir, from.imports)
	case to.floor >= from.floor:
		t.Errorf("%s imports %s: floor %d must not import floor %d", path, imported, from.floor, to.floor)
	}
}
