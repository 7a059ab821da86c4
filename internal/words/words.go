package words

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/skerry/skerry/internal/yamlfile"
)

// Language is a language of the texts. The zero value is English for Format and Sentence.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Languages are all languages, the default first.
var Languages = []Language{English, Chinese}

//go:embed *.yaml *.txt
var files embed.FS

// texts maps language and key to a text. A text may name values in braces: "{n} instances".
var texts = sync.OnceValue(readTexts)

// readTexts reads the catalogue of keys, which are paths: section.name.
func readTexts() map[Language]map[string]string {
	all := map[Language]map[string]string{}
	for _, l := range Languages {
		all[l] = map[string]string{}
		for name, text := range filesOf("*." + string(l) + ".yaml") {
			var sections map[string]map[string]string
			if err := yamlfile.Unmarshal(name, text, &sections); err != nil {
				panic(err)
			}
			for section, texts := range sections {
				for name, t := range texts {
					all[l][section+"."+name] = t
				}
			}
		}
	}
	return all
}

// filesOf are the files of the catalogue with a name like pattern.
func filesOf(pattern string) map[string][]byte {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		panic(err)
	}
	out := map[string][]byte{}
	for _, name := range names {
		if out[name], err = fs.ReadFile(files, name); err != nil {
			panic(err)
		}
	}
	return out
}

// Keys are the keys of a language, sorted.
func Keys(l Language) []string { return slices.Sorted(maps.Keys(texts()[l])) }

// Text is the text of a key with values in the place of their names: Text("services.of", "n", 3). A key with a value n
// of 1 takes the text at key+"-1" where there is one, and {name|one|many} within a text is a word by its value. An
// unknown key is its own text, so that a fault is seen.
func (l Language) Text(key string, values ...any) string {
	text, ok := texts()[l][key]
	for i := 0; i+1 < len(values); i += 2 {
		if values[i] == "n" && fmt.Sprint(values[i+1]) == "1" {
			if one, has := texts()[l][key+"-1"]; has {
				text, ok = one, true
			}
		}
	}
	if !ok {
		return key
	}
	if len(values) == 0 {
		return text
	}
	text = chosen(text, values)
	pairs := make([]string, 0, len(values))
	for i := 0; i+1 < len(values); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(values[i])+"}", Value(values[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// choice is a word by a number: {n|process|processes}.
var choice = regexp.MustCompile(`\{([a-z]+)\|([^|}]*)\|([^|}]*)\}`)

// chosen puts words in the place of choices: the first one for a value of 1.
func chosen(text string, values []any) string {
	if !strings.Contains(text, "|") {
		return text
	}
	return choice.ReplaceAllStringFunc(text, func(m string) string {
		parts := choice.FindStringSubmatch(m)
		for i := 0; i+1 < len(values); i += 2 {
			if values[i] == parts[1] && fmt.Sprint(values[i+1]) == "1" {
				return parts[2]
			}
		}
		return parts[3]
	})
}

// Value is a value within a text. Numbers have commas.
func Value(v any) string {
	switch v := v.(type) {
	case int:
		return Grouped(int64(v))
	case int64:
		return Grouped(v)
	}
	return fmt.Sprint(v)
}

// Grouped is a number with a comma between its thousands.
func Grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
