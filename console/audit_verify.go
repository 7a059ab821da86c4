package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// AuditReport is what a check of an audit log says.
type AuditReport struct {
	Lines  int         `json:"lines"`
	First  uint64      `json:"first"` // number of the first line that is kept; older ones than 400 days are not
	Last   uint64      `json:"last"`
	Since  time.Time   `json:"since,omitzero"`
	Until  time.Time   `json:"until,omitzero"`
	Head   string      `json:"head"`             // hash of the last line: kept elsewhere, it proves all before
	Torn   int         `json:"torn,omitzero"`    // bytes of a last line without an end
	Broken *AuditBreak `json:"broken,omitempty"` // nil: the chain is whole
	Found  bool        `json:"found"`            // the hash that was asked for is the one of a line

	// Open are actions that have begun and have no line of their end, by number: they are under way, or the console was
	// killed in the middle, and their outcome is unknown.
	Open []AuditOpen `json:"open,omitempty"`

	file string // the last one
}

// AuditBreak is the first line of an audit log that does not follow the one before.
type AuditBreak struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// AuditOpen is an action that has begun and has no line of its end.
type AuditOpen struct {
	N      uint64    `json:"n"`
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	Name   string    `json:"name"`
	Asked  string    `json:"asked,omitempty"` // of the form: what is meant
}

func (b *AuditBreak) Error() string { return fmt.Sprintf("%s, line %d: %s", b.File, b.Line, b.Why) }

// hashDigits is the least number of digits of a hash that names a line.
const hashDigits = 12

// VerifyAudit checks the chain of the audit log in a directory. hash is the one of a line that must be there, or its
// first digits, "" for none.
func VerifyAudit(dir, hash string) (AuditReport, error) {
	if hash != "" && len(hash) < hashDigits {
		return AuditReport{}, fmt.Errorf("%q is too short for a hash: give its first %d digits at least", hash,
			hashDigits)
	}
	found := false
	report, err := readAudit(dir, func(r record) { found = found || hash != "" && strings.HasPrefix(r.hash, hash) })
	report.Found = found
	return report, err
}

// readAudit reads all lines, and checks that each follows the one before. A broken chain is in the report, not an
// error.
func readAudit(dir string, each func(record)) (report AuditReport, err error) {
	names, err := segments(dir)
	if err != nil {
		return report, err
	}
	prev, open := "", map[uint64]AuditOpen{}
	defer func() {
		for _, n := range slices.Sorted(maps.Keys(open)) {
			report.Open = append(report.Open, open[n])
		}
	}()
	for i, name := range names {
		text, err := statedir.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && i == 0 {
			continue // it was removed meanwhile as too old
		}
		if err != nil {
			return report, err
		}
		report.file = name
		for n := 1; len(text) > 0; n++ {
			line, rest, whole := bytes.Cut(text, []byte("\n"))
			text = rest
			if !whole && i == len(names)-1 {
				report.Torn = len(line)
				break
			}
			var r record
			why := ""
			d := json.NewDecoder(bytes.NewReader(line))
			d.DisallowUnknownFields()
			if err := d.Decode(&r); err != nil || d.Decode(new(any)) != io.EOF {
				why = "it is no record: " + cmp.Or(errText(err), "more follows")
			}
			r.hash = hashOf(line)
			switch {
			case why != "":
				r.N = report.Last + 1
			case report.Lines == 0: // the first that is kept
				report.First = r.N
				switch {
				case r.N == 1 && r.Prev != "":
					why = "the first line has another one before it"
				case !beginsWith(name, r.N):
					why = fmt.Sprintf("the file begins with record %d and is named after another: lines are missing",
						r.N)
				}
			case r.Prev != prev:
				why = fmt.Sprintf("record %d does not follow the line before: that was changed, or lines are missing",
					r.N)
			case r.N != report.Last+1:
				why = fmt.Sprintf("record %d stands behind record %d", r.N, report.Last)
			}
			if why != "" && report.Broken == nil {
				report.Broken = &AuditBreak{name, n, why}
			}
			if report.Lines++; report.Since.IsZero() {
				report.Since = r.At
			}
			report.Last, report.Head, prev = r.N, r.hash, r.hash
			if !r.At.IsZero() {
				report.Until = r.At
			}
			if r.Outcome == begunIt {
				open[r.N] = AuditOpen{r.N, r.At, r.Action, r.Name, r.Asked}
			}
			delete(open, r.Of)
			each(r)
		}
	}
	return report, nil
}

// beginsWith reports whether the first record of a file can be one of this number: old files are removed whole, and the
// name of each has the number. A saved copy may have another name.
func beginsWith(name string, n uint64) bool {
	digits := strings.TrimSuffix(strings.TrimPrefix(name, segmentPrefix), segmentSuffix)
	first, err := strconv.ParseUint(digits, 10, 64)
	return err != nil || first == n
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
