package dynamic

import (
	"path/filepath"
	"testing"

	"github.com/skerry/skerry/internal/idltext"
)

// TestLoadTexts: what was read as text at another place is the same description, with its includes, and nothing is
// looked for on the disk.
func TestLoadTexts(t *testing.T) {
	file := filepath.Join("testdata", "everything.thrift")
	read, err := idltext.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	for _, f := range read {
		texts[f.Name] = f.Text
	}
	direct, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := LoadTexts(read[0].Name, texts)
	if err != nil {
		t.Fatal(err)
	}
	want, got := direct.Services(), sent.Services()
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("%d services, want %d", len(got), len(want))
	}
	for i, s := range want {
		for j, m := range s.Methods() {
			o := got[i].Methods()[j]
			if o.Signature() != m.Signature() || string(o.Template()) != string(m.Template()) {
				t.Errorf("%s, want %s", o.Signature(), m.Signature())
			}
		}
	}
	if len(read) < 2 {
		t.Fatal("the file includes none")
	}
	delete(texts, read[1].Name)
	if _, err := LoadTexts(read[0].Name, texts); err == nil {
		t.Error("an included file was not sent, and none is missed")
	}
	if _, err := LoadTexts("/etc/passwd", texts); err == nil {
		t.Error("a file that was not sent was read")
	}
}
