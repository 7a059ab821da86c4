package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/console"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/tlsfile"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/build"
	"github.com/skerry/skerry/site/join"
	"github.com/skerry/skerry/site/project"
)

// keyStyle is the spelling of every key of a JSON document.
var keyStyle = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// fill sets every field in v, so that no key is omitted as empty. Keys of maps are
// names of the site, so they get a name in the style.
func fill(v reflect.Value, depth int) {
	if depth > 8 || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1e9, 0)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[error]() {
			v.Set(reflect.ValueOf(errors.New("x")))
		}
	}
}

func filled[T any]() (v T) {
	fill(reflect.ValueOf(&v).Elem(), 0)
	return v
}

// documents prints, for each function that prints JSON, a filled document. literalKeys
// finds the keys in literals of the functions.
func documents() map[string]func(*app) error {
	entry := filled[rollout.Entry]()
	row := filled[health.Row]()
	row.Side = health.Client
	line := func(print func(*app)) func(*app) error {
		return func(a *app) error { print(a); return nil }
	}
	none := func(*app) error { return nil } // a literal of texts and numbers only
	return map[string]func(*app) error{
		"printListing":       func(a *app) error { return a.printListing(filled[listing](), "", false) },
		"printEvent":         line(func(a *app) { a.printEvent(filled[discovery.Event]()) }),
		"printAnnounceEvent": line(func(a *app) { a.printAnnounceEvent(filled[foreign.Event]()) }),
		"stats":              func(a *app) error { return a.printJSON([]health.Row{row}) },
		"printLast": func(a *app) error {
			return a.printLast(statsQuery{side: "server", by: "peer"}, filled[control.Recent]())
		},
		"printStreams": func(a *app) error {
			return a.printStreams(filled[siteStreams](), "", func() {})
		},
		"listMethods":  none,
		"printItems":   none, // values of the .thrift file
		"printOutcome": func(a *app) error { return a.printOutcome(filled[outcome](), false) },
		"checkConfig":  func(a *app) error { return a.printJSON([]config.Problem{filled[config.Problem]()}) },
		"checkPolicy": func(a *app) error {
			return a.printJSON([]policyProblem{filled[policyProblem]()})
		},
		"printPolicy": func(a *app) error { return a.printPolicy(filled[policychange.Change](), "x") },
		"printHistory": func(a *app) error {
			return a.printHistory("x", []policychange.Change{filled[policychange.Change]()})
		},
		"printPolicyExplained": func(a *app) error {
			return a.printPolicyExplained(filled[policyExplained](), "x")
		},
		"printPolicyAccess": func(a *app) error {
			return a.printPolicyAccess(filled[policychange.Accessed](), "", false)
		},
		"printPolicyTried": func(a *app) error { return a.printPolicyTried(filled[policychange.Trial]()) },
		"printPolicyDiff":  func(a *app) error { return a.printPolicyDiff(1, 2, []string{"x"}) },
		"printPolicyProcesses": func(a *app) error {
			return a.printPolicyProcesses("x", policylog.Entry{Number: 1}, []control.PolicyProcess{
				{Process: "x", Status: sitepolicy.Status{Lost: []form.Problem{filled[form.Problem]()}}},
			})
		},
		"printPolicyResult": func(a *app) error { return a.printPolicyResult(filled[policychange.Result]()) },
		"printFindings":     func(a *app) error { return a.printFindings([]finding{filled[finding]()}) },
		"printSite":         func(a *app) error { return a.printSite(filled[siteReport]()) },
		"printConsoleCert": func(a *app) error {
			_, leaf, err := tlsfile.Make(tlsfile.Request{Names: []string{"x"}, To: time.Now()})
			return errors.Join(err, a.printConsoleCert("x", leaf, leaf, true, false))
		},
		"printConsoleLink": func(a *app) error { return a.printConsoleLink("x", filled[console.LinkRequest]()) },
		"printConsoleUsers": func(a *app) error {
			return a.printConsoleUsers("x", []console.User{filled[console.User]()})
		},
		"printConsoleHistory": func(a *app) error {
			return a.printConsoleHistory("x", []console.HistoryLine{filled[console.HistoryLine]()})
		},
		"printAudit": func(a *app) error {
			r := filled[console.AuditReport]()
			r.Broken = nil
			return errors.Join(a.printAudit(r, "x", ""), a.printJSON(console.AuditBreak{File: "x"}))
		},
		"printDrain": func(a *app) error {
			return a.printDrain("x", []drainResult{filled[drainResult]()})
		},
		"printRefused": func(a *app) error {
			return a.printRefused([]control.Refusals{filled[control.Refusals]()}, map[string]error{
				"x": errors.New("x"),
			})
		},
		"printSiteMade": func(a *app) error { return a.printSiteMade(&initFlags{}, filled[siteMade]()) },
		"printInvitations": func(a *app) error {
			at := netip.MustParseAddrPort("10.0.0.1:1")
			return a.printInvitations([]join.Invitation{{Host: "x", Token: "x"}}, at, 1)
		},
		"printJoined": line(func(a *app) {
			a.printJoined(join.Event{Host: "x", Address: netip.MustParseAddr("10.0.0.1"), Err: errors.New("x")})
		}),
		"printPreview": func(a *app) error {
			p := filled[sitePreview]()
			return a.printPreview(&p)
		},
		"printApplied":     func(a *app) error { return a.printApplied(filled[siteApplied]()) },
		"siteShowCommand":  none,
		"printSiteStatus":  func(a *app) error { return a.printSiteStatus(filled[siteStatus]()) },
		"printSiteHistory": func(a *app) error { return a.printJSON([]sitePlanRow{filled[sitePlanRow]()}) },
		"agentJoin":        func(a *app) error { return a.printJSON(filled[joinedHost]()) },
		"printAgent":       func(a *app) error { return a.printAgent(filled[agent.Report]()) },
		"printArtifacts":   func(a *app) error { return a.printArtifacts("x", []artifactRow{filled[artifactRow]()}) },
		"printProject": func(a *app) error {
			return a.printProject(&project.Project{Manifest: filled[project.Manifest]()})
		},
		"printTree": func(a *app) error { return a.printTree(filled[project.Tree]()) },
		"printPushed": func(a *app) error {
			return a.printPushed(&project.Project{}, build.Config{}, "x", []project.Pushed{filled[project.Pushed]()})
		},
		"printBuild":     func(a *app) error { return a.printBuild(filled[build.Result]()) },
		"printBuilds":    func(a *app) error { return a.printBuilds([]build.Result{filled[build.Result]()}) },
		"printBuildLine": line(func(a *app) { a.printBuildLine(filled[build.Result]()) }),
		"printArtifact":  func(a *app) error { return a.printArtifact(filled[artifactRow]()) },
		"printVerifiedArtifacts": func(a *app) error {
			return a.printVerifiedArtifacts([]artifactRow{filled[artifactRow]()}, 0)
		},
		"printUnpacked": func(a *app) error { return a.printUnpacked("x", filled[artifact.Artifact]()) },
		"printGarbage":  func(a *app) error { return a.printGarbage(filled[garbageReport]()) },
		"printBundle":   func(a *app) error { return a.printBundle("x", filled[artifact.Bundle](), "x") },

		"printGenerated":          none,
		"keyWritten":              none,
		"keyShowCommand":          none,
		"keyLsCommand":            func(a *app) error { return a.printJSON(filled[keyRow]()) },
		"operatorLsCommand":       func(a *app) error { return a.printJSON(operatorRowOf(filled[sshsig.Operator]())) },
		"addOperator":             none,
		"operatorEnvelopeCommand": none,
		"stepped":                 func(a *app) error { return a.stepped(filled[rollout.Release]()) },
		"printHolders": func(a *app) error {
			return a.printHolders(filled[rollout.Release](), []releases.Holder{filled[releases.Holder]()}, time.Now())
		},
		"printSettings": none, // the keys are the operator's
		"printStatus":   func(a *app) error { return a.printStatus(filled[releases.Status](), time.Now()) },
		"printDifferences": func(a *app) error {
			return a.printDifferences([]releases.Difference{filled[releases.Difference]()}, releases.Policy{Number: 1})
		},
		"printVerified": func(a *app) error {
			status := operator.Status{Trail: []rollout.Entry{entry}}
			return a.printVerified(releases.Site{Status: status, Signers: []releases.Signer{{Name: "x"}}})
		},
		"printLog":       func(a *app) error { return a.printLog([]rollout.Entry{entry}) },
		"schemaCommand":  none,
		"lookup":         func(a *app) error { return a.printJSON([]discovery.Entry{filled[discovery.Entry]()}) },
		"printChanges":   line(func(a *app) { a.printChanges(nil, []string{"x"}) }),
		"printMembers":   func(a *app) error { return a.printMembers("x", []memberInfo{filled[memberInfo]()}) },
		"printTraces":    none, // the keys are those of OTLP
		"printTrace":     none,
		"printTop":       func(a *app) error { return a.printTop(filled[topLook]()) },
		"proxyStatus":    func(a *app) error { return a.printJSON([]programStatus{filled[programStatus]()}) },
		"showConfig":     func(a *app) error { return a.showConfig(filled[skerry.Config]()) },
		"versionCommand": none,
		"report":         func(a *app) error { return problemf("x") },
	}
}

