package broadcast

import (
	"crypto/sha256"
	"testing"

	"github.com/skerry/skerry/registry"
)

// ring makes packet keys of texts.
func ring(texts ...string) [][]byte {
	var keys [][]byte
	for _, text := range texts {
		key := sha256.Sum256([]byte(text))
		keys = append(keys, key[:])
	}
	return keys
}

func keysOf(texts ...string) func() [][]byte {
	keys := ring(texts...)
	return func() [][]byte { return keys }
}

// TestFirstWordsAreSealed: packets that a process sends to the peers of its last run, before its
// loop has begun, are sealed by the site's key.
func TestFirstWordsAreSealed(t *testing.T) {
	r, err := New(Config{Cluster: "site", Keys: keysOf("k"), Owner: registry.NewOwner(),
		LoadPeers: func() ([]string, error) { return []string{"192.0.2.7:7701"}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	r.queryRememberedOnce()
	if len(r.core.outbox) == 0 {
		t.Fatal("it asks none of the peers that it remembers")
	}
	for _, o := range r.core.outbox {
		if _, err := newCodec("site", ring("k")).open(o.data); err != nil {
			t.Errorf("a packet of the start: %v", err)
		}
	}
}
