package releases

import (
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/number"
)

// Title returns a service with its version.
func Title(service, version string) string {
	if version == "" {
		return service
	}
	return service + "/" + version
}

// listOr returns the names joined in order, or none for an empty list.
func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}

// Silence returns how long a process has been silent, as far as it is known here.
func Silence(d time.Duration) string {
	if d < time.Second {
		return ""
	}
	return " for " + number.Age(d)
}