// TestOneStyleOfKeys: all keys that --json prints have one style.
func TestOneStyleOfKeys(t *testing.T) {
	printers := documents()
	keys := 0
	check := func(where, key string) {
		keys++
		if !keyStyle.MatchString(key) {
			t.Errorf("%s: the key %q is not in snake_case", where, key)
		}
	}
	for name, print := range printers {
		var out, errs bytes.Buffer
		a := newApp(nil, &out, &errs)
		a.flags.json, a.started = true, true
		a.report(print(a))
		for _, text := range []string{out.String(), errs.String()} {
			for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
				var doc any
				if err := d.Decode(&doc); err != nil {
					t.Fatalf("%s: %v\n%s", name, err, text)
				}
				eachKey(doc, func(key string) { check(name, key) })
			}
		}
	}
	found := literalKeys(t, check)
	if have, want := slices.Sorted(maps.Keys(printers)), slices.Sorted(maps.Keys(found)); !slices.Equal(have, want) {
		t.Errorf("functions that print JSON:\n%v\nfunctions of documents():\n%v", want, have)
	}
	if keys < 200 {
		t.Errorf("only %d keys were looked at", keys)
	}
}

func eachKey(doc any, see func(string)) {
	switch d := doc.(type) {
	case map[string]any:
		for key, inner := range d {
			see(key)
			eachKey(inner, see)
		}
	case []any:
		for _, inner := range d {
			eachKey(inner, see)
		}
	}
}

