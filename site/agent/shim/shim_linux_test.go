package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is also the shim of the tests.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "shim" {
		os.Exit(Main(os.Args[2]))
	}
	os.Exit(m.Run())
}

// patience bounds what should take milliseconds.
const patience = time.Minute

// world is a shim that runs in a directory of its own.
type world struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

// shell is the Spec of a shell script. $1 is the directory.
func shell(dir, script string) *Spec {
	return &Spec{Instance: "test/v1#1", Command: "/bin/sh", Args: []string{"-c", script, "sh", dir}, Dir: dir,
		Env: []string{"PATH=/usr/bin:/bin"}, Stop: Stop{Signal: "term", GraceMS: patience.Milliseconds()}}
}

// hold starts a shim with a script, in and without a control group.
func hold(t *testing.T, script string, change func(*Spec)) *world {
	t.Helper()
	w := &world{t: t, dir: privateDir(t)}
	spec := shell(w.dir, script)
	if change != nil {
		change(spec)
	}
	if err := spec.Write(w.dir); err != nil {
		t.Fatal(err)
	}
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.cmd = exec.Command(os.Args[0], "shim", w.dir)
	w.cmd.Stderr = os.Stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	cmd := w.cmd
	w.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			Ask(context.Background(), w.dir, DoKill, 0)
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	w.until("the shim answers", func() bool { _, err := w.ask(DoStatus); return err == nil })
}

func (w *world) ask(do string) (State, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return Ask(ctx, w.dir, do, -1)
}

func (w *world) must(do string) State {
	w.t.Helper()
	s, err := w.ask(do)
	if err != nil {
		w.t.Fatalf("%s: %v", do, err)
	}
	return s
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s, err := ReadState(w.dir)
			w.t.Fatalf("never came true: %s; state %+v, %v; log %q", what, s, err, w.text("log"))
		}
	}
}

func (w *world) text(name string) string {
	text, _ := os.ReadFile(filepath.Join(w.dir, name))
	return string(text)
}

// pids waits for a number of processes that have written their numbers into the file pids.
func (w *world) pids(n int) (pids []int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d processes run", n), func() bool { return strings.Count(w.text("pids"), "\n") >= n })
	for _, line := range strings.Fields(w.text("pids")) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			w.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// alive reports whether a process lives; a zombie does not.
func alive(pid int) bool {
	p, ok := readProcess(pid)
	return ok && !p.zombie
}

func (w *world) dead(pids []int) {
	w.t.Helper()
	w.until("all are dead", func() bool {
		for _, pid := range pids {
			if alive(pid) {
				return false
			}
		}
		return true
	})
}

// eachKind runs a test in a control group and without one. A host without control groups says so.
func eachKind(t *testing.T, test func(t *testing.T, change func(*Spec))) {
	t.Run("session", func(t *testing.T) { test(t, nil) })
	group := testCgroup(t)
	if group == "" {
		t.Log("this host gives no control group: only sessions were tested")
		return
	}
	t.Run("cgroup", func(t *testing.T) { test(t, func(s *Spec) { s.Cgroup = group }) })
}

// testCgroup makes a group of control groups for a test.
func testCgroup(t *testing.T) string {
	base := Cgroup()
	if base == "" {
		return ""
	}
	dir, err := os.MkdirTemp(base, "test-")
	if err != nil {
		return ""
	}
	for _, c := range []string{"+memory", "+cpu", "+pids"} {
		os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(c), 0)
	}
	t.Cleanup(func() {
		below, _ := filepath.Glob(filepath.Join(dir, "skerry-*"))
		for _, b := range below {
			os.Remove(b)
		}
		if err := os.Remove(dir); err != nil {
			t.Errorf("a control group is left: %v", err)
		}
	})
	return dir
}

// doubleFork is a script that leaves a grandchild in a session of its own, without its parent.
const doubleFork = `(setsid sh -c 'echo $$ >>"$1/pids"; exec sleep 1000' sh "$1" &)
	echo $$ >>"$1/pids"; exec sleep 1000`

