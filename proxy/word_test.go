package proxy

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
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
	if found(a, word) != ctx || a.running() != 1 {
		t.Error("the word is not known while its call runs")
	}
	if found(b, word) != nil {
		t.Error("a word of one program is known to another")
	}
	end()
	if found(a, word) != nil || a.running() != 0 {
		t.Error("the word outlives its call")
	}
}

func found(w *words, word string) context.Context {
	ctx, _ := w.find(word, false)
	return ctx
}

// A program may end a call before the proxy has sent the one-way calls that it made.
func TestTheEndOfAWordWaitsForOneWayCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWords("abc")
		ctx, cancel := context.WithCancel(t.Context())
		word, end := w.begin(ctx)
		call, release := w.find(word, true)
		go func() {
			end()
			cancel()
		}()
		synctest.Wait()
		if call.Err() != nil {
			t.Error("the call ended before its one-way call was sent")
		}
		if found(w, word) != nil {
			t.Error("the word is known after the program has ended the call")
		}
		release()
		synctest.Wait()
		if call.Err() == nil {
			t.Error("the call goes on after its one-way call was sent")
		}
	})
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
