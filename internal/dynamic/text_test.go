package dynamic

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loadText compiles a .thrift file of this text.
func loadText(t *testing.T, text string) (*File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kit.thrift")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestEncodingsOfFiles(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark": "\xef\xbb\xbfservice S { i32 a(1: i32 b) }\n",
		"comment in GBK":  "// \xb7\xa2\xc9\xe4\nservice S { i32 a(1: i32 b) }\n",
	} {
		if _, err := loadText(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := loadText(t, "\xff\xfes\x00"); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Errorf("UTF-16: %v", err)
	}
}

func TestEncodingsOfArguments(t *testing.T) {
	m := method(t, "echo")
	for name, text := range map[string]string{"byte order mark": "\ufeff{}", "only a mark": "\ufeff"} {
		if _, err := m.Args([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]string{
		"{\"a\":\n\"\xb7\xa2\"}": `line 2: the bytes "\xb7\xa2" are no UTF-8`, "\xff\xfe{\x00": "UTF-16",
	} {
		if _, err := m.Args([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestTextThatIsNoUTF8: its bytes are shown, and the text is counted.
func TestTextThatIsNoUTF8(t *testing.T) {
	if got := string(appendText(nil, "a\xb7\xa2b发")); got != `"a\\xb7\\xa2b发"` {
		t.Errorf("shown as %s", got)
	}
	m := method(t, "echo")
	args, err := m.Args([]byte(`{"value": {"leaf": {"text": "x"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	value := args.values[args.fields[0].ID].(*Struct)
	leaf := value.values[1].(*Struct)
	leaf.values[7] = "\xb7\xa2"
	if back := through(t, "binary", m, args); back.NotUTF8 != 1 {
		t.Errorf("counted %d", back.NotUTF8)
	}
}

func TestNumbersAreWrittenOut(t *testing.T) {
	for f, want := range map[float64]string{
		1e6: "1000000", 123456789.5: "123456789.5", 0.0001: "0.0001", 1e21: "1e+21",
	} {
		if got := string(appendDouble(nil, f)); got != want {
			t.Errorf("%g is %s, want %s", f, got, want)
		}
	}
}
