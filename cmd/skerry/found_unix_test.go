//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/internal/doctor"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func chmod(t *testing.T, path string, mode uint32) {
	t.Helper()
	if err := syscall.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestFoundConfiguration: a configuration in the current directory is read without an
// option only if no other user can have written it.
func TestFoundConfiguration(t *testing.T) {
	secret := write(t, filepath.Join(t.TempDir(), "secret"), "k3y")
	text := "cluster: planted\ndatabase: {url: \"postgres://x:${file:" + secret + "}@127.0.0.1:1/x\"}\n"
	for what, plant := range map[string]func(dir string){
		"a file that every user may write":      func(dir string) { chmod(t, filepath.Join(dir, foundConfig), 0o666) },
		"a directory that every user may write": func(dir string) { chmod(t, dir, 0o1777) },
		"a link": func(dir string) {
			path := filepath.Join(dir, foundConfig)
			if err := os.Rename(path, path+".real"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(foundConfig+".real", path); err != nil {
				t.Fatal(err)
			}
		},
		"a file of another user": func(dir string) {
			if os.Geteuid() != 0 { // only root can change the owner of files
				chmod(t, filepath.Join(dir, foundConfig), 0o666)
			} else if err := os.Chown(filepath.Join(dir, foundConfig), 65534, -1); err != nil {
				t.Fatal(err)
			}
		},
		"a directory of another user": func(dir string) {
			if os.Geteuid() != 0 {
				chmod(t, dir, 0o777)
			} else if err := os.Chown(dir, 65534, -1); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir := t.TempDir()
		chmod(t, dir, 0o700)
		write(t, filepath.Join(dir, foundConfig), text)
		plant(dir)
		t.Chdir(dir)
		for _, line := range [][]string{
			{"config", "show"}, {"config", "check"}, {"ls"}, {"stats"}, {"release", "status"},
		} {
			code, out, errs := cli(t, "", line...)
			if code != exitUsage || !strings.Contains(errs, "--config ./skerry.yaml") ||
				strings.Contains(out+errs, "planted") {
				t.Errorf("%s: %v: exit code %d\n%s%s", what, line, code, out, errs)
			}
		}
		if code, out, _ := cli(t, "", "doctor"); code != exitProblem ||
			!strings.Contains(out, "--config ./skerry.yaml") {
			t.Errorf("%s: doctor: exit code %d\n%s", what, code, out)
		}
		if code, out, _ := cli(t, "", "__complete", "ls", ""); !strings.HasPrefix(out, ":") {
			t.Errorf("%s: completion: exit code %d\n%s", what, code, out)
		}
		for _, named := range [][]string{
			{"config", "show", "-c", "./" + foundConfig}, {"config", "show", "-c", foundConfig},
			{"config", "check", "--show", foundConfig},
		} {
			if code, out, errs := cli(t, "", named...); code != exitOK || !strings.Contains(out, "cluster: planted") ||
				strings.Contains(out, "k3y") {
				t.Errorf("%s, named: exit code %d\n%s%s", what, code, out, errs)
			}
		}
	}
}

// TestFoundManifest: the same holds for release.yaml, because it may name a command.
func TestFoundManifest(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir, 0o700)
	t.Chdir(dir)
	trace := filepath.Join(t.TempDir(), "trace")
	path := write(t, filepath.Join(dir, manifestFile), "modules:\n  auth: {version: v2, check: 'touch "+trace+"'}\n")
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	chmod(t, path, 0o666)
	if code, out := d.on(t, "", "ship", "all", "--yes"); code != exitUsage ||
		!strings.Contains(out, "--file ./release.yaml") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("its command was run")
	}
	chmod(t, path, 0o600)
	d.must(t, "ship", "all")
	if _, err := os.Stat(trace); err != nil {
		t.Errorf("the command of the operator's own file was not run: %v", err)
	}
}

