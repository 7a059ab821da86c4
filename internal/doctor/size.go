package doctor

import "github.com/skerry/skerry/internal/number"

// size is a number of bytes, as a person reads it.
func size(n uint64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n>>u.shift > 0 {
			return number.Text(float64(n)/float64(uint64(1)<<u.shift), 3) + " " + u.name
		}
	}
	return number.Text(float64(n), 3) + " bytes"
}
