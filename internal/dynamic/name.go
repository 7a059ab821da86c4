package dynamic

import (
	"fmt"

	"github.com/skerry/skerry/internal/suggest"
)

// didYouMean is ` (did you mean "X"?)` for the candidate nearest to name, or ""
// when none is near.
func didYouMean(name string, candidates []string) string {
	if best := suggest.Closest(name, candidates); best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return ""
}
