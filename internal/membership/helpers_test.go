package membership

import (
	"log/slog"
	"testing"

	"github.com/skerry/skerry/internal/rollout/participant"
)

var quiet = slog.New(slog.DiscardHandler)

func must(t *testing.T, step string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
}

func newTestAgent(t *testing.T) *participant.Agent {
	t.Helper()
	a, err := participant.New(participant.Config{Process: "here/1/e"})
	must(t, "agent", err)
	return a
}
