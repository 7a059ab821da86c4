package shim

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// tree is the program with all its descendants, in a job object of its own for each start. The shim is in a job that
// dies with it, and its descendants are born there.
type tree struct {
	wake    chan os.Signal // an event, not a signal, sends here
	token   string
	spec    *Spec
	started time.Time
	job     windows.Handle // of the running start; 0: none
	pid     uint32         // of its program

	mu   sync.Mutex
	exit *Exit
}

// ended is what tells the loop to collect.
type ended struct{}

func (ended) Signal()        {}
func (ended) String() string { return "the program has ended" }

// newTree puts the shim into a job that ends with it.
func newTree(spec *Spec, token string) (*tree, []string, error) {
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	outer, err := newJob(&info) // stays open until the process ends
	if err != nil {
		return nil, nil, err
	}
	if err := windows.AssignProcessToJobObject(outer, windows.CurrentProcess()); err != nil {
		return nil, nil, fmt.Errorf("join a job object: %w", err)
	}
	var unenforced []string
	if spec.Limits.CPU > 0 {
		unenforced = append(unenforced, "cpu")
	}
	if spec.Limits.Files > 0 {
		unenforced = append(unenforced, "files")
	}
	return &tree{wake: make(chan os.Signal, 1), token: token, spec: spec}, unenforced, nil
}

func newJob(info *windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION) (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, fmt.Errorf("make a job object: %w", err)
	}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(info)), uint32(unsafe.Sizeof(*info)))
	if err != nil {
		windows.CloseHandle(job)
		return 0, fmt.Errorf("set the limits of a job object: %w", err)
	}
	return job, nil
}

func (t *tree) close() {}

// start starts the program suspended, so that none of its children is outside of the job.
func (t *tree) start(spec *Spec, w *os.File) (Process, error) {
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if n := spec.Limits.Processes; n > 0 {
		info.BasicLimitInformation.LimitFlags |= windows.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
		info.BasicLimitInformation.ActiveProcessLimit = uint32(n)
	}
	if n := spec.Limits.Memory; n > 0 {
		info.BasicLimitInformation.LimitFlags |= windows.JOB_OBJECT_LIMIT_JOB_MEMORY
		info.JobMemoryLimit = uintptr(n)
	}
	job, err := newJob(&info)
	if err != nil {
		return Process{}, err
	}
	made, err := t.create(spec, w)
	if err != nil {
		windows.CloseHandle(job)
		return Process{}, &os.PathError{Op: "start", Path: spec.Command, Err: err}
	}
	defer windows.CloseHandle(made.Thread)
	err = windows.AssignProcessToJobObject(job, made.Process)
	if err == nil {
		_, err = windows.ResumeThread(made.Thread)
	}
	if err != nil {
		windows.TerminateProcess(made.Process, 1)
		windows.CloseHandle(made.Process)
		windows.CloseHandle(job)
		return Process{}, &os.PathError{Op: "start", Path: spec.Command, Err: err}
	}
	t.job, t.pid, t.started = job, made.ProcessId, time.Now()
	go t.wait(made.Process)
	return Process{PID: int(made.ProcessId), Start: startOf(made.Process)}, nil
}

