// Package quote shows text from outside without obeying it.
//
// Names, addresses, tags, reasons and errors of other processes appear on the operator's terminal, in log files
// and in pages. A control character in them would move the cursor, forge a row or hide a word. This package makes
// all invisible characters visible: control characters (C0, DEL, C1), line breaks, characters that change the
// direction of writing, characters without width, and bytes that are not UTF-8. They appear in Go's notation:
// \x1b, \n, \u202e, \xff. A backslash stays as it is, so quoting twice changes nothing.
//
// [Text] quotes one text. [Sprintf] and [Errorf] quote every argument and keep the line breaks of the format,
// which is the program's own. [Writer] is the last line of defence: a command that prints through it can send no
// control character but its line breaks, even if another part has not quoted. [JSON] does the same for a JSON
// document.
//
// All functions may be called from any goroutine. The package is floor 0 and imports nothing of the module.
package quote