func TestStopKillsTheTree(t *testing.T) {
	eachKind(t, func(t *testing.T, change func(*Spec)) {
		w := hold(t, doubleFork, change)
		pids := w.pids(2)
		w.must(DoStop)
		s := w.must(DoWait)
		if s.Phase != Stopped || s.LastExit == nil || s.LastExit.Signal != "SIGTERM" || s.Left != 0 {
			t.Errorf("%+v, %+v", s, s.LastExit)
		}
		if err := w.cmd.Wait(); err != nil {
			t.Error(err)
		}
		w.dead(pids)
		if _, err := w.ask(DoStatus); !errors.Is(err, ErrGone) {
			t.Errorf("after the end: %v", err)
		}
		if s, err := ReadState(w.dir); err != nil || s.Phase != Stopped {
			t.Errorf("the last state is %+v, %v", s, err)
		}
	})
}

// TestDeafProgramIsKilled: it ignores the signal, and is killed after its grace.
func TestDeafProgramIsKilled(t *testing.T) {
	t.Parallel()
	w := hold(t, `trap '' TERM; echo $$ >>"$1/pids"; while :; do sleep 1000; done`,
		func(s *Spec) { s.Stop.GraceMS = 50 })
	pids := w.pids(1)
	w.must(DoStop)
	if s := w.must(DoWait); s.LastExit == nil || s.LastExit.Signal != "SIGKILL" {
		t.Errorf("%+v", s.LastExit)
	}
	w.dead(pids)
}

// TestShimKilled: the program dies with its shim, and the next shim sweeps what has escaped into other sessions.
func TestShimKilled(t *testing.T) {
	eachKind(t, func(t *testing.T, change func(*Spec)) {
		w := hold(t, doubleFork, change)
		pids := w.pids(2)
		program := w.must(DoStatus).Child.PID
		w.cmd.Process.Kill()
		w.cmd.Wait()
		w.dead([]int{program})
		if _, err := w.ask(DoStatus); !errors.Is(err, ErrGone) {
			t.Errorf("a killed shim: %v", err)
		}
		os.Remove(filepath.Join(w.dir, "pids"))
		w.start()
		w.dead(pids)
		w.pids(2)
		w.must(DoKill)
		w.must(DoWait)
	})
}

// TestStrangerIsNeverKilled: a state names a live stranger, as after the reuse of numbers. It lives on.
func TestStrangerIsNeverKilled(t *testing.T) {
	stranger := exec.Command("/bin/sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	p, _ := readProcess(stranger.Process.Pid)
	forged := Process{PID: p.pid, Start: p.start}

	w := &world{t: t, dir: privateDir(t)}
	if err := shell(w.dir, `exec sleep 1000`).Write(w.dir); err != nil {
		t.Fatal(err)
	}
	state := State{V: version, Token: strings.Repeat("a", 26), Boot: bootID(), Shim: forged, Child: &forged, Phase: Up}
	if err := state.write(w.dir); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.must(DoKill)
	w.must(DoWait)
	if !alive(p.pid) {
		t.Error("a stranger was killed")
	}
}

func TestOneShimForADirectory(t *testing.T) {
	w := hold(t, `exec sleep 1000`, nil)
	out, err := exec.Command(os.Args[0], "shim", w.dir).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("another shim lives there")) {
		t.Errorf("a second shim: %v, %s", err, out)
	}
	if s := w.must(DoStatus); s.Phase != Up {
		t.Errorf("the first is %s", s.Phase)
	}
}

func TestCrashLoopIsSaid(t *testing.T) {
	t.Parallel()
	w := hold(t, `echo started; exit 3`, nil)
	w.until("five ends are a crash loop", func() bool { return w.must(DoStatus).CrashLooping })
	if s := w.must(DoStatus); s.LastExit.Code != 3 || s.Next == nil && s.Phase == Backoff {
		t.Errorf("%+v, %+v", s, s.LastExit)
	}
	w.must(DoStop)
	w.must(DoWait)
	if n := strings.Count(w.text("log"), "started\n"); n < 5 {
		t.Errorf("the log has %d starts", n)
	}
}

func TestMissingProgramIsSaid(t *testing.T) {
	t.Parallel()
	w := hold(t, "", func(s *Spec) { s.Command = "/nonexistent/program" })
	w.until("the reason is said", func() bool {
		s := w.must(DoStatus)
		return s.LastExit != nil && strings.Contains(s.LastExit.Problem, "/nonexistent/program")
	})
}

func TestRestartStartsAnew(t *testing.T) {
	eachKind(t, func(t *testing.T, change func(*Spec)) {
		w := hold(t, `echo $$ >>"$1/pids"; exec sleep 1000`, change)
		for restarts := 1; restarts <= 2; restarts++ {
			before := w.pids(restarts)
			w.must(DoRestart)
			w.pids(restarts + 1)
			w.dead(before)
			w.until("it is up", func() bool {
				s := w.must(DoStatus)
				return s.Phase == Up && s.Restarts == restarts
			})
		}
		w.must(DoKill)
		w.must(DoWait)
	})
}

