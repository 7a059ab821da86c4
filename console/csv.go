package console

import (
	"encoding/csv"
	"io"
	"net/http"
	"regexp"
)

// tabled is a content that a browser may keep as a table.
type tabled interface {
	// table returns the name of the file and its rows, the first of which names the columns.
	table(l language) (name string, rows [][]string)
}

// byteOrderMark tells spreadsheets that a file is UTF-8.
const byteOrderMark = "\ufeff"

// sendTable answers with a table as CSV.
func sendTable(w http.ResponseWriter, of tabled, l language) {
	name, rows := of.table(l)
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Vary", "Accept-language, Cookie")
	io.WriteString(w, byteOrderMark)
	out := csv.NewWriter(w)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, text := range row {
			cells[i] = cellText(text)
		}
		out.Write(cells)
	}
	out.Flush()
}

// formula finds what a spreadsheet takes for a formula: at the begin of a cell, or behind what separates cells where a
// comma does not.
var formula = regexp.MustCompile(`(^[\s\x{a0}]*|[;\t\r\n][\s\x{a0}]*)([=+\-@＝＋－＠])`)

// cellText is a text that a spreadsheet shows, and computes nothing of: callers, operators and processes may have
// written it.
func cellText(text string) string { return formula.ReplaceAllString(text, "$1'$2") }
