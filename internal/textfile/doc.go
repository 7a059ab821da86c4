// Package textfile turns the bytes of a text file into UTF-8 text.
//
// Editors on Windows put a byte order mark before UTF-8, and PowerShell's ">" writes UTF-16; editors in China
// often write GBK. The package removes a byte order mark, and refuses UTF-16 and UTF-32 by name. [UTF8] refuses
// every byte that is not UTF-8, with its line. [Plain] accepts it, for files with comments in any
// encoding.
//
// All functions may be called from any goroutine. The package is floor 0 and imports nothing of the module.
package textfile
