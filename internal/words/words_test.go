package words

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestKeysOfBothLanguages: both languages have the same keys, and their texts name the same values.
func TestKeysOfBothLanguages(t *testing.T) {
	values := regexp.MustCompile(`\{[a-z]+\}`)
	for _, k := range Keys(English) {
		if _, ok := texts()[Chinese][k]; !ok {
			t.Errorf("%s has no text in Chinese", k)
			continue
		}
		of := func(l Language) []string {
			return slices.Compact(slices.Sorted(slices.Values(values.FindAllString(texts()[l][k], -1))))
		}
		if a, b := of(English), of(Chinese); !slices.Equal(a, b) && !strings.HasPrefix(k, "unit.") {
			t.Errorf("%s names %v in English and %v in Chinese", k, a, b)
		}
	}
	for _, k := range Keys(Chinese) {
		if _, ok := texts()[English][k]; !ok {
			t.Errorf("%s has no text in English", k)
		}
	}
}

// TestWordsByNumber: a word in a text goes by the number of its value.
func TestWordsByNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0 calls of 2 services, put together from 0 processes",
		1: "1 call of 2 services, put together from 1 process"} {
		if have := English.Text("traces.made-of", "calls", n, "services", 2, "processes", n); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
	for _, k := range Keys(English) {
		text := texts()[English][k]
		for _, m := range choice.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(text, "{"+m[1]+"}") {
				t.Errorf("%s has a word by %s, and does not name it", k, m[1])
			}
		}
	}
}

// verbsOf are the verbs of a format by the value that each takes.
func verbsOf(t *testing.T, format string) map[int]string {
	t.Helper()
	out, next := map[int]string{}, 0
	for _, m := range verb.FindAllStringSubmatch(format, -1) {
		if m[2] == "%" {
			continue
		}
		if m[1] != "" {
			next = int(m[1][0] - '1')
		}
		if _, twice := out[next]; twice {
			t.Errorf("%q takes value %d twice", format, next+1)
		}
		out[next] = m[2]
		next++
	}
	return out
}

// TestPairs: the Chinese format takes the values of the English one, each once, and by the same verb where package fmt
// fills it.
func TestPairs(t *testing.T) {
	for _, p := range pairs() {
		a, b := verbsOf(t, p.english), verbsOf(t, p.chinese)
		if len(a) != len(b) {
			t.Errorf("%q takes %v, and %q %v", p.english, a, p.chinese, b)
		}
		for i, v := range a {
			if b[i] == "" || b[i] != v && !p.sentence && !p.step {
				t.Errorf("%q takes value %d by %%%s, and %q by %q", p.english, i+1, v, p.chinese, b[i])
			}
		}
		if !regexp.MustCompile(`\p{Han}|^%[sd]（.*）$`).MatchString(p.chinese) {
			t.Errorf("%q has no Chinese text: %q", p.english, p.chinese)
		}
	}
}

// TestSentencesAreFoundAgain: each sentence with values in it becomes its own Chinese text, and no other one.
func TestSentencesAreFoundAgain(t *testing.T) {
	for _, p := range pairs() {
		if !p.sentence && !p.step {
			continue
		}
		say := Language.Sentence
		if p.step {
			say = Language.Step
		}
		var values []string
		text := verb.ReplaceAllStringFunc(p.english, func(v string) string {
			value := map[byte]string{'d': "7", 'q': `"x y"`, '%': "%"}[v[len(v)-1]]
			if value == "" {
				value = "val-" + string(rune('a'+len(values)))
			}
			if v != "%%" {
				values = append(values, value)
			}
			return value
		})
		if have, want := say(Chinese, text), fill(p.chinese, values); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
		if have := say(English, text); have != text {
			t.Errorf("English changed %q to %q", text, have)
		}
	}
}

