package membership

import (
	"fmt"

	"github.com/skerry/skerry/internal/rollout"
)

// records are entries as they travel.
func records(entries ...rollout.Entry) [][]byte {
	out := make([][]byte, len(entries))
	for i, e := range entries {
		out[i] = e.Record().Marshal()
	}
	return out
}

// openRecords reads entries as they travel, up to the first that is none, or is
// of a format to come.
func openRecords(records [][]byte) ([]rollout.Entry, error) {
	out := make([]rollout.Entry, len(records))
	for i, b := range records {
		r, err := rollout.ParseRecord(b)
		if err == nil {
			out[i], err = r.Open()
		}
		if err != nil {
			return out[:i], fmt.Errorf("record %d: %w", i, err)
		}
	}
	return out, nil
}