// TestForkBomb: processes that fork in sessions of their own all die. The bomb is bounded by a file.
func TestForkBomb(t *testing.T) {
	const bomb = `cat >"$1/bomb" <<'END'
[ -e "$1/end" ] && exit
echo >>"$1/pids.count"
[ $(wc -l <"$1/pids.count") -gt 150 ] && exec sleep 1000
setsid sh "$1/bomb" "$1" & setsid sh "$1/bomb" "$1" &
exec sleep 1000
END
. "$1/bomb"`
	eachKind(t, func(t *testing.T, change func(*Spec)) {
		w := hold(t, bomb, change)
		defer os.WriteFile(filepath.Join(w.dir, "end"), nil, 0o600)
		w.until("the bomb has gone off", func() bool { return strings.Count(w.text("pids.count"), "\n") > 60 })
		token := w.must(DoStatus).Token
		w.must(DoKill)
		if s := w.must(DoWait); s.Left != 0 {
			t.Errorf("%d processes are left", s.Left)
		}
		for _, p := range processes() {
			if has(p.pid, token) && !p.zombie {
				t.Errorf("process %d lives on", p.pid)
			}
		}
	})
}

// TestLimitsHoldOrAreSaid: a limit is in force, or the state names it.
func TestLimitsHoldOrAreSaid(t *testing.T) {
	eachKind(t, func(t *testing.T, change func(*Spec)) {
		w := hold(t, `ulimit -n >"$1/files"; cat /proc/self/cgroup >"$1/group"; exec sleep 1000`, func(s *Spec) {
			s.Limits = Limits{Memory: 64 << 20, CPU: 50, Processes: 20, Files: 77}
			if change != nil {
				change(s)
			}
		})
		w.until("the program has looked", func() bool { return strings.Contains(w.text("group"), "0::") })
		if files := strings.TrimSpace(w.text("files")); files != "77" {
			t.Errorf("%s files may be open", files)
		}
		s := w.must(DoStatus)
		said := strings.Join(s.Unenforced, " ")
		if change == nil {
			if said != "memory cpu processes" {
				t.Errorf("without a control group, these do not hold: %s", said)
			}
			return
		}
		spec, err := ReadSpec(w.dir)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(w.text("group"), cgroupName(s.Token)) {
			t.Errorf("the program is in %s", w.text("group"))
		}
		for limit, file := range map[string]string{"memory": "memory.max 67108864", "cpu": "cpu.max 50000 100000",
			"processes": "pids.max 20"} {
			name, want, _ := strings.Cut(file, " ")
			text, _ := os.ReadFile(filepath.Join(spec.Cgroup, cgroupName(s.Token), name))
			if holds := strings.TrimSpace(string(text)) == want; holds == strings.Contains(said, limit) {
				t.Errorf("%s is %q, and %q do not hold", name, text, said)
			}
		}
		w.must(DoKill)
		w.must(DoWait)
	})
}

// TestLogFlood: a program that writes without end is never held up, and its log keeps its bound.
func TestLogFlood(t *testing.T) {
	t.Parallel()
	w := hold(t, `yes 'a line of a flood' | head -c 100000000; echo written >"$1/written"; exec sleep 1000`, nil)
	w.until("the program has written 100 MB", func() bool { return w.text("written") != "" })
	w.must(DoStop)
	w.must(DoWait)
	for i := range logFiles {
		info, err := os.Stat(filepath.Join(w.dir, logName(i)))
		if err == nil && info.Size() > logSize {
			t.Errorf("%s has %d bytes", logName(i), info.Size())
		}
	}
}

