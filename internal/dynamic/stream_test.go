package dynamic

import (
	"io"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

const streamIDL = `
struct Point { 1: i64 t, 2: string text, 3: Inner inner }
struct Inner { 1: string at }
struct Range { 1: i64 since, 2: Inner inner }
service Feed {
  Point watch(1: Range r) (skerry.stream = "server", skerry.resume = "r.since = t")
  Point deep(1: Range r) (streaming.mode = "server", skerry.resume = "r.inner.at = inner.at")
  string texts(1: string after) (skerry.stream = "server", skerry.resume = "after")
  i64 upload(1: string tag, 2: Point point) (skerry.stream = "client", skerry.item = "point")
  Point talk(1: Point p) (streaming.mode = "bidirectional")
  Point call(1: Point p) (streaming.mode = "unary")
  Point odd(1: Point p) (skerry.stream = "up")
  Point both(1: i64 a, 2: i64 b) (skerry.stream = "bidi")
  Point lost(1: Range r) (skerry.stream = "server", skerry.resume = "r.sinc")
  Point unlike(1: Range r) (skerry.stream = "server", skerry.resume = "r.since = text")
  void empty() (skerry.stream = "server")
}`

func streamOf(t *testing.T, method string) (*Method, *Stream, error) {
	t.Helper()
	f, err := LoadTexts("/a.thrift", map[string][]byte{"/a.thrift": []byte(streamIDL)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Services()[0].Method(method)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Stream()
	return m, s, err
}

func TestStreamsByAnnotation(t *testing.T) {
	for method, want := range map[string]string{
		"watch": "server", "deep": "server", "upload": "client", "talk": "bidi", "call": "",
		"odd": `! mode "up"`, "both": "! names no argument", "lost": `! no field "sinc"`, "unlike": "! type string",
		"empty": "! has no items",
	} {
		_, s, err := streamOf(t, method)
		have := ""
		switch {
		case err != nil:
			have = "! " + err.Error()
		case s != nil:
			have = s.Mode
		}
		if part, wrong := strings.CutPrefix(want, "! "); have != want && !(wrong && strings.Contains(have, part)) {
			t.Errorf("%s: have %q, want %q", method, have, want)
		}
	}
}

// The cursor of an item, set in the arguments, is that of the item; texts beyond ASCII and quotes come back whole.
func TestCursor(t *testing.T) {
	for method, c := range map[string]struct{ item, cursor, args string }{
		"watch": {`{"t":7}`, `7`, `{"r":{"since":7}}`},
		"deep":  {`{"inner":{"at":"a\"😀é\n"}}`, `"a\"\ud83d\ude00\u00e9\n"`, `{"r":{"inner":{"at":"a\"😀é\n"}}}`},
		"texts": {`"x"`, `"x"`, `{"after":"x"}`},
	} {
		m, s, err := streamOf(t, method)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := m.Reply([]byte(c.item))
		if err != nil {
			t.Fatal(err)
		}
		item := m.Receiver()
		buffer := thrift.NewTMemoryBuffer()
		p := thrift.NewTBinaryProtocolConf(buffer, nil)
		if err := reply.Write(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := item.Read(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		cursor := s.Cursor(item.GetSuccess())
		args, err := s.Opening(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Resume(args, cursor); err != nil || cursor != c.cursor || string(args.JSON()) != c.args {
			t.Errorf("%s: cursor %s, arguments %s, %v", method, cursor, args.JSON(), err)
		}
		if s.Resume(args, "{") == nil || s.Resume(args, `[1]`) == nil {
			t.Errorf("%s: a wrong cursor is accepted", method)
		}
	}
	if _, s, _ := streamOf(t, "talk"); s.Resume(nil, "1") == nil {
		t.Error("a stream without a cursor is resumed")
	}
}

func TestLines(t *testing.T) {
	l := NewLines(strings.NewReader("\ufeff{}\r\n\n "+strings.Repeat("x", 5000)+"\nlast"), 5100)
	var got []string
	for {
		text, err := l.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text[:min(4, len(text))]))
	}
	if strings.Join(got, ",") != "{},xxxx,last" || l.Number() < 4 {
		t.Errorf("%q, line %d", got, l.Number())
	}
	if _, err := NewLines(strings.NewReader(strings.Repeat("x", 9000)), 5000).Next(); err == nil {
		t.Error("a line above the limit is read")
	}
}
