package theader

import (
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	tests := []struct {
		name, first string
		want        Kind
	}{
		{"header", "\x00\x00\x00\x20\x0f\xff\x00\x01", Headers},
		{"framed binary", "\x00\x00\x00\x20\x80\x01\x00\x01", FramedBinary},
		{"framed compact, call", "\x00\x00\x00\x20\x82\x21\x01\x04", FramedCompact},
		{"framed compact, one-way", "\x00\x00\x00\x20\x82\x81\x01\x04", FramedCompact},
		{"binary", "\x80\x01\x00\x01\x00\x00\x00\x04", UnframedBinary},
		{"compact", "\x82\x21\x01\x04ping", UnframedCompact},
		{"compact of another version", "\x82\x22\x01\x04ping", Unknown},
		{"largest frame", "\x3f\xff\xff\xff\x80\x01\x00\x01", FramedBinary},
		{"over the largest frame", "\x40\x00\x00\x00\x80\x01\x00\x01", Unknown},
		{"HTTP", "GET / HTTP/1.1\r\n", Unknown},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01", Unknown},
		{"framed, without version", "\x00\x00\x00\x20\x00\x00\x00\x04ping", Unknown},
		{"nothing", "", NeedMore},
		{"one byte of a message", "\x80", NeedMore},
		{"length word", "\x00\x00\x00\x20", NeedMore},
		{"length word and a byte", "\x00\x00\x00\x20\x0f", NeedMore},
	}
	for _, tt := range tests {
		if got := Detect([]byte(tt.first)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// More bytes never change an answer, and Sniff bytes always give one.
func FuzzDetect(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x20\x0f\xff\x00\x01"))
	f.Add([]byte("\x80\x01\x00\x01\x00\x00\x00\x04"))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		answer := NeedMore
		for n := range len(b) + 1 {
			k := Detect(b[:n])
			if answer != NeedMore && k != answer {
				t.Fatalf("%v with %d bytes, %v before", k, n, answer)
			}
			answer = k
			if k == NeedMore && n >= Sniff {
				t.Fatalf("no answer with %d bytes", n)
			}
			_, _ = k.String(), Guess(b[:n])
		}
	})
}

func TestGuess(t *testing.T) {
	for first, says := range map[string]string{
		"\x16\x03\x01\x02\x00":                 "TLS",
		"GET / HTTP/1.1":                       "HTTP",
		"POST /":                               "HTTP",
		"\x00\x00\x00\x20\x00\x00\x00\x04ping": "strict",
		"\x00\x01":                             "too short",
		"\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f":     "no Thrift message",
	} {
		if got := Guess([]byte(first)); !strings.Contains(got, says) {
			t.Errorf("%q: %s", first, got)
		}
	}
}
