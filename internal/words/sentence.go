package words

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// pair is an English text with its Chinese one. Both may have verbs of package fmt; the Chinese one names them by
// number (%[2]s) where their order is another one.
type pair struct {
	english, chinese string
	sentence         bool // for Sentence, too
	step             bool // for Step alone
}

// stepKey is before the text of a step, as its words, such as clean, may be those of other texts, too.
const stepKey = "step\x00"

// pairs are those of the files, by the English text.
var pairs = sync.OnceValue(func() map[string]pair {
	all := map[string]pair{}
	for name, text := range filesOf("*.zh.txt") {
		for _, p := range readPairs(name, string(text)) {
			key := p.english
			if p.step {
				key = stepKey + key
			}
			if _, twice := all[key]; twice {
				panic(fmt.Sprintf("%s: %q stands there twice", name, p.english))
			}
			all[key] = p
		}
	}
	return all
})

// readPairs reads a file: an English line, and below it the Chinese one. Lines that begin with # and empty ones are
// passed over. The line "[sentences]" begins the texts that are for Sentence, too, and "[steps]" those of Step.
func readPairs(name, text string) (list []pair) {
	english, sentence, step := "", false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "[sentences]":
			sentence, step = true, false
		case line == "[steps]":
			sentence, step = false, true
		case line == "" || line[0] == '#':
		case english == "":
			english = line
		default:
			list = append(list, pair{english, line, sentence, step})
			english = ""
		}
	}
	if english != "" {
		panic(fmt.Sprintf("%s: %q has no Chinese text", name, english))
	}
	return list
}

// Format is the format of a text in the language: that of English where there is no other. Spaces and line
// breaks around it stay there.
func (l Language) Format(english string) string {
	if l != Chinese {
		return english
	}
	format := strings.Trim(english, " \n")
	if p, known := pairs()[format]; known {
		before, after, _ := strings.Cut(english, format)
		return before + p.chinese + after
	}
	return english
}

// Sprintf is fmt.Sprintf with the format in the language.
func (l Language) Sprintf(english string, args ...any) string {
	return fmt.Sprintf(l.Format(english), args...)
}

// verb is a verb of package fmt, or the number of one in braces.
var verb = regexp.MustCompile(`%(?:\[(\d)\])?[-+# 0]*\d*(?:\.\d+)?([a-zA-Z%])`)

// pattern finds the values of a sentence.
type pattern struct {
	whole   func() *regexp.Regexp // made when it is needed
	has     string                // the longest part that is no value, which is looked for first
	literal int                   // length of what is no value
	chinese string
}

// patterns are those of the sentences, and steps those of the steps.
var (
	patterns = sync.OnceValue(func() []pattern { return patternsOf(func(p pair) bool { return p.sentence }) })
	steps    = sync.OnceValue(func() []pattern { return patternsOf(func(p pair) bool { return p.step }) })
)

func patternsOf(kind func(pair) bool) (list []pattern) {
	for _, p := range pairs() {
		if kind(p) {
			list = append(list, patternOf(p))
		}
	}
	return list
}

func patternOf(p pair) pattern {
	var b strings.Builder
	literal, at, has := 0, 0, ""
	add := func(s string) {
		literal += len(s)
		if len(s) > len(has) {
			has = s
		}
		b.WriteString(regexp.QuoteMeta(s))
	}
	for _, m := range verb.FindAllStringSubmatchIndex(p.english, -1) {
		add(p.english[at:m[0]])
		at = m[1]
		switch p.english[m[4]:m[5]] {
		case "%":
			add("%")
		case "d":
			b.WriteString(`(-?[0-9][0-9,]*)`)
		case "q":
			b.WriteString(`("(?:[^"\\]|\\.)*")`)
		default:
			b.WriteString(`(.+?)`)
		}
	}
	add(p.english[at:])
	whole := `(?s)^` + b.String() + `$`
	return pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(whole) }), has, literal, p.chinese}
}

// Bounds of what Sentence looks at, as a text may come from another process.
const (
	deepest = 8     // sentences within sentences
	longest = 2_000 // bytes of a line
	places  = 8     // in front of a sentence
)

// Sentence is a text that was made in English, such as a fault of a policy or the reason that a process gives, in the
// language. A text that is not known stays as it is. The lines of a text are sentences of their own.
func (l Language) Sentence(english string) string {
	if l != Chinese {
		return english
	}
	lines := strings.Split(english, "\n")
	for i, line := range lines {
		lines[i] = sentence(line, deepest)
	}
	return strings.Join(lines, "\n")
}

func sentence(text string, deep int) string {
	if deep == 0 || len(text) > longest {
		return text
	}
	if known, ok := match(text, deep); ok {
		return known
	}
	at := colons(text)
	if len(at) == 0 {
		return text
	}
	// an error around another one: the rule log is frozen: no process answers
	for _, i := range at {
		if !strings.Contains(text[:i], " ") {
			continue // it may be the name of a service
		}
		if known, ok := match(text[:i], deep); ok {
			return known + "：" + sentence(text[i+len(": "):], deep-1)
		}
	}
	// a sentence behind its place or its subject, such as services.auth.limits[0]: it limits nothing, or behind the
	// step that failed
	before, behind := text[:at[0]], text[at[0]+len(": "):]
	known := sentence(behind, deep-1)
	if p, values := closest(steps(), before); p != nil && known != behind {
		return fill(p.chinese, values) + "：" + known
	}
	return before + ": " + known
}

// colons are the places of the first colons with a blank behind them.
func colons(text string) (at []int) {
	for from := 0; len(at) < places; {
		i := strings.Index(text[from:], ": ")
		if i < 0 {
			break
		}
		at = append(at, from+i)
		from += i + len(": ")
	}
	return at
}

// Step is a step of the log of releases, such as "ship auth v2", in the language. The operator's
// reason stays as it is.
func (l Language) Step(english string) string {
	if l != Chinese || len(english) > longest {
		return english
	}
	best, values := closest(steps(), english)
	if best == nil {
		return english
	}
	for i := range values {
		if !strings.HasPrefix(english, "start") {
			values[i] = sentence(values[i], deepest)
		}
	}
	return fill(best.chinese, values)
}

// match is the Chinese text of a sentence that is known as a whole.
func match(text string, deep int) (known string, ok bool) {
	best, values := closest(patterns(), text)
	if best == nil {
		return "", false
	}
	for i := range values {
		values[i] = sentence(values[i], deep-1)
	}
	return fill(best.chinese, values), true
}

// closest finds the pattern of a text with the fewest letters in its values; nil: none.
func closest(list []pattern, text string) (best *pattern, values []string) {
	for i := range list {
		p := &list[i]
		if best != nil && p.literal <= best.literal || !strings.Contains(text, p.has) {
			continue
		}
		if found := p.whole().FindStringSubmatch(text); found != nil {
			best, values = p, found[1:]
		}
	}
	return best, values
}

// fill puts values into the places of the verbs.
func fill(format string, values []string) string {
	next := 0
	return verb.ReplaceAllStringFunc(format, func(v string) string {
		if v == "%%" {
			return "%"
		}
		if m := verb.FindStringSubmatch(v); m[1] != "" {
			next = int(m[1][0] - '1')
		}
		next++
		if next > len(values) {
			return v
		}
		return values[next-1]
	})
}
