package proxy

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"sync"
)

const (
	idSize   = 3  // characters of a word that name the proxy process
	wordMost = 24 // characters of a word
)

// newID returns a random name for this process, which distinguishes it from the
// other proxies of a host.
func newID() string {
	var b [idSize]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])[:idSize]
}

// words holds the running incoming calls of one program. Its methods are safe for
// concurrent use.
type words struct {
	id string

	mu   sync.Mutex
	live map[string]*servedCall // by the whole word
}

// servedCall is an incoming call that the program works on.
type servedCall struct {
	ctx  context.Context
	held sync.WaitGroup // one-way calls of the program that are not sent yet
}

func newWords(id string) *words { return &words{id: id, live: map[string]*servedCall{}} }

// begin returns a word for an incoming call. The word is valid until end is called.
// end waits until the one-way calls that the program made with the word are sent: the
// program goes on, and may end the call, before they are.
func (w *words) begin(ctx context.Context) (word string, end func()) {
	var b [12]byte
	rand.Read(b[:])
	word = w.id + base64.RawURLEncoding.EncodeToString(b[:])
	call := &servedCall{ctx: ctx}
	w.mu.Lock()
	w.live[word] = call
	w.mu.Unlock()
	return word, func() {
		w.mu.Lock()
		delete(w.live, word)
		w.mu.Unlock()
		call.held.Wait()
	}
}

// find returns the context of the call with a word, nil when there is none. With hold,
// the end of the word waits until release is called.
func (w *words) find(word string, hold bool) (ctx context.Context, release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	call := w.live[word]
	switch {
	case call == nil:
		return nil, nil
	case !hold:
		return call.ctx, func() {}
	}
	call.held.Add(1)
	return call.ctx, call.held.Done
}

// running returns how many incoming calls have a word.
func (w *words) running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.live)
}

// parseWord parses the context of a program's call: "WORD", or "WORD.MS" with the
// milliseconds that were left. It returns the word and the name of its proxy.
func parseWord(text string) (word, id string, ok bool) {
	word, _, _ = strings.Cut(text, ".")
	if len(word) <= idSize || len(word) > wordMost {
		return "", "", false
	}
	for i := range len(word) {
		c := word[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '_' {
			return "", "", false
		}
	}
	return word, word[:idSize], true
}
