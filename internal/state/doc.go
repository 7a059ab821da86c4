// Package state keeps the data of one process between its runs.
//
// # Model
//
// The state directory of a cluster holds files of several processes. A process opens [Files]: of the slots of its
// program's name that no running process has locked, it takes the one whose last process was most like it, and reads
// and writes the files of that slot. Likeness is counted in unit, directory, program, arguments and services with
// their versions. A restarted process therefore finds the slot of its previous run, in whatever order the processes
// of a host are started. Processes that are alike in all of that may find each other's. A slot that was never used
// begins with a neighbour's data about the site; the promises of a neighbour are not copied.
//
// # Guarantees
//
//   - [Open] never fails. A process without a usable directory runs without state, and its log has the reason and
//     the remedy.
//   - No caller waits longer than [Limit] for the disk, and Open no longer than [OpenLimit]. A disk that is late
//     within that time costs nothing.
//   - Nothing is written to files that another process has taken after their lock was removed ([ErrTaken]).
//
// # Failure
//
// A file is replaced as a whole: after a power cut it holds the old or the new text. Directories that other users
// can write to are not used; see package statedir.
//
// # Concurrency
//
// Methods may be called from any goroutine. Jobs on the disk run one at a time.
//
// # Tests
//
// The tests here cover slots, late disks and removed locks. Package skerry freezes a file system below a running
// process.
package state
