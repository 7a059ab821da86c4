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

// language is a language of the pages.
type language string

// The languages.
const (
	english language = "en"
	chinese language = "zh"
)

// languages are all languages, the default first.
var languages = []language{english, chinese}

//go:embed words/*.yaml
var wordFiles embed.FS

// words maps language and key to a text. A text may name values in braces: "{n} instances".
var words = readWords()

// readWords reads the catalogue. Its keys are paths: section.name.
func readWords() map[language]map[string]string {
	all := map[language]map[string]string{}
	for _, l := range languages {
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
func (l language) Text(key string, values ...any) string {
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
func (l language) value(v any) string {
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

// languageOf chooses by the cookie, then by the browser's header Accept-language.
func languageOf(cookie, accept string) language {
	if slices.Contains(languages, language(cookie)) {
		return language(cookie)
	}
	best, weight := english, -1.0
	for _, part := range strings.Split(accept, ",") {
		tag, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		tag, _, _ = strings.Cut(strings.ToLower(tag), "-")
		w := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(q), "q="); ok {
			w, _ = strconv.ParseFloat(v, 64)
		}
		if slices.Contains(languages, language(tag)) && w > weight {
			best, weight = language(tag), w
		}
	}
	return best
}

// wordKeys are the keys of a language, sorted.
func wordKeys(l language) []string { return slices.Sorted(maps.Keys(words[l])) }
