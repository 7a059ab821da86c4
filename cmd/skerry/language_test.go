package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/words"
)

func TestLanguageOf(t *testing.T) {
	for _, c := range []struct {
		flag string
		env  map[string]string
		want words.Language
		code int
	}{
		{"", nil, words.English, exitOK},
		{"zh", map[string]string{"SKERRY_LANG": "en"}, words.Chinese, exitOK},
		{"", map[string]string{"SKERRY_LANG": "en", "LANG": "zh_CN.UTF-8"}, words.English, exitOK},
		{"", map[string]string{"SKERRY_LANG": "zh", "LANG": "C"}, words.Chinese, exitOK},
		{"", map[string]string{"LANG": "zh_CN.UTF-8"}, words.Chinese, exitOK},
		{"", map[string]string{"LC_MESSAGES": "zh_TW", "LANG": "C"}, words.Chinese, exitOK},
		{"", map[string]string{"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, words.English, exitOK},
		{"de", nil, words.English, exitUsage},
		{"", map[string]string{"SKERRY_LANG": "ZH"}, words.English, exitUsage},
	} {
		have, err := languageOf(c.flag, func(key string) string { return c.env[key] })
		code := newApp(nil, &bytes.Buffer{}, &bytes.Buffer{}).report(err)
		if have != c.want || code != c.code {
			t.Errorf("--lang %q, %v: %s, exit code %d; want %s, %d", c.flag, c.env, have, code, c.want, c.code)
		}
	}
}

// english finds three or more English words in a row.
var english = regexp.MustCompile(`(?:\b[A-Za-z][a-z']+ ){2,}[a-z']+\b`)

// TestChineseHasNoEnglish: what the commands print in Chinese has no English sentence but commands, names and values.
func TestChineseHasNoEnglish(t *testing.T) {
	values := strings.NewReplacer("skerry policy apply", "", "skerry policy history", "", "skerry policy try", "",
		"skerry policy confirm", "", "queue grows since", "", "# made on policy", "")
	for line := range strings.Lines(string(policyOutput(t, words.Chinese))) {
		if found := english.FindString(values.Replace(line)); found != "" {
			t.Errorf("%q in %q", found, line)
		}
	}
}

// TestCheckInChinese: faults of a text are in the language of the command, and JSON stays English.
func TestCheckInChinese(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.yaml")
	text := `policy: 1
services:
  auth:
    timeout: 0.5
    retrys: 2
    balancer: p2
    limits: [{rate: 5}, {per: site}]
    route: [{match: {tenant: t7}, to: {zone: hall-2}, else: al}]
    access: {mode: enforce, default: deny}
    fallback: [{on: [timeout], reply: {a: 1}, match: {header: {X-A: "1"}}}]
    faults: [{match: {percent: 20}, error: unavailable}]
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		var out bytes.Buffer
		newApp(nil, &out, &out).run(context.Background(), append([]string{"policy", "check", path}, args...))
		return strings.ReplaceAll(out.String(), path, "p.yaml")
	}
	chinese := run("--lang", "zh")
	golden(t, "policy-check.zh", []byte(chinese))
	if found := english.FindString(chinese); found != "" {
		t.Errorf("English in the Chinese output: %s", found)
	}
	if json := run("--lang", "zh", "--json"); json != run("--json") || strings.Contains(json, "没有") {
		t.Errorf("JSON has another language: %s", json)
	}
	if fails := run("--lang", "de"); !strings.Contains(fails, `--lang: want en or zh, got "de"`) {
		t.Error(fails)
	}
}

// TestCommandsInChinese changes and reads the policy of a living site in Chinese.
func TestCommandsInChinese(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	file := filepath.Join(t.TempDir(), "p.yaml")
	text := `policy: 1
services:
  clock:
    timeout: 300ms
    route: [{match: {tenant: t7}, to: {zone: hall-2}, else: all}]
    limits: [{match: {caller: report}, rate: 5, per: site}]
    access: {mode: audit, default: deny}
plans:
  storm: {services: {clock: {max_pending: 4}}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`skerry (policy|key) [a-z]+( off storm)?`)
	for _, c := range []struct {
		args  string
		stdin string
		code  int
		want  string
	}{
		{"history", "", exitOK, "站点还没有过策略"},
		{"show", "", exitProblem, "站点没有策略"},
		{"undo", "", exitProblem, "没有可撤销的内容"},
		{"try " + file, "", exitOK, "会接受这份策略"},
		{"apply " + file, "n\n", exitProblem, "未执行任何操作；请回答 y"},
		{"apply " + file + " --confirm 10m", "y\n", exitOK, "10m 后自动恢复原策略"},
		{"plan on storm --yes", "", exitProblem, "还在等待确认"},
		{"confirm", "y\n", exitOK, "保留策略 1"},
		{"confirm", "", exitProblem, "无需确认"},
		{"plan on strom", "", exitProblem, "没有预案 strom；是不是 storm？"},
		{"plan on storm --for 1h", "y\n", exitOK, "启用预案 storm"},
		{"plan off storm --yes", "", exitOK, "停用预案 storm"},
		{"history", "", exitOK, "确认 1"},
		{"show --processes", "", exitOK, "已执行"},
		{"explain clock now --tenant t7", "", exitOK, "条件全部满足"},
		{"access", "", exitOK, "访问控制没有拒绝"},
		{"diff 3 4", "", exitOK, "内容相同"},
		{"diff 3 9", "", exitProblem, "日志中没有策略 9"},
		{"undo 1 --yes", "", exitOK, "恢复策略 1"},
		{"show x", "", exitUsage, "x 不是策略编号"},
	} {
		code, out, errs := policyCommand(t, cfg, c.stdin, append(strings.Fields(c.args), "--lang", "zh")...)
		said := strings.ReplaceAll(out+errs, "\n", "")
		if code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
		if found := english.FindString(names.ReplaceAllString(out+errs, "")); found != "" {
			t.Errorf("%s: %q in\n%s%s", c.args, found, out, errs)
		}
	}
}

// TestDoctorPolicyInChinese: what doctor says of the policy has Chinese texts.
func TestDoctorPolicyInChinese(t *testing.T) {
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	a.lang = words.Chinese
	e := policylog.Entry{Number: 3, Previous: "x", Text: "policy: 1\n", By: "li"}
	f := findings{area: "Policy"}
	f.obeyNone(control.PolicyState{Processes: []control.PolicyProcess{{Process: "h1/1/a",
		Status: sitepolicy.Status{Obey: sitepolicy.ObeysNone, Because: "it is told to obey no policy"}}}})
	f.problem("apply it again when it was meant to stay", "%s does not obey policy %d: %s", "h1/1/a", e.Number,
		"it has policy 2")
	f.fine("policy %s is obeyed by %d of %s that answered", policychange.Title(e), 2, count(3, "process", "es"))
	a.report(a.printFindings(f.list))
	for _, want := range []string{"h1/1/a 不执行站点的任何策略", "h1/1/a 没有执行策略 3：它已是策略 2", "如果本来要保留",
		"策略\n  问题     h1", "\n           → ", "\n  正常     ", "3 个进程有应答，其中 2 个已执行策略 3（li）", "有 2 个问题需要处理。"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestOldSitesInChinese: what apply says of processes has Chinese texts.
func TestOldSitesInChinese(t *testing.T) {
	p := compiled(t, "policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 5, per: site}\n").Policy()
	listed := []discovery.Entry{{Service: "auth", Owner: "h3/412/aaaaaaaaaa", State: discovery.OK, Weight: 100,
		Own: 100}}
	old := []control.PolicyProcess{{Process: "h3/412/aaaaaaaaaa", Err: control.ErrNoPolicies}}
	faults, _ := policychange.Judge(p, listed, old, func(string) bool { return false })
	want := "h3/412/aaaaaaaaaa: 它的 skerry 版本不支持策略，请升级；它提供的服务有限流或访问控制，而它不会执行"
	if have := words.Chinese.Sentence(joined(faults).Error()); have != want {
		t.Errorf("%q, want %q", have, want)
	}
	for text, want := range map[string]string{
		"services.auth.access: it would refuse all calls of auth by gw (the gateway h3/412), which has made 7; " +
			"add {caller: gw} to allow, or apply it with --confirm 10m": "services.auth.access：会拒绝 gw（网关 h3/412） 对 " +
			"auth 的全部调用（已有 7 次）；请在 allow 中加 {caller: gw}，或用 --confirm 10m 应用",
		"make this policy 19 of site-2, and go back after 10m without skerry policy confirm": "设为 site-2 的策略 19，10m " +
			"内没有 skerry policy confirm 则自动恢复",
		"note: services.auth.access: it would refuse all calls of auth by x": "提示：services.auth.access：会拒绝 x 对 " +
			"auth 的全部调用",
	} {
		if have := words.Chinese.Sentence(text); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}
