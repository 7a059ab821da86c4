package skerry_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// Bounds of a service that imports skerry, in bytes.
const (
	mostBinary   = 20 << 20 // without symbols
	mostResident = 40 << 20 // of memory, once its service is offered
)

// TestServiceWeighsLittle: the binary of an example, and the memory that its process has when it offers its
// service.
func TestServiceWeighsLittle(t *testing.T) {
	dir := t.TempDir()
	binary, config := filepath.Join(dir, "auth"), filepath.Join(dir, "skerry.yaml")
	args := []string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "./examples/portal/cmd/auth"}
	build := exec.Command("go", args...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("cluster: weight\nmode: broadcast\nlan: {interfaces: [lo], port: %d}\nsite: {keys: none}\n"+
		"state_dir: none\nservice: {name: auth, version: v1, listen: \"127.0.0.1:0\"}\n", lab.Port(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	service := exec.Command(binary, "-config", config)
	log, err := service.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { _ = service.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		_ = service.Process.Kill()
		_, _ = io.Copy(io.Discard, log)
		_ = service.Wait() // it was killed
	})
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "addr=127.0.0.1:") {
	}
	resident := residentOf(t, service.Process.Pid)
	t.Logf("binary %.1f MiB, memory %.1f MiB", float64(info.Size())/(1<<20), float64(resident)/(1<<20))
	if info.Size() > mostBinary {
		t.Errorf("the binary has %d bytes, at most %d are agreed", info.Size(), mostBinary)
	}
	if resident > mostResident {
		t.Errorf("the process has %d bytes of memory, at most %d are agreed", resident, mostResident)
	}
}

// residentOf returns the bytes of memory that a process has.
func residentOf(t *testing.T, pid int) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(line, &bytes); err != nil {
		t.Fatalf("its memory: %v; it has ended, perhaps", err)
	}
	return bytes << 10
}
