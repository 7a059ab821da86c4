// Package table writes tables in Markdown with columns that are also in line on a
// terminal, so that what a measurement prints can be pasted into a page.
package table
