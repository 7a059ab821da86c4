package postgres

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// OddRow is a row that no skerry wrote, or that was altered since. Readers skip it.
type OddRow struct {
	Table string
	Row   string // the key of the row, quoted and cut
	Why   string
}

// Limits of memory and log for odd rows, because a table may be full of them.
const (
	maxOdd    = 100 // rows remembered
	maxOddLog = 20  // lines in the log, for as long as the process runs
)

// oddities are the odd rows that were read. The log names each once.
type oddities struct {
	log *slog.Logger

	mu     sync.Mutex
	rows   map[string][]OddRow // by table
	counts map[string]int      // by table, including those that rows has no room for
	said   map[OddRow]bool
	lines  int
}

// add records odd rows. all says that the table has no other ones, so earlier ones are forgotten.
func (o *oddities) add(table string, all bool, rows ...OddRow) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rows == nil {
		o.rows, o.counts, o.said = map[string][]OddRow{}, map[string]int{}, map[OddRow]bool{}
	}
	if all {
		delete(o.rows, table)
		delete(o.counts, table)
	}
	for _, row := range rows {
		if slices.ContainsFunc(o.rows[table], func(known OddRow) bool { return known.Row == row.Row }) {
			continue
		}
		o.counts[table]++
		if o.remembered() < maxOdd {
			o.rows[table] = append(o.rows[table], row)
		}
		o.say(row)
	}
}

func (o *oddities) remembered() (n int) {
	for _, rows := range o.rows {
		n += len(rows)
	}
	return n
}

// say writes a row to the log, once.
func (o *oddities) say(row OddRow) {
	if o.said[row] || o.lines > maxOddLog {
		return
	}
	if o.lines++; o.lines > maxOddLog {
		o.log.Warn(
			"more rows of the database make no sense; they are skipped and no longer named here, `skerry doctor` does",
		)
		return
	}
	o.said[row] = true
	o.log.Warn("a row of the database makes no sense and is skipped; everything else goes on",
		"table", row.Table, "row", row.Row, "why", row.Why)
}

// Odd returns the skipped rows of the cluster, at most a hundred, and their number. Those of
// skerry_instance are as of the latest full read.
func (r *Registry) Odd() (rows []OddRow, count int) {
	o := &r.odd
	o.mu.Lock()
	defer o.mu.Unlock()
	for table := range o.rows {
		rows = append(rows, o.rows[table]...)
		count += o.counts[table]
	}
	slices.SortFunc(rows, func(a, b OddRow) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Row, b.Row))
	})
	return rows, count
}

// oddRow names a row by its key.
func oddRow(table string, why error, key ...any) OddRow {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = brief(fmt.Sprint(k))
	}
	return OddRow{Table: table, Row: strings.Join(parts, " "), Why: clean(why.Error(), 300)}
}

// brief shortens a text from a row for a log, and quotes it unless it is plain.
func brief(s string) string {
	s = clean(s, 80)
	if s == "" ||
		strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '\\' || !printableRune(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// clean makes control characters visible and cuts a text to most bytes.
func clean(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:most]
		for !utf8.ValidString(s) && len(s) > most-utf8.UTFMax {
			s = s[:len(s)-1]
		}
	}
	var b strings.Builder
	for _, r := range s {
		if printableRune(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

func printableRune(r rune) bool { return r != utf8.RuneError && (r == ' ' || unicode.IsGraphic(r)) }

// printable reports whether a text has no control characters and is UTF-8.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// checkRevision reports whether the numbers of skerry_revision are in range.
func (o *oddities) checkRevision(cluster string, rev, kept int64) bool {
	if rev >= 1 && rev <= maxNumber && kept >= 0 && kept <= maxNumber {
		o.add("skerry_revision", true)
		return true
	}
	o.add("skerry_revision", true,
		oddRow("skerry_revision", fmt.Errorf("rev %d, kept %d: out of range", rev, kept), cluster))
	return false
}