// TestFullDisk: the program runs on, what was dropped is counted, and the log goes on when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a small disk: run it as root")
	}
	dir := privateDir(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	out := privateDir(t)
	w := &world{t: t, dir: dir}
	script := `yes 'a line for a full disk' | head -c 2990000; echo >"` + out + `/written"
		while [ ! -e "` + out + `/room" ]; do sleep 0.01; done
		while :; do echo there is room; sleep 0.01; done`
	if err := shell(w.dir, script).Write(w.dir); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.until("the program has written 3 MB", func() bool { _, err := os.Stat(out + "/written"); return err == nil })
	w.must(DoRestart) // a start needs no disk
	w.until("the loss is counted", func() bool { s := w.must(DoStatus); return s.LogDropped > 0 && s.Phase == Up })
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=16m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(out+"/room", nil, 0o600)
	w.until("the log goes on", func() bool { return strings.Contains(w.text("log"), "\nthere is room\n") })
	if log := w.text("log"); !strings.Contains(log, "dropped: ") || !strings.Contains(log, "no space left") {
		t.Error("the log does not tell of the loss")
	}
	for line := range strings.Lines(w.text("log")) {
		if line != "a line for a full disk\n" && line != "there is room\n" && !strings.HasPrefix(line, "[skerry: ") {
			t.Errorf("half a line: %q", line)
		}
	}
	w.must(DoKill)
	w.must(DoWait)
}

func TestLogsFollow(t *testing.T) {
	w := hold(t, `for i in 1 2 3; do echo line $i; done; while [ ! -e "$1/more" ]; do sleep 0.01; done; echo more
		exec sleep 1000`, nil)
	w.until("the first lines are there", func() bool { return strings.Contains(w.text("log"), "line 3") })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		Logs(ctx, w.dir, 2, true, out)
		out.Close()
	}()
	read := func(want string) {
		t.Helper()
		buf := make([]byte, len(want))
		for n := 0; n < len(buf); {
			m, err := r.Read(buf[n:])
			if n += m; err != nil {
				t.Fatalf("%v after %q", err, buf[:n])
			}
		}
		if string(buf) != want {
			t.Fatalf("got %q, not %q", buf, want)
		}
	}
	read("line 2\nline 3\n")
	os.WriteFile(filepath.Join(w.dir, "more"), nil, 0o600)
	read("more\n")
	w.must(DoStop)
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("after the end of the shim, a follower read %d bytes: %v", n, err)
	}
}

// TestStrangeRequests: the socket answers what it does not understand, and lives on.
func TestStrangeRequests(t *testing.T) {
	t.Parallel()
	w := hold(t, `exec sleep 1000`, nil)
	for text, want := range map[string]string{
		"\n":                         "not understood",
		"[]\n":                       "not understood",
		`{"v":2,"do":"stop"}` + "\n": "speaks version 1",
		`{"v":1,"do":"fly"}` + "\n":  "none of",
		`{"v":1,"do":"stop","grace_ms":-1}` + "\n": "not between",
		strings.Repeat("x", 2*maxRequest):          "",
	} {
		c, err := net.Dial("unix", filepath.Join(w.dir, "sock"))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte(text))
		var r reply
		err = json.NewDecoder(c).Decode(&r)
		c.Close()
		if want == "" && err == nil || want != "" && !strings.Contains(r.Error, want) {
			t.Errorf("%.30q was answered with %q, %v", text, r.Error, err)
		}
	}
	for range maxConns + 5 {
		if c, err := net.Dial("unix", filepath.Join(w.dir, "sock")); err == nil {
			defer c.Close()
		}
	}
	if s := w.must(DoStatus); s.Phase != Up { // served when the idle ones have had their time
		t.Errorf("%+v", s)
	}
}

// TestShimGetsSIGTERM: the end of the system is a polite stop.
func TestShimGetsSIGTERM(t *testing.T) {
	w := hold(t, `trap 'echo bye; exit 0' TERM; echo $$ >>"$1/pids"; while :; do sleep 0.01; done`, nil)
	pids := w.pids(1)
	w.cmd.Process.Signal(syscall.SIGTERM)
	if err := w.cmd.Wait(); err != nil {
		t.Error(err)
	}
	w.dead(pids)
	if !strings.Contains(w.text("log"), "bye\n") {
		t.Errorf("the log is %q", w.text("log"))
	}
}

func TestStatIsParsed(t *testing.T) {
	text := "17 (a) b) (c) S 5 17 17 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3"
	if p, ok := parseStat(17, []byte(text)); !ok || p.parent != 5 || p.start != 98765 || p.zombie {
		t.Errorf("%+v, %v", p, ok)
	}
	for _, bad := range []string{"", "17 (a", "17 (a) S 5", "17 (a) S x" + strings.Repeat(" 1", 20)} {
		if _, ok := parseStat(17, []byte(bad)); ok {
			t.Errorf("%q was read", bad)
		}
	}
}
