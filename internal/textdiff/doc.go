// Package textdiff compares two texts line by line, for people.
//
// The search for the shortest difference (Myers) is bounded: texts that differ in more than a few thousand lines are
// shown as one block that goes and one that comes.
package textdiff
