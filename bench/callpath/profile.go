package callpath

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// profile records where a process spends its time and its memory from now on.
// done writes both into the directory; without one it does nothing.
func profile(dir, process string) (done func() error, err error) {
	if dir == "" {
		return func() error { return nil }, nil
	}
	runtime.MemProfileRate = 64 << 10
	cpu, err := os.Create(filepath.Join(dir, process+".cpu"))
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(filepath.Join(dir, process+".mem"))
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		defer heap.Close()
		if err := pprof.Lookup("allocs").WriteTo(heap, 0); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		return cpu.Close()
	}, nil
}
