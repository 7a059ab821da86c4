package console

import (
	"net/http"
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

// requested is the language of the pages that a request asks for.
func requested(r *http.Request) language {
	return languageOf(cookieOf(r, "lang"), r.Header.Get("Accept-Language"))
}

// deny answers with a text and no page: the request came from no page of the console, or no page can be drawn.
func deny(w http.ResponseWriter, r *http.Request, text string, status int) {
	http.Error(w, requested(r).Sentence(text), status)
}
