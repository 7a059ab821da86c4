package testsite

import "testing"

// TestPortsAreGivenBack: a test gives its port back, so that any number of tests finds one.
func TestPortsAreGivenBack(t *testing.T) {
	for range 2 * blocks {
		if !t.Run("test", func(t *testing.T) { Port(t) }) {
			return
		}
	}
}
