// Package shim owns one running instance of a program on a host.
//
// # Model
//
// The agent of a host writes a [Spec] into a directory and starts `skerry shim DIR`. That process starts the program,
// reads its output into log files, starts it again when it ends, and answers questions on a Unix socket in DIR. The
// agent may end, be killed or be replaced: shim and program go on, and the next agent finds them by the directory.
//
// The directory holds:
//
//	spec.json          what runs; written by the agent
//	lock               held as long as the shim lives: a free lock is the proof that no shim is there
//	state.json         the last State, replaced whole
//	sock               the socket: one line of JSON asks, one line answers
//	log, log.1 … .3    the output of the program, 16 MiB each
//
// # Guarantees
//
// One directory has one shim, by the lock. One shim has one instance: it starts the program only after every process
// of the start before is dead.
//
// No stranger is ever signalled. The shim signals its child while the child is unreaped, so that the number is its
// own, and other processes only as descendants of itself or members of its control group. What an earlier shim left
// is found by the control group and by a random token in the environment, never by a number in a file.
//
// The program never waits for its log. Lines are cut at 64 KiB. What the disk does not take is dropped and counted.
//
// # Failure
//
// A program that ends is started at once, then after 1 s, doubling to 60 s, with jitter; five minutes up forget it.
// Five ends in ten minutes are a crash loop: the shim says so, and goes on at 60 s at most.
//
// A shim that is killed takes its program along: on Linux by the parent-death signal, on Windows by the job object.
// Other descendants die when the agent starts the next shim in the directory, which sweeps first. A descendant escapes
// the sweep only if it has no control group and has overwritten its environment.
//
// On Linux the instance has a control group of its own below [Spec.Cgroup], with limits and with cgroup.kill. Without
// one there are the session, the child subreaper and no limits; State.Unenforced names the limits that do not hold.
//
// # Tests
//
// The decisions in time are those of machine and Restarts, which are pure and played in virtual time, also with random
// events. The rest runs with real processes.
package shim
