package table

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	table := Table{Head: []string{"peer", "× faster"}}
	table.Add("a|b", 1)
	table.Add("µs", "10.25")
	var b strings.Builder
	table.Write(&b)
	const want = `| peer | × faster |
| ---- | -------: |
| a\|b |        1 |
| µs   |    10.25 |
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestEmptyTable(t *testing.T) {
	var b strings.Builder
	(&Table{Head: []string{"a"}}).Write(&b)
	if b.String() != "" {
		t.Errorf("an empty table is written: %q", b.String())
	}
}
