package policylogtest

import "testing"

func TestMemory(t *testing.T) {
	Store(t, func(*testing.T) Clocked { return &Memory{} })
}
