// Package words has the texts of skerry for people, in English and Chinese.
//
// There are two kinds of texts. The console asks for a text by its key, from files AREA.LANGUAGE.yaml; see
// [Language.Text]. The commands print English texts, and find the Chinese one for it in files AREA.zh.txt: for the
// format of a text by [Language.Format], and for a text that another package or another process has made by
// [Language.Sentence]. A process of another version may make a text that is not known here; it stays English.
//
// All functions may be called from any goroutine.
package words
