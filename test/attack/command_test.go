//go:build linux

package attack

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
)

// grant is the SQL for a role of the database.
func grant(t *testing.T, role string) string {
	t.Helper()
	out, err := exec.Command(command(t), "schema", "--grant-"+role, "app").Output()
	must(t, err)
	text := string(out)
	if at := strings.Index(text, "GRANT "); at >= 0 {
		return text[at:]
	}
	t.Fatalf("no grants: %s", text)
	return ""
}

// runs runs a command of skerry on a host of the site.
func (s *site) runs(t *testing.T, host int, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", s.lan.Host(host).Namespace, command(t)},
		args...)...)
	c.Dir, c.Env = s.dir, append(os.Environ(), "HOME="+s.dir, "SKERRY_SITE_KEYS=")
	out, err := c.CombinedOutput()
	return string(out), err
}

// operatorsFiles writes the files of an operator's command: a configuration and a key.
func (s *site) operatorsFiles(t *testing.T, o operator) (config, key string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(o.private, o.name)
	must(t, err)
	key = s.path(o.name + ".id")
	must(t, os.WriteFile(key, pem.EncodeToMemory(block), 0o600))
	s.write("operator.yaml", fmt.Sprintf("cluster: %s\nmode: broadcast\nstate_dir: none\nstats: {interval: none}\n%s",
		s.cluster, s.lines()))
	return s.path("operator.yaml"), key
}

// TestReleaseSettings: text of the log, even under a trusted operator's signature, runs no command
// at another operator's terminal. A stranger's text moves no cursor there.
func TestReleaseSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t, setUps[1], "")
	config, key := s.operatorsFiles(t, s.li)
	flags := []string{"-c", config, "--key", key, "--by", "li", "--yes"}
	_, wrong := s.operatorsFiles(t, newOperator(t, "mallory"))
	if out, err := s.runs(t, 1, "release", "start", "--reason", "attack", "-c", config, "--key", wrong,
		"--yes"); err == nil {
		t.Errorf("a key that is not named signs: %s", out)
	}
	if out, err := s.runs(t, 1, append([]string{"release", "start", "--reason", "attack"}, flags...)...); err != nil {
		t.Fatalf("release start: %v: %s", err, out)
	}
	tip := s.tip(t, "provider")
	page, err := s.member(t).internal(t, s.addr("provider")).Log(t.Context(), "0")
	must(t, err)
	r, err := rollout.ParseRecord(page.Records[len(page.Records)-1])
	must(t, err)
	newest, err := r.Open()
	must(t, err)
	pwned := s.path("pwned")
	session := *newest.Session
	session.Settings = map[string]map[string]string{"auth": {"check": "id > " + pwned, "version": "v2\x1b[2J",
		"check_time": "1m"}}
	e := s.mo.signed(t, s.entry(t, tip, "v1", func(e *rollout.Entry) { e.Session, e.By = &session, "mo\x1b[2J\x1b[H" }))
	for _, p := range []string{"provider", "consumer"} {
		_, err := s.member(t).internal(t, s.addr(p)).Bring(t.Context(), records(e))
		must(t, err)
	}
	for _, args := range [][]string{{"release", "ship", "auth", "--wait", "2s"},
		{"release", "ship", "all", "--wait", "2s"}, {"release", "status"}, {"release", "log"},
		{"release", "log", "--verify"}} {
		out, _ := s.runs(t, 1, append(args, flags...)...)
		if len(out) == 0 {
			t.Errorf("%q prints nothing", args)
		}
		harmless(t, strings.Join(args, " "), out)
	}
	if _, err := os.Stat(pwned); err == nil {
		t.Error("a command of the log was run")
	}
	s.unharmed(t, func(*testing.T) {})
}

// harmless fails the test when an output has control characters.
func harmless(t *testing.T, what, out string) {
	t.Helper()
	for _, r := range out {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\ufffd' {
			t.Errorf("%s prints %U: %q", what, r, out)
			return
		}
	}
}

// TestTerminal: a member announces escape sequences as host and tags.
func TestTerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, setUps[1], "")
	config, _ := s.operatorsFiles(t, s.li)
	pc := s.laptop().udp(t, "10.77.0.3:0")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	hostile := "x\x1b[2J\x1b[H\r\nFORGED"
	go func() {
		listing := &wire.Listing{Complete: new(true), Registrations: []*wire.Registration{
			{Name: "printer", Version: new("v1"), Host: "10.77.0.3", Port: 9, Tags: map[string]string{"t": hostile}},
			{Name: "plotter", Host: "10.77.0.3", Port: 9, Zone: new("hall\u202e\u2066"),
				Tags: map[string]string{"t": "\u202e\u200b"}}}}
		b := make([]byte, 2048)
		for seq := uint64(1); ctx.Err() == nil; seq++ {
			_, _ = pc.WriteTo(s.packet(s.lanKey(&s.key), announce, "laptop/666/1", seq,
				&wire.Announce{Listing: listing}), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 255), Port: lanPort})
			_ = pc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, from, err := pc.ReadFrom(b); err == nil {
				if nonce, ok := probeOf(b[:n]); ok {
					seq++
					_, _ = pc.WriteTo(s.packet(s.lanKey(&s.key), 3, "laptop/666/1", seq,
						&wire.Answer{Nonce: nonce, Listing: listing}), from)
				}
			}
		}
	}()
	out := ""
	for range 5 {
		out, _ = s.runs(t, 1, "ls", "-c", config)
		harmless(t, "ls", out)
		if strings.Contains(out, "\nFORGED") {
			t.Errorf("a forged line: %s", out)
		}
	}
	if !strings.Contains(out, "auth") {
		t.Errorf("ls shows no honest service: %s", out)
	}
	harmless(t, "the log", s.consumer.logged())
}

