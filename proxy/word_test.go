package proxy

import (
	"context"
	"strings"
	"testing"
)

func TestWordsAreKnownWhileTheirCallRuns(t *testing.T) {
	a, b := newWords("abc"), newWords("abc")
	ctx := context.WithValue(t.Context(), t, "the call")
	word, end := a.begin(ctx)
	if len(word) > wordMost || !strings.HasPrefix(word, "abc") {
		t.Errorf("word %q", word)
	}
	if got, id, ok := parseWord(word + ".250"); got != word || id != "abc" || !ok {
		t.Errorf("%q, %q, %v", got, id, ok)
	}
	if a.find(word) != ctx || a.running() != 1 {
		t.Error("the word is not known while its call runs")
	}
	if b.find(word) != nil {
		t.Error("a word of one program is known to another")
	}
	end()
	if a.find(word) != nil || a.running() != 0 {
		t.Error("the word outlives its call")
	}
}

func TestWordsThatAreNone(t *testing.T) {
	for _, text := range []string{"", ".", "abc", "abc.5", strings.Repeat("x", wordMost+1), "abcd efgh", "abcd;efg",
		"abcd:efg", "abcdé"} {
		if word, _, ok := parseWord(text); ok {
			t.Errorf("%q was read as the word %q", text, word)
		}
	}
}

// FuzzParseWord checks that an accepted word is a prefix of its text and contains no
// separators. So it can stand in front of a method's name.
func FuzzParseWord(f *testing.F) {
	for _, seed := range []string{"abcDEF-_0123456789", "abcd.250", "", "....", "ctx=abcd;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		word, id, ok := parseWord(text)
		if !ok {
			return
		}
		if len(word) > wordMost || !strings.HasPrefix(text, word) || !strings.HasPrefix(word, id) ||
			strings.ContainsAny(word, ".;:= \x00") {
			t.Errorf("%q was read as %q of %q", text, word, id)
		}
	})
}
