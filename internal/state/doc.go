// Package state keeps what one process remembers between its runs.
//
// # Model
//
// The state directory of a cluster holds files of several processes. A process
// opens [Files]: it takes the first slot of its program's name that no running
// process has locked, and reads and writes the files of that slot. A process
// that is started again finds the slot that the one before it has left. A slot
// that was never used begins with what a neighbour knows of the site; a
// neighbour's promises stay its own.
//
// # Guarantees
//
//   - [Open] never fails. A process without a usable directory runs without
//     state, and its log says why and what mends it.
//   - No caller waits longer than [Limit] for the disk, and Open no longer than
//     [OpenLimit]. A disk that is late within that time costs nothing.
//   - Nothing is written to files that another process has taken after their
//     lock was removed ([ErrTaken]).
//
// # Failure
//
// A file is replaced as a whole: after a power cut it holds the old or the new
// text. Directories that other users can write to are not used; see package
// statedir.
//
// # Concurrency
//
// Methods may be called from any goroutine. Jobs on the disk run one at a time.
//
// # Tests
//
// Slots, late disks and locks that are removed are tested here; package skerry
// freezes a file system below a running process.
package state
