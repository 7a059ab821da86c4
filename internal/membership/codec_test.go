package membership

import (
	"errors"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// TestRecordsOfFormatsToCome: what stands before a record of a later format is read.
func TestRecordsOfFormatsToCome(t *testing.T) {
	e, err := rollout.Entry{Cluster: "test", Generation: rollout.Generation{N: 1}}.Seal()
	if err != nil {
		t.Fatal(err)
	}
	page := append(records(e), rollout.Record{Body: "skerry-entry 2\n?"}.Marshal())
	if got, err := openRecords(page); len(got) != 1 || !errors.Is(err, rollout.ErrNeeds) {
		t.Errorf("%d entries are read of the page: %v", len(got), err)
	}
}

// TestRefusalsKeepTheirErrors: an error that a process refuses by is the same
// error at the process that asked.
func TestRefusalsKeepTheirErrors(t *testing.T) {
	agent := newTestAgent(t)
	s := &Service{m: &Membership{rules: agent}}
	s.m.denials.log = quiet
	for code, want := range refusals {
		if got := refused(s.refuse(t.Context(), "test", want)); !errors.Is(got, want) {
			t.Errorf("%s: %v", code, got)
		}
	}
}
