// Package doctor has the checks that a process makes of itself and of its host, for `skerry doctor` and for the
// processes of a site, which answer them to members (method doctor of skerry.internal).
//
// # Model
//
// A check is a function that returns findings: an area, a level, a text and the step that cures it. [Checker] runs
// checks beside one another. [ByHost] joins the reports of many processes, and [Redacted] takes the names of a site
// out of them.
//
// # Failure
//
// A check has a limit of time. One that has not ended by then, such as a write to a disk that hangs, is a finding; its
// goroutine goes on, and the check is not begun again before it has ended. A check changes nothing but a file that it
// makes and removes in the state directory.
//
// Reports come from other processes: [Read] bounds them and makes every character of them visible.
//
// # Cost
//
// Every service links this package: it imports what the root package links already, and nothing of HTTP.
package doctor
