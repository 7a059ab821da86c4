package broadcast

import "crypto/sha256"

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