// TestPlantedFiles: files of another user of the host, where root runs the command or where a
// service would keep its state.
func TestPlantedFiles(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			_ = nc.Close()
		}
	}()
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("k3y-of-root"), 0o600))
	planted := filepath.Join(dir, "skerry.yaml")
	must(t, os.WriteFile(planted, fmt.Appendf(nil,
		"cluster: planted\ndatabase: {url: \"postgres://x:${file:%s}@%s/x?sslmode=disable\"}\n", secret, ln.Addr()),
		0o644))
	must(t, os.Chown(dir, 65534, 65534))
	must(t, os.Chown(planted, 65534, 65534))
	for _, args := range [][]string{{"ls"}, {"doctor"}, {"release", "status"}, {"config", "show"}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := exec.CommandContext(ctx, command(t), append(args, "--timeout", "1s")...)
		if args[0] == "config" || args[0] == "doctor" {
			c = exec.CommandContext(ctx, command(t), args...)
		}
		c.Dir, c.Env = dir, []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		out, _ := c.CombinedOutput()
		cancel()
		if strings.Contains(string(out), "k3y-of-root") {
			t.Errorf("%q shows the secret: %s", args, out)
		}
		if args[0] == "ls" && !strings.Contains(string(out), "skerry.yaml") {
			t.Errorf("%q does not say that the file is left alone: %s", args, out)
		}
	}
	if n := calls.Load(); n > 0 {
		t.Errorf("the planted database was called %d times", n)
	}
}

// TestShownConfiguration: no password and no key is printed, in any field.
func TestShownConfiguration(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "skerry.yaml")
	for _, url := range []string{
		"postgres://x:hush-hush@127.0.0.1:1/x", "postgres://x@127.0.0.1:1/x?password=hush-hush",
		"postgres://x@127.0.0.1:1/x?sslpassword=hush-hush",
		"host=127.0.0.1 port=1 user=x password=hush-hush", "postgres://127.0.0.1:1/x?user=x&passfile=/tmp/hush-hush",
	} {
		must(t, os.WriteFile(path, fmt.Appendf(nil, "cluster: shown\nstate_dir: none\ndatabase: {url: %q}\n", url),
			0o600))
		for _, args := range [][]string{{"config", "show"}, {"config", "check", path}, {"ls", "--timeout", "1s"}} {
			if args[1] != "check" {
				args = append(args, "-c", path)
			}
			out, _ := exec.CommandContext(t.Context(), command(t), args...).CombinedOutput()
			if strings.Contains(string(out), "hush-hush") {
				t.Errorf("%q shows the password of %s: %s", args, url, out)
			}
		}
	}
}

// TestPlantedState: another user has made the state directory, with links.
func TestPlantedState(t *testing.T) {
	t.Parallel()
	s := prepare(t, setUps[1], "")
	state := s.path("provider-state")
	cluster := filepath.Join(state, s.cluster)
	must(t, os.MkdirAll(cluster, 0o777))
	owned := s.path("owned-by-root")
	for _, name := range []string{"attack.test-auth-7000.lists.json", "attack.test-auth-7000.stats.log",
		"attack.test-auth-7000.lock"} {
		must(t, os.Symlink(owned, filepath.Join(cluster, name)))
	}
	e := s.entry(t, rollout.Position{}, "v9")
	must(t, os.WriteFile(filepath.Join(cluster, "attack.test-auth-7000.rules.json"),
		fmt.Appendf(nil, `{"records":[%s],"tip":%q}`, e.Record().Marshal(), e.Hash()), 0o666))
	for _, dir := range []string{cluster, state} {
		must(t, os.Chmod(dir, 0o777))
		must(t, os.Chown(dir, 65534, 65534))
	}
	s.provider = s.start("provider", "provider", 0)
	s.consumer = s.start("consumer", "consumer", 1)
	s.warm()
	s.provider.says(t, 1, "state is not kept")
	if tip := s.tip(t, "provider"); tip != (rollout.Position{}) {
		t.Errorf("the provider goes by the planted rules: %v", tip)
	}
	s.provider.stop(syscall.SIGTERM)
	if _, err := os.Stat(owned); err == nil {
		t.Error("a file was made through a link")
	}
}
