package device

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Device is a pump behind a file. The process that has it open owns it. It counts its strokes. One
// goroutine uses its methods.
type Device struct{ file *os.File }

// strokeTime is how long the pump needs to move.
const strokeTime = 4 * time.Millisecond

// ErrOwned: another process has the device open.
var ErrOwned = errors.New("the device is open in another process")

// Open opens the device. When another process has it open, the device screams: it writes down which
// process disturbed it, and the error wraps ErrOwned.
func Open(path, opener string) (*Device, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the device: %w", err)
	}
	if err := lock(f); err != nil {
		f.Close()
		if errors.Is(err, ErrOwned) {
			err = errors.Join(err, scream(path, opener))
		}
		return nil, fmt.Errorf("open the device: %w", err)
	}
	return &Device{f}, nil
}

// Close releases the device.
func (d *Device) Close() error { return d.file.Close() }

// Stroke moves the pump once and returns the number of strokes so far.
func (d *Device) Stroke() (total int64, err error) {
	var b [8]byte
	if _, err := d.file.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read the counter: %w", err)
	}
	time.Sleep(strokeTime)
	total = int64(binary.LittleEndian.Uint64(b[:])) + 1
	binary.LittleEndian.PutUint64(b[:], uint64(total))
	if _, err := d.file.WriteAt(b[:], 0); err != nil {
		return 0, fmt.Errorf("count the stroke: %w", err)
	}
	return total, nil
}

func scream(path, opener string) error {
	f, err := os.OpenFile(screams(path), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s: %s opened it while it was open\n", time.Now().Format(time.TimeOnly), opener)
	return err
}

// Screams returns the device's screams so far.
func Screams(path string) ([]string, error) {
	text, err := os.ReadFile(screams(path))
	if errors.Is(err, os.ErrNotExist) || err == nil && len(text) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

func screams(path string) string { return path + ".screams" }
