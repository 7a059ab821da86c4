package rollout

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Generation is the number of an entry of the rule log. After the database was
// restored from a backup, a new timeline begins, so that no generation stands
// for two sets of rules.
type Generation struct {
	Timeline uint32 `json:"timeline"`
	N        uint64 `json:"n"` // 0 is the empty log
}

// Compare orders by timeline, then by number.
func (g Generation) Compare(o Generation) int {
	return cmp.Or(cmp.Compare(g.Timeline, o.Timeline), cmp.Compare(g.N, o.N))
}

// Before reports whether g is earlier than o.
func (g Generation) Before(o Generation) bool {
	return g.Timeline < o.Timeline || g.Timeline == o.Timeline && g.N < o.N
}

// String returns "17" on timeline 0 and "2:17" on timeline 2.
func (g Generation) String() string {
	if g.Timeline == 0 {
		return strconv.FormatUint(g.N, 10)
	}
	return fmt.Sprintf("%d:%d", g.Timeline, g.N)
}

// ParseGeneration reads what String wrote. Other texts are an error.
func ParseGeneration(s string) (Generation, error) {
	timeline, number, cut := strings.Cut(s, ":")
	if !cut {
		timeline, number = "0", s
	}
	t, err1 := strconv.ParseUint(timeline, 10, 32)
	n, err2 := strconv.ParseUint(number, 10, 64)
	if err1 != nil || err2 != nil {
		return Generation{}, fmt.Errorf("generation %q: want a number, or timeline:number", s)
	}
	return Generation{uint32(t), n}, nil
}
