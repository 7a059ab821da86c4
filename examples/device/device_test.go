package device_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/skerry/skerry/examples/device"
)

func TestOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pump")
	first, err := device.Open(path, "one")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := first.Stroke(); n != 1 || err != nil {
		t.Errorf("the first stroke: %d, %v", n, err)
	}
	if _, err := device.Open(path, "two"); !errors.Is(err, device.ErrOwned) {
		t.Errorf("opened twice: %v", err)
	}
	if all, err := device.Screams(path); len(all) != 1 || err != nil {
		t.Errorf("screams: %q, %v", all, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := device.Open(path, "three")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if n, err := next.Stroke(); n != 2 || err != nil {
		t.Errorf("the next owner's stroke: %d, %v", n, err)
	}
}
