// Package refusal names the kinds of refusals of a process, with their meaning and the operator's next step.
// Processes count by these names and commands show the texts, so the two agree.
//
// An unknown kind, counted by a process of a later release, is shown by its name.
package refusal