// TestDatabaseURL: the URL comes from the arguments (with a warning), from a file, or
// from the environment.
func TestDatabaseURL(t *testing.T) {
	t.Chdir(t.TempDir())
	const url, shown = "postgres://app:hunter2@127.0.0.1:1/site", "app:xxxxx@127.0.0.1:1/site"
	file := write(t, "url", url+"\n")
	show := func(args ...string) (out, errs string) {
		code, out, errs := cli(t, "", append([]string{"config", "show"}, args...)...)
		if code != exitOK || strings.Contains(out+errs, "hunter2") || !strings.Contains(out, shown) {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
		return out, errs
	}
	if _, errs := show("--database", url); strings.Count(errs, "SKERRY_DATABASE_URL") != 1 {
		t.Errorf("no warning: %s", errs)
	}
	if _, errs := show("--database", "@"+file); errs != "" {
		t.Errorf("a file: %s", errs)
	}
	t.Setenv("SKERRY_DATABASE_URL", url)
	if _, errs := show(); errs != "" {
		t.Errorf("the environment: %s", errs)
	}
	if code, out, errs := cli(t, "", "config", "show", "--database", "postgres://app@10.0.0.9/x"); code != exitOK ||
		!strings.Contains(out, "app@10.0.0.9/x") || errs != "" {
		t.Errorf("without a password: exit code %d\n%s%s", code, out, errs)
	}
	if code, _, errs := cli(t, "", "ls", "--database", "@missing"); code != exitUsage ||
		!strings.Contains(errs, "missing") {
		t.Errorf("a missing file: exit code %d\n%s", code, errs)
	}
}

// TestPasswordsAreMasked: no command prints a secret, for any form of the URL.
func TestPasswordsAreMasked(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("DB_PASSWORD", "s3@hunter/2#x")
	for _, url := range []string{
		"postgres://app:hunter2@127.0.0.1:1/site", "postgres://127.0.0.1:1/site?user=app&password=hunter2",
		"postgres://127.0.0.1:1/site?sslpassword=hunter2", "postgres://app:${DB_PASSWORD}@127.0.0.1:1/site",
		"host=127.0.0.1 port=1 user=app password=hunter2", "host=127.0.0.1 port=1 password='hunter2 x'",
		"postgres://app:x@hunter2@127.0.0.1:1/site", "postgres://app:x/hunter2@127.0.0.1:1/site",
		"postgres://app:hunter2#@127.0.0.1:1/site", "postgres://app:hunter2%@127.0.0.1:1/site",
		"postgres://app:hunter2", "postgres://app:hunter2@127.0.0.1:1,127.0.0.1:2/site",
	} {
		config := writeConfig(t,
			"mode: database\nstate_dir: none\nlan: {key: \"http://hunter2-0123456789abcdef\"}\ndatabase: {url: \""+url+
				"\"}\n")
		for _, line := range [][]string{
			{"config", "show"}, {"config", "check", "--show"}, {"doctor"}, {"ls", "--timeout", "200ms"},
			{"stats", "--timeout", "200ms"},
		} {
			for _, more := range [][]string{nil, {"--json"}} {
				_, out, errs := cli(t, "", append(append(line, "-c", config), more...)...)
				if strings.Contains(out+errs, "hunter") {
					t.Errorf("%s: %v prints it:\n%s%s", url, line, out, errs)
				}
			}
		}
	}
}

// TestDoctorJudgesState: doctor names owner, mode and remedy.
func TestDoctorJudgesState(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir, 0o777)
	list := doctor.State(dir)
	if len(list) != 1 || list[0].Level != problem ||
		!strings.Contains(string(list[0].Text), "every user may write it") ||
		!strings.Contains(string(list[0].Do), "chmod go-w "+dir) {
		t.Errorf("%+v", list)
	}
	chmod(t, dir, 0o700)
	if list := doctor.State(dir); len(list) != 1 || list[0].Level != fine {
		t.Errorf("%+v", list)
	}
	if list := doctor.State(filepath.Join(dir, "not", "yet")); len(list) != 1 || list[0].Level != fine {
		t.Errorf("%+v", list)
	}
}
