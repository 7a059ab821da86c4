package trust

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sitekey"
)

// logLines collects the lines of a log.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// take returns the lines since the last call.
func (l *logLines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// twice is the time in which a file is read twice, as what vanishes from a file must be confirmed.
const twice = 2*keyfile.Period + time.Second

// following runs a Trust in a bubble.
func following(t *testing.T, c Config, f func(trust *Trust, log *logLines)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		trust, log := open(t, c), &logLines{}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- trust.Run(ctx, slog.New(slog.NewTextHandler(log, nil))) }()
		f(trust, log)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestRotation: keys of a file come into force while the process runs, and what uses them hears it.
// A file that can't be read, or is gone, changes nothing, and the log says so.
func TestRotation(t *testing.T) {
	old, young := sitekey.New(), sitekey.New()
	path := writeKeys(t, filepath.Join(t.TempDir(), "key"), old)
	following(t, Config{KeyFiles: []string{path}}, func(trust *Trust, log *logLines) {
		inForce := func(what string, want ...sitekey.Key) {
			t.Helper()
			time.Sleep(twice)
			synctest.Wait()
			var prints []string
			for _, k := range want {
				prints = append(prints, k.Fingerprint())
			}
			if got := trust.Fingerprints(); strings.Join(got, " ") != strings.Join(prints, " ") {
				t.Errorf("%s: %v is in force, want %v", what, got, prints)
			}
		}
		changed := trust.Changed()
		writeKeys(t, path, young, old)
		inForce("a second key", young, old)
		select {
		case <-changed:
		default:
			t.Error("Changed is silent about other keys")
		}
		writeKeys(t, path, young)
		inForce("without the old key", young)
		if said := log.take(); said != "" {
			t.Errorf("a rotation is logged: %s", said)
		}

		if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		inForce("a file that holds no key", young)
		if said := log.take(); strings.Count(said, "the last good ones stay in force") != 1 {
			t.Errorf("log of a file that holds no key: %q", said)
		}
		writeKeys(t, path, old)
		inForce("a file that was mended", old)
		if said := log.take(); !strings.Contains(said, "can be read again") {
			t.Errorf("log of a file that was mended: %q", said)
		}
	})
}

// TestTheLastOperatorGoes: an operator that is taken out of the file may release no more, the last
// one included, and the log says that no operator is left.
func TestTheLastOperatorGoes(t *testing.T) {
	ann := newOperator("ann")
	path := writeOperators(t, filepath.Join(t.TempDir(), "operators"), ann)
	following(t, Config{Key: sitekey.New().Text(), Operators: path}, func(trust *Trust, log *logLines) {
		proof := ann.sign(t, rollout.ForRelease, "text")
		if _, err := trust.Signer(rollout.ForRelease, "text", proof); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("# nothing\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(twice)
		synctest.Wait()
		_, err := trust.Signer(rollout.ForRelease, "text", proof)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("after the last operator has gone: %v", err)
		}
		if said := log.take(); !strings.Contains(said, "names no operator any more") {
			t.Errorf("log: %q", said)
		}
		if !trust.Provable() {
			t.Error("without operators every entry would be obeyed")
		}
	})
}