// literalKeys finds the functions that print JSON, and the keys of their map literals.
func literalKeys(t *testing.T, see func(where, key string)) (found map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(testdata), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found = map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name == "printJSON" || f.Name.Name == "printLine" {
				continue
			}
			var keys []string
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					pair, _ := n.X.(*ast.Ident)
					encodes := pair != nil && pair.Name == "json" && n.Sel.Name == "Marshal" && f.Name.Name == "report"
					if n.Sel.Name == "printJSON" || n.Sel.Name == "printLine" || encodes {
						found[f.Name.Name] = true
					}
				case *ast.CompositeLit:
					keys = append(keys, mapKeys(n)...)
				}
				return true
			})
			for _, key := range keys {
				if found[f.Name.Name] {
					see(f.Name.Name, key)
				}
			}
		}
	}
	return found
}

// mapKeys returns the keys of a literal of type map[string]any or map[string]string.
func mapKeys(n *ast.CompositeLit) (keys []string) {
	m, ok := n.Type.(*ast.MapType)
	if !ok {
		return nil
	}
	key, _ := m.Key.(*ast.Ident)
	value, _ := m.Value.(*ast.Ident)
	if key == nil || value == nil || key.Name != "string" || value.Name != "any" && value.Name != "string" {
		return nil
	}
	for _, e := range n.Elts {
		pair, isPair := e.(*ast.KeyValueExpr)
		if !isPair {
			continue
		}
		if text, isText := pair.Key.(*ast.BasicLit); isText {
			key, _ := strconv.Unquote(text.Value)
			keys = append(keys, key)
		}
	}
	return keys
}