func (t *tree) create(spec *Spec, w *os.File) (made windows.ProcessInformation, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return made, err
	}
	defer null.Close()
	for _, f := range []*os.File{null, w} { // the shim starts one process at a time: no other inherits them
		if err := windows.SetHandleInformation(windows.Handle(f.Fd()), windows.HANDLE_FLAG_INHERIT,
			windows.HANDLE_FLAG_INHERIT); err != nil {
			return made, err
		}
	}
	name, err1 := windows.UTF16PtrFromString(spec.Command)
	line, err2 := windows.UTF16PtrFromString(windows.ComposeCommandLine(append([]string{spec.Command}, spec.Args...)))
	dir, err3 := windows.UTF16PtrFromString(spec.Dir)
	if err := errors.Join(err1, err2, err3); err != nil {
		return made, err
	}
	var env []uint16
	for _, v := range append(slices.Clone(spec.Env), tokenName+"="+t.token) {
		text, err := windows.UTF16FromString(v) // with its end
		if err != nil {
			return made, err
		}
		env = append(env, text...)
	}
	env = append(env, 0)
	si := windows.StartupInfo{Flags: windows.STARTF_USESTDHANDLES, StdInput: windows.Handle(null.Fd()),
		StdOutput: windows.Handle(w.Fd()), StdErr: windows.Handle(w.Fd())}
	si.Cb = uint32(unsafe.Sizeof(si))
	flags := uint32(windows.CREATE_SUSPENDED | windows.CREATE_UNICODE_ENVIRONMENT)
	if spec.Stop.Signal != "int" {
		flags |= windows.CREATE_NEW_PROCESS_GROUP // ctrl-break reaches it alone; ctrl-c would not reach it
	}
	err = windows.CreateProcess(name, line, nil, nil, true, flags, &env[0], dir, &si, &made)
	return made, err
}

// wait notes the end of the program.
func (t *tree) wait(process windows.Handle) {
	windows.WaitForSingleObject(process, windows.INFINITE)
	var code uint32
	e := Exit{Code: -1}
	if err := windows.GetExitCodeProcess(process, &code); err == nil {
		e.Code = int(int32(code))
	}
	windows.CloseHandle(process)
	t.mu.Lock()
	t.exit = &e
	t.mu.Unlock()
	select {
	case t.wake <- ended{}:
	default:
	}
}

// signal sends ctrl-c or ctrl-break. The shim has a console of its own, which the agent gives it.
func (t *tree) signal(name string) {
	if t.job == 0 {
		return
	}
	if name == "int" {
		windows.GenerateConsoleCtrlEvent(windows.CTRL_C_EVENT, 0) // the shim leaves it to the program
		return
	}
	if slices.Contains(t.members(), t.pid) {
		windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, t.pid)
	}
}

// members are the processes of the job.
func (t *tree) members() []uint32 {
	const most = 1024
	var list struct {
		Assigned, Listed uint32
		IDs              [most]uintptr
	}
	const jobObjectBasicProcessIDList = 3
	if err := windows.QueryInformationJobObject(t.job, jobObjectBasicProcessIDList, uintptr(unsafe.Pointer(&list)),
		uint32(unsafe.Sizeof(list)), nil); err != nil {
		return nil
	}
	var pids []uint32
	for _, id := range list.IDs[:min(list.Listed, most)] {
		pids = append(pids, uint32(id))
	}
	return pids
}

func (t *tree) collect() (Exit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exit == nil {
		return Exit{}, false
	}
	e := *t.exit
	t.exit = nil
	return e, true
}

// kill ends the job with every process in it.
func (t *tree) kill(most time.Duration) (left int) {
	if t.job == 0 {
		return 0
	}
	for end := time.Now().Add(most); ; time.Sleep(10 * time.Millisecond) {
		windows.TerminateJobObject(t.job, 1)
		if left = len(t.members()); left == 0 {
			windows.CloseHandle(t.job)
			t.job = 0
			return 0
		}
		if time.Now().After(end) {
			return left
		}
	}
}

// bootID is empty: the start time of a process is an absolute time on Windows.
func bootID() string { return "" }

func self() Process {
	return Process{PID: os.Getpid(), Start: startOf(windows.CurrentProcess())}
}

// startOf is the time of the start of a process in 100 ns since 1601, 0 if unknown.
func startOf(process windows.Handle) uint64 {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &created, &exited, &kernel, &user); err != nil {
		return 0
	}
	return uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime)
}

// sweep has nothing to do: the job of a shim that has ended took its processes along.
func sweep(string, *Spec) error { return nil }

// Cgroup returns "": only Linux has control groups.
func Cgroup() string { return "" }
