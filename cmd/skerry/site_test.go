package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/agent"
)

// initSite makes a site and returns the directory of its first host.
func initSite(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	dir := filepath.Join(t.TempDir(), "seat")
	want(t, "", exitOK, "The operator wang signs with", "", append([]string{"site", "init", "--cluster", "hall",
		"--operator", "wang", "--no-passphrase", "--dir", dir, "--host", "ops-1"}, args...)...)
	return dir
}

func TestSiteInit(t *testing.T) {
	dir := initSite(t, "--mode", "broadcast", "--seed", "ops-9")
	for name, mode := range map[string]os.FileMode{"hall.key": 0o600, "ca.key": 0o600, "host.key": 0o600,
		"ca.pem": 0o644, "host.pem": 0o644, "operators": 0o644, "skerry.yaml": 0o644, "agent.yaml": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	c, err := config.Read(filepath.Join(dir, "skerry.yaml"))
	if err != nil || c.Cluster != "hall" || c.Mode != "broadcast" || c.LAN.Seeds[0] != "ops-9" {
		t.Errorf("%+v, %v", c, err)
	}
	keys, err := keyfile.OpenKeys("hall", c.Site.Keys)
	if err != nil || len(keys.Found()) != 1 {
		t.Errorf("the site's key: %v", err)
	}
	list, err := keyfile.ReadOperators(c.Site.Operators)
	if err != nil || len(list) != 1 || !list[0].May(sshsig.Plan) {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "host.pem"), filepath.Join(dir, "host.key")); err != nil {
		t.Error(err)
	}
	private, err := keyfile.ReadPrivate(filepath.Join(os.Getenv("HOME"), ".ssh", "skerry-hall"))
	if err != nil || !strings.Contains(private, "OPENSSH PRIVATE KEY") {
		t.Error(err)
	}
}

// TestSiteInitChangesNothing: a second run keeps every file.
func TestSiteInitChangesNothing(t *testing.T) {
	dir := initSite(t)
	before := readDir(t, dir)
	want(t, "", exitOK, "nothing was changed", "", "site", "init", "--cluster", "hall", "--dir", dir, "--host", "ops-1")
	want(t, "", exitProblem, "", "is of the cluster hall", "site", "init", "--cluster", "other", "--dir", dir,
		"--no-passphrase")
	if after := readDir(t, dir); len(after) != len(before) {
		t.Errorf("%d files, then %d", len(before), len(after))
	} else {
		for name, text := range before {
			if after[name] != text {
				t.Errorf("%s was changed", name)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	want(t, "", exitProblem, "", "there is only", "site", "init", "--cluster", "hall", "--dir", dir)
}

func TestSiteInitRefuses(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	dir := filepath.Join(t.TempDir(), "x")
	want(t, "", exitUsage, "", "--cluster NAME", "site", "init", "--dir", dir)
	want(t, "", exitUsage, "", "asked for on a terminal", "site", "init", "--cluster", "hall", "--dir", dir)
	want(t, "", exitUsage, "", "--host NAME", "site", "init", "--cluster", "hall", "--dir", dir, "--host", "a b")
	want(t, "", exitProblem, "", "no such file", "site", "init", "--cluster", "hall", "--dir", dir, "--key", dir+"/k")
	if _, err := os.Stat(dir); err == nil {
		t.Error("a command that failed has made files")
	}
}

func readDir(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		texts[e.Name()] = string(text)
	}
	return texts
}

// invitation is site invite while it runs.
type invitation struct {
	lines *json.Decoder
	stop  context.CancelFunc
	code  chan int
}

func invite(t *testing.T, dir string, hosts ...string) (*invitation, []inviteRow) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in, err := os.Pipe() // which holds what is not read yet
	if err != nil {
		t.Fatal(err)
	}
	i := &invitation{json.NewDecoder(bufio.NewReader(out)), cancel, make(chan int, 1)}
	go func() {
		args := append([]string{"site", "invite", "--json", "--dir", dir, "--listen", "127.0.0.1:0"}, hosts...)
		i.code <- execute(ctx, args, strings.NewReader(""), in, io.Discard)
		in.Close()
	}()
	t.Cleanup(func() { cancel(); out.Close() })
	rows := make([]inviteRow, len(hosts))
	for n := range rows {
		if err := i.lines.Decode(&rows[n]); err != nil {
			t.Fatal(err)
		}
	}
	return i, rows
}

func TestInviteAndJoin(t *testing.T) {
	seat := initSite(t, "--mode", "broadcast")
	i, rows := invite(t, seat, "ops-2", "ops-3")
	for n, host := range []string{"ops-2", "ops-3"} {
		dir := filepath.Join(t.TempDir(), host)
		command := strings.Fields(rows[n].Command)[1:]
		if strings.Contains(rows[n].Command, rows[n].Token) {
			t.Error("the command line holds the token")
		}
		args := append(command, "--dir", dir, "--host", host, "--state", filepath.Join(dir, "state"))
		want(t, rows[n].Token+"\n", exitOK, host+" is a host of hall", "", args...)
		var joined joinedRow
		if err := i.lines.Decode(&joined); err != nil || joined.Host != host || !joined.Joined {
			t.Errorf("%+v, %v", joined, err)
		}
		here, there := readDir(t, dir), readDir(t, seat)
		for _, name := range []string{"hall.key", "operators", "ca.pem"} {
			if here[name] != there[name] || here[name] == "" {
				t.Errorf("%s of %s differs from that of the seat", name, host)
			}
		}
		if here["ca.key"] != "" || here["host.key"] == there["host.key"] {
			t.Error("a private key has left its host")
		}
		if _, err := config.Read(filepath.Join(dir, "skerry.yaml")); err != nil {
			t.Error(err)
		}
		c, err := agent.ReadConfig(filepath.Join(dir, "agent.yaml"))
		if err != nil || c.Host != host || c.Operators != filepath.Join(dir, "operators") {
			t.Errorf("%+v, %v", c, err)
		}
		want(t, rows[n].Token, exitProblem, "", "has files of a site already", args...)
	}
	if code := <-i.code; code != exitOK {
		t.Errorf("site invite ends with %d", code)
	}
}

func TestJoinRefuses(t *testing.T) {
	seat := initSite(t)
	i, rows := invite(t, seat, "ops-2")
	dir := filepath.Join(t.TempDir(), "ops-2")
	args := append(strings.Fields(rows[0].Command)[1:], "--dir", dir, "--host", "ops-2")
	want(t, "7K3QX", exitProblem, "", "letters and digits", args...)
	want(t, rows[0].Token, exitProblem, "", "is for the host ops-2", append(args, "--host", "ops-7")...)
	want(t, "", exitUsage, "", "it asks for that", append(args, rows[0].Token)...)
	if _, err := os.Stat(dir); err == nil {
		t.Error("a refused host has files")
	}
	i.stop()
	if code := <-i.code; code != exitProblem {
		t.Errorf("site invite ends with %d, and a host has not joined", code)
	}
	code, _, errs := cli(t, rows[0].Token, args...)
	if code != exitProblem || !strings.Contains(errs, "does skerry site invite still run there") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestJoinLeavesNothingBehind: a disk that takes no more files.
func TestJoinLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	files := []hostFile{{filepath.Join(dir, "a"), false, "", 0o600, "a"},
		{filepath.Join(dir, "a", "b"), false, "", 0o600, "b"}}
	if err := writeHostFiles(files); err == nil {
		t.Fatal("a file was made below a file")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, errors.Join(err))
	}
}
