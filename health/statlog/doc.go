// Package statlog keeps call statistics in a file that rotates.
//
// # Model
//
// A [Sink] appends the rows of a period as lines of JSON, one line a row. A file that grows too large is renamed
// to its name with a time stamp; the oldest of these files are removed by number and by age. One process owns a
// file. [Read] reads the files of a pattern, including the renamed ones, and [Sum] adds rows up.
//
// # Failure
//
// The lines of a period are written together or not at all. When the disk is full or does not answer, the
// recorder keeps the counts for the next period. A line that a crash cut off is counted as bad and does not stop
// the reading.
//
// # Safety
//
// File and directory must belong to the process's user; see internal/statedir. Control characters in names are
// written escaped.
//
// # Tests
//
// Rotation, reading while files are rotated, full disks, links laid by other users.
package statlog