func TestSentence(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"what a later version says: so": "what a later version says: so",
		"services.auth.limits[0]: 0 is not in 1..10000000": "services.auth.limits[0]: 0 不在 1..10000000 范围内",
		"no such key; did you mean timeout?":               "没有这个键；是不是 timeout？",
		"note: services.auth: no process offers auth now":  "提示：services.auth: 目前没有进程提供 auth",
		"Nothing here\nplan storm is not on":               "Nothing here\n预案 storm 没有启用",
		"ship auth v2, proc v3: the rule log is frozen: a/1/2 does not answer: EOF": "" +
			"交付 auth v2, proc v3：规则日志已冻结：a/1/2 没有应答：EOF",
		"clean: find the processes: registry unavailable: heartbeat: EOF": "清理：查找进程失败：注册中心不可用：心跳：EOF",
		"clean: what a later version says":                                "clean: what a later version says",
		"2 hosts of cluster \"x\" use another site key than s here (f): 10.0.0.1 (h1), 10.0.0.2": "" +
			"集群 \"x\" 的 2 台主机使用的站点密钥不同于本机的 s（f）：10.0.0.1 (h1), 10.0.0.2",
		`"a" is none of all, none; did you mean "all"?`: `"a" 不是 all、none 之一；是不是 "all"？`,
	} {
		if have := Chinese.Sentence(text); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}

// TestStep: steps of the log of releases are in Chinese, and what operators and names say in them is not touched.
func TestStep(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"ship auth v2, proc v3":           "交付 auth v2, proc v3",
		"clean":                           "清理",
		"start: stop the noise; policy 7": "开始：stop the noise；当时策略为 7",
		"start: does not answer":          "开始：does not answer",
		"roll back by the guard: copies of calls say: x": "由护栏回滚：镜像调用显示：x",
		"a step of a later version":                      "a step of a later version",
	} {
		if have := Chinese.Step(text); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
	if have := Chinese.Sentence("clean"); have != "clean" { // it may be the name of a service
		t.Error(have)
	}
}

// TestReleaseTexts: sentences of releases with several parts.
func TestReleaseTexts(t *testing.T) {
	for text, want := range map[string]string{
		"release r1 of wang (clean up) is open since 2026-12-01 10:00:00, for 11s; it is RAMPING at 50%": "" +
			"wang 的发布 r1（clean up）于 2026-12-01 10:00:00 开始，已进行 11s，状态 RAMPING，已到 50%",
		"draining: a/1 does not answer; b/2 has 3 requests of generation 4, of before 9s ago: x → y; and 2 more": "" +
			"排空中：a/1 没有应答；b/2 有 3 个请求属于第 4 代，已超过 9s：x → y；另有 2 个",
		"fix this and that for us: soon":                "fix this and that for us: soon", // an operator's reason
		"50% for 2m: a/v2 is well: 100 calls, 0 failed": "比例 50% 已有 2m：a/v2 正常：100 次调用，失败 0 次",
		"note: copies of calls say: a/v2 fails: its callers counted 12 failures (5.7 %: timeout 12) in 210 calls, " +
			"the bound is 1 %": "提示：镜像调用显示：a/v2 失败过多：调用方统计到失败 12 次（5.7 %: timeout 12），共 210 次调用，限度为 1 %",
		"roll back when more than 1 % of the calls of a/v2 fail, or more than 1 % of those of a/v2 take longer than " +
			"200ms; 50 calls are needed to call it well": "在 a/v2 的调用失败超过 1 %，或 a/v2 有超过 1 % 的调用耗时大于 200ms" +
			"时回滚；至少 50 次调用才评判为正常",
		"commit release r1: not possible now, it is SWITCHED; there is nothing to commit\n" +
			"Next: skerry release clean, or rollback": "发布 r1 目前不能切换，状态为 SWITCHED；没有可切换的内容\n" +
			"下一步：skerry release clean 清理，或者 rollback 回滚",
	} {
		if have := Chinese.Sentence(text); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for text, want := range map[string]string{
		"\nOne problem must be dealt with.\n": "\n有 1 个问题需要处理。\n",
		"This will\n":                         "即将执行：\n",
		"Go on? [y/N] ":                       "是否继续？[y/N] ",
		"no such format %s ":                  "no such format %s ",
		"":                                    "",
	} {
		if have := Chinese.Format(text); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
	if have := Language("").Sprintf("plan %s on", "x"); have != "plan x on" {
		t.Error(have)
	}
	if have := Chinese.Sprintf("%s of %s", "3", "9 次调用"); have != "9 次调用中的 3 次" {
		t.Error(have)
	}
}

// FuzzSentence: a text of any form is turned into one, and English stays.
func FuzzSentence(f *testing.F) {
	f.Add("note: note: x: it limits nothing; did you mean y?")
	f.Fuzz(func(t *testing.T, text string) {
		Chinese.Sentence(text)
		if English.Sentence(text) != text {
			t.Errorf("%q changed", text)
		}
	})
}
