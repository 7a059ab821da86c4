//go:build linux

package postgres_test

import (
	"testing"

	"github.com/skerry/skerry/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
