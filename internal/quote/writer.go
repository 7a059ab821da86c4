package quote

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unicode/utf8"
)

// Writer writes to a terminal. It quotes all text except line breaks and tabs. Its methods send the
// control sequences that a command needs.
type Writer struct {
	mu   sync.Mutex
	to   io.Writer
	rest []byte // the begin of an incomplete character
	err  error  // of the first write that failed
}

// NewWriter quotes text for w.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := append(w.rest, p...)
	whole := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if b := text[len(text)-i:]; utf8.RuneStart(b[0]) {
			if !utf8.FullRune(b) {
				whole -= i
			}
			break
		}
	}
	w.rest = append([]byte(nil), text[whole:]...)
	if err := w.write(string(Lines(string(text[:whole])))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// write keeps the first error, because most callers do not check errors.
func (w *Writer) write(s string) error {
	if _, err := io.WriteString(w.to, s); err != nil {
		if w.err == nil {
			w.err = err
		}
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Err is the error of the first write that failed.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Flush writes the bytes of an incomplete character.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(Text(string(w.rest)))
	w.rest = nil
}

// Overwrite replaces the line of the cursor.
func (w *Writer) Overwrite(line Safe) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write("\r" + Text(string(line)) + "\x1b[K")
}

// Wipe clears the line of the cursor.
func (w *Writer) Wipe() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write("\r\x1b[K")
}

// Clear empties a terminal, and has no effect on other outputs.
func (w *Writer) Clear() {
	if !w.Terminal() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write("\x1b[H\x1b[2J")
}

// Value writes a value for another program: unchanged, but quoted on a terminal.
func (w *Writer) Value(s string) error {
	if w.Terminal() {
		_, err := w.Write([]byte(s))
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(s)
}

// Terminal reports whether the output is a terminal.
func (w *Writer) Terminal() bool {
	f, ok := w.to.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
