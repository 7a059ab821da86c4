package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// record is a line of the audit log. Prev is the hash of the line before, over its bytes, so that a line can't be
// changed or taken out without a trace in all that follow.
type record struct {
	N       uint64    `json:"n"`
	Prev    string    `json:"prev"`
	At      time.Time `json:"at"`
	Action  string    `json:"action"` // of the table of actions; "in" is a sign-in
	Name    string    `json:"name"`
	Role    role      `json:"role"`
	Address string    `json:"address"`
	Reason  string    `json:"reason,omitempty"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Outcome string    `json:"outcome"`
	Why     string    `json:"why,omitempty"`
	Asked   string    `json:"asked,omitempty"` // of what begins: fields of the form that say what is meant
	Of      uint64    `json:"of,omitempty"`    // of what has ended: the number of the line of its begin

	hash string // of this line
	said phrase // Why in the words of pages; empty in records of an earlier run
}

// The outcomes of a record.
const (
	begunIt = "begun" // the line before an action; the line that ends it has another outcome
	didIt   = "done"
	refusal = "refused"
	failure = "failed" // on its way: see the site for what it has done
	shownIt = "shown"  // as a command to confirm at a terminal
)

// recordOf is the record of an action.
func recordOf(a action, by actor, reason string, o outcome, err error) record {
	r := record{Action: a.Name, Name: by.Name, Role: by.Role, Address: by.Addr.String(), Reason: reason,
		Before: o.Before, After: o.After, Outcome: didIt}
	switch {
	case err != nil:
		r.Outcome, r.Why, r.said = failure, err.Error(), phraseOf(err)
		if _, ok := errors.AsType[*refused](err); ok {
			r.Outcome = refusal
		}
	case o.Confirm != nil:
		r.Outcome, r.Why = shownIt, o.Confirm.Code
	}
	return r
}

// The log is kept in files of segmentSize, the oldest of which are removed beyond keptTime or keptSize.
const (
	segmentSize  = 5 << 20
	keptSize     = 50 << 20
	keptTime     = 400 * 24 * time.Hour
	keptRecords  = 2000 // in memory, for pages
	mostRefusals = 20   // a minute; more are counted only, so that a stranger does not fill the log
	dayRefusals  = 300  // a day, for the same: in 400 days they take less than keptSize
	maxText      = 1000 // bytes of a value
)

const (
	segmentPrefix  = "console-audit-"
	segmentSuffix  = ".jsonl"
	segmentPattern = segmentPrefix + "*" + segmentSuffix
	segmentName    = segmentPrefix + "%012d" + segmentSuffix // with the number of its first record
)

// auditLog keeps the records of a console, in files when it has a directory.
type auditLog struct {
	dir string // "": memory only; nothing is written after close
	log *slog.Logger
	now func() time.Time

	full, most int64 // segmentSize and keptSize

	mu     sync.Mutex
	file   *os.File // nil: the next record opens one
	size   int64
	last   record // with N and hash
	recent []record
	broken string    // what the log's check at the start has found; "": nothing
	pruned time.Time // when old files were looked for last

	ended   bool
	running map[uint64]bool // numbers of the lines of actions that have begun here and have not ended

	minute, day refusals
	uncounted   int // refusals since the last record, without one of their own
}

// refusals are counted in a time.
type refusals struct {
	begun time.Time
	n     int
}

// more counts a refusal, and reports whether there are more than most within span.
func (r *refusals) more(now time.Time, span time.Duration, most int) bool {
	if now.Sub(r.begun) >= span {
		*r = refusals{begun: now}
	}
	r.n++
	return r.n > most
}

// newAuditLog returns a log in memory.
func newAuditLog(log *slog.Logger, now func() time.Time) *auditLog {
	return &auditLog{log: log, now: now, full: segmentSize, most: keptSize, running: map[uint64]bool{}}
}

// openAudit reads the log of a directory and goes on with it.
func openAudit(dir string, log *slog.Logger, now func() time.Time) (*auditLog, error) {
	l := newAuditLog(log, now)
	if l.dir = dir; dir == "" {
		return l, nil
	}
	report, err := readAudit(dir, func(r record) {
		l.last = r
		if l.recent = append(l.recent, r); len(l.recent) > 2*keptRecords {
			l.recent = slices.Clone(l.recent[keptRecords:])
		}
	})
	if err != nil {
		return nil, err
	}
	if report.Torn > 0 {
		name := filepath.Join(dir, report.file)
		f, err := statedir.Append(name)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil {
			err = f.Truncate(info.Size() - int64(report.Torn))
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("cut the torn end off %s: %w", name, err)
		}
		l.add(record{Action: "audit", Name: "console", Outcome: didIt,
			Why: fmt.Sprintf("a line that was torn by the end of the process was cut off: %d bytes", report.Torn)})
	}
	if report.Broken != nil {
		l.broken = report.Broken.Error()
		log.Error("the audit log of the console was changed by another program", "err", l.broken)
	}
	return l, nil
}

// takeOver goes on with the log of a directory, before there are records.
func (l *auditLog) takeOver(of *auditLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dir, l.last, l.recent, l.broken = of.dir, of.last, of.recent, of.broken
	l.file, l.size = of.file, of.size
}

// begin appends the line of an action that begins, and returns its number. A console that is killed before
// [auditLog.end] leaves this line, and its outcome is unknown. The number is 0 when the line can't be written: the
// action goes on, as an operator must be able to turn a release back where the disk is full.
func (l *auditLog) begin(r record) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Outcome = begunIt
	if !l.append(r) {
		return 0
	}
	l.running[l.last.N] = true
	return l.last.N
}

// end appends the outcome of the action that has begun with a line of this number.
func (l *auditLog) end(of uint64, r record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Of = of
	l.append(r)
	delete(l.running, of)
}

// lost says that nothing will tell the outcome of the action that has begun with a line of this number.
func (l *auditLog) lost(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, n)
}

// add appends a record without a line before it of its begin.
func (l *auditLog) add(r record) { l.end(0, r) }

// append appends a record, and reports whether it was written. Refusals beyond mostRefusals a minute and dayRefusals a
// day are counted in the next one, but for those that end an action. What can't be written is logged, and kept for the
// pages; the chain goes on behind the last line that was written. The caller holds mu.
func (l *auditLog) append(r record) bool {
	if now := l.now(); r.Outcome == refusal && r.Of == 0 {
		minute, day := l.minute.more(now, time.Minute, mostRefusals), l.day.more(now, 24*time.Hour, dayRefusals)
		if minute || day {
			l.uncounted++
			return false
		}
	}
	if l.uncounted > 0 && r.Outcome != begunIt {
		r.Why = strings.TrimPrefix(fmt.Sprintf("%s; %d more were refused before", r.Why, l.uncounted), "; ")
		l.uncounted = 0
	}
	r.At, r.N, r.Prev = l.now().UTC().Round(time.Millisecond), l.last.N+1, l.last.hash
	for _, text := range []*string{&r.Name, &r.Reason, &r.Before, &r.After, &r.Why, &r.Asked} {
		if len(*text) > maxText {
			*text = strings.ToValidUTF8((*text)[:maxText], "") + "…"
		}
	}
	line, err := json.Marshal(r)
	if err != nil {
		l.log.Error("the audit log of the console can't write a record", "err", err)
		return false
	}
	r.hash = hashOf(line)
	err = l.write(append(line, '\n'))
	if err != nil {
		l.log.Error("the audit log of the console can't be written; the record stands in this log only", "dir", l.dir,
			"err", err)
	} else {
		l.last = r
	}
	if err == nil || r.Outcome != begunIt { // the number of a line that is not there goes to the next one
		l.recent = append(l.recent, r)
	}
	if len(l.recent) > 2*keptRecords {
		l.recent = slices.Clone(l.recent[keptRecords:])
	}
	l.log.Info("console: "+r.Action, "outcome", r.Outcome, "name", r.Name, "role", r.Role.String(),
		"address", r.Address, "reason", r.Reason, "why", r.Why, "n", r.N, "hash", r.hash)
	return err == nil
}

// write appends a line to the newest file.
func (l *auditLog) write(line []byte) error {
	if l.dir == "" {
		return nil
	}
	if l.ended {
		return os.ErrClosed
	}
	now := l.now()
	fresh := l.file == nil || l.size >= l.full
	if fresh {
		if err := l.open(); err != nil {
			return err
		}
	}
	if fresh || now.Sub(l.pruned) > 24*time.Hour {
		l.pruned = now
		l.prune(now)
	}
	n, err := l.file.Write(line)
	if err == nil {
		err = l.file.Sync()
	}
	l.size += int64(n)
	if err != nil {
		l.file.Truncate(l.size - int64(n)) // a part of a line would be torn
		l.size -= int64(n)
		l.file.Close()
		l.file = nil
	}
	return err
}

// open opens the newest file, or the next one when that is full.
func (l *auditLog) open() error {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	names, err := segments(l.dir)
	if err != nil {
		return err
	}
	name := fmt.Sprintf(segmentName, l.last.N+1)
	if len(names) > 0 {
		newest := names[len(names)-1]
		if info, err := statedir.Stat(filepath.Join(l.dir, newest)); err == nil && info.Size() < l.full {
			name = newest
		}
	}
	f, err := statedir.Append(filepath.Join(l.dir, name))
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, info.Size()
	return nil
}

// prune removes the oldest files.
func (l *auditLog) prune(now time.Time) {
	names, err := segments(l.dir)
	if err != nil {
		return
	}
	total := int64(0)
	for i, name := range slices.Backward(names) {
		info, err := statedir.Stat(filepath.Join(l.dir, name))
		if err != nil || i == len(names)-1 {
			continue
		}
		total += info.Size()
		if total > l.most-l.full || now.Sub(info.ModTime()) > keptTime {
			if err := statedir.Remove(filepath.Join(l.dir, name)); err == nil {
				l.log.Info("a file of the console's audit log is old and was removed", "file", name)
			}
		}
	}
}

// state returns the newest records, oldest first, and what the check at the start has found.
func (l *auditLog) state() (recent []record, broken string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.recent[max(0, len(l.recent)-keptRecords):]), l.broken
}

// runs reports whether the action that has begun with a line of this number is under way.
func (l *auditLog) runs(n uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running[n]
}

func (l *auditLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true // another console may go on with the files
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// segments are the names of the log's files, the oldest first.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if ok, _ := filepath.Match(segmentPattern, e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
