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
		if _, ok := texts[Chinese][k]; !ok {
			t.Errorf("%s has no text in Chinese", k)
			continue
		}
		of := func(l Language) []string {
			return slices.Compact(slices.Sorted(slices.Values(values.FindAllString(texts[l][k], -1))))
		}
		if a, b := of(English), of(Chinese); !slices.Equal(a, b) && !strings.HasPrefix(k, "unit.") {
			t.Errorf("%s names %v in English and %v in Chinese", k, a, b)
		}
	}
	for _, k := range Keys(Chinese) {
		if _, ok := texts[English][k]; !ok {
			t.Errorf("%s has no text in English", k)
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
			if b[i] == "" || b[i] != v && !p.sentence {
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
		if !p.sentence {
			continue
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
		if have, want := Chinese.Sentence(text), fill(p.chinese, values); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
		if have := English.Sentence(text); have != text {
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
		`"a" is none of all, none; did you mean "all"?`:    `"a" 不是 all、none 之一；是不是 "all"？`,
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
