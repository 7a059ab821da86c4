// Package resident keeps the memory of a process that mostly sleeps small.
//
// A program of many packages touches megabytes of its own file when it starts, which stay resident although they are
// not read again. [Trim] gives them back: what is needed later comes from the page cache.
package resident
