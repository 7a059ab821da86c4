package policylogtest

import (
	"testing"

	"github.com/skerry/skerry/internal/policylog"
)

func TestMemory(t *testing.T) {
	Store(t, func(*testing.T) policylog.Store { return &Memory{} })
}
