package main

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/words"
)

// languageOf is the language of what a command prints for people: that of --lang, else of $SKERRY_LANG, else Chinese
// where the locale is a Chinese one.
func languageOf(flag string, getenv func(string) string) (words.Language, error) {
	for _, said := range []struct{ from, value string }{{"--lang", flag}, {"SKERRY_LANG", getenv("SKERRY_LANG")}} {
		switch l := words.Language(said.value); {
		case l == "":
		case slices.Contains(words.Languages, l):
			return l, nil
		default:
			return words.English, usagef("%s: want en or zh, got %q", said.from, said.value)
		}
	}
	locale := cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG"))
	if strings.HasPrefix(strings.ToLower(locale), "zh") {
		return words.Chinese, nil
	}
	return words.English, nil
}

// setLanguage chooses the language of a command. Those of policy and doctor have Chinese texts. JSON is for programs,
// and stays as it is.
func (a *app) setLanguage(cmd *cobra.Command) error {
	l, err := languageOf(a.flags.lang, os.Getenv)
	if err != nil {
		return err
	}
	for c := cmd; c != nil; c = c.Parent() {
		if (c.Name() == "policy" || c.Name() == "doctor") && !a.flags.json {
			a.lang = l
		}
	}
	return nil
}

// say formats a text in the language of the command. Texts among its values are sentences of the packages below.
func (a *app) say(format string, args ...any) quote.Safe {
	if a.lang != words.Chinese {
		return quote.Sprintf(format, args...)
	}
	out := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			out[i] = a.lang.Sentence(arg)
		case quote.Safe:
			out[i] = quote.Safe(a.lang.Sentence(string(arg)))
		case error:
			out[i] = quote.Safe(a.lang.Sentence(string(quote.Error(arg))))
		default:
			out[i] = arg
		}
	}
	return quote.Sprintf(a.lang.Format(format), out...)
}
