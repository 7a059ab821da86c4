package lab

import "github.com/skerry/skerry/internal/testsite"

// Keys of sites, for tests and benchmarks; see package testsite.
const (
	SiteKey      = testsite.SiteKey
	OtherSiteKey = testsite.OtherSiteKey
)

// Port is a UDP port that is free; see [testsite.Port].
func Port(t T) int {
	t.Helper()
	return testsite.Port(t)
}
