package console

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/yamlfile"
)

// Language is a language of the pages.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Languages are all languages, the default first.
var Languages = []Language{English, Chinese}

//go:embed words/*.yaml
var wordFiles embed.FS

// words maps language and key to a text. A text may name values in braces: "{n} instances".
var words = readWords()

// readWords reads the catalogue. Its keys are paths: section.name.
func readWords() map[Language]map[string]string {
	all := map[Language]map[string]string{}
	for _, l := range Languages {
		text, err := fs.ReadFile(wordFiles, path.Join("words", string(l)+".yaml"))
		if err != nil {
			panic(err)
		}
		var sections map[string]map[string]string
		if err := yamlfile.Unmarshal("words/"+string(l)+".yaml", text, &sections); err != nil {
			panic(err)
		}
		all[l] = map[string]string{}
		for section, texts := range sections {
			for name, t := range texts {
				all[l][section+"."+name] = t
			}
		}
	}
	return all
}

// Text is the text of a key with values in the place of their names: Text("services.of", "n", 3). A key with a value n
// of 1 takes the text at key+".1" where there is one. An unknown key is its own text, so that a fault is seen.
func (l Language) Text(key string, values ...any) string {
	texts := words[l]
	text, ok := texts[key]
	for i := 0; i+1 < len(values); i += 2 {
		if values[i] == "n" && fmt.Sprint(values[i+1]) == "1" {
			if one, has := texts[key+"-1"]; has {
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
	pairs := make([]string, 0, len(values))
	for i := 0; i+1 < len(values); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(values[i])+"}", l.value(values[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// value is a value within a text. Numbers have commas.
func (l Language) value(v any) string {
	switch v := v.(type) {
	case int:
		return grouped(int64(v))
	case int64:
		return grouped(v)
	}
	return fmt.Sprint(v)
}

// grouped is a number with a comma between its thousands.
func grouped(n int64) string {
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

// languageOf chooses by the cookie, then by the browser's header Accept-Language.
func languageOf(cookie, accept string) Language {
	if slices.Contains(Languages, Language(cookie)) {
		return Language(cookie)
	}
	best, weight := English, -1.0
	for _, part := range strings.Split(accept, ",") {
		tag, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		tag, _, _ = strings.Cut(strings.ToLower(tag), "-")
		w := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(q), "q="); ok {
			w, _ = strconv.ParseFloat(v, 64)
		}
		if slices.Contains(Languages, Language(tag)) && w > weight {
			best, weight = Language(tag), w
		}
	}
	return best
}

// wordKeys are the keys of a language, sorted.
func wordKeys(l Language) []string { return slices.Sorted(maps.Keys(words[l])) }
