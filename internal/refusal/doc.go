// Package refusal names the kinds of what a process refuses, with what each
// means and what an operator does about it. Processes count by these names and
// commands show the texts, so the two agree.
//
// A kind that a process of a later release counts and this one does not know
// is shown by its name.
package refusal
