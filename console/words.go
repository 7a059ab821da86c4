package console

import (
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/words"
)

// language is a language of the pages.
type language = words.Language

// The languages.
const (
	english = words.English
	chinese = words.Chinese
)

// languages are all languages, the default first.
var languages = words.Languages

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
