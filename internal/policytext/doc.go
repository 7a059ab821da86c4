// Package policytext adds an item to the text of a policy, changes one or takes one out, as a form does that stands
// beside the text.
//
// # Model
//
// The text stays the one truth. [Insert] finds the list that the item belongs to, writes what is missing of the keys
// above it, and puts the item first in the list, on a line of its own. [Replace] writes an item in the place of another
// one, with the fields of that which [Others] returns. [Remove] takes the lines of an item out, and those of the keys
// above it that hold nothing else. Nothing else of the text changes: comments, order and spaces stay. Mappings and
// lists may stand on lines of their own or in braces.
//
// # Failure
//
// A text that form.Read refuses is not touched. A place that is an alias, or no mapping, is refused with the item's
// text, so that an operator can write it by hand, and so is a change of an item with comments inside. What comes out is
// read again: it says the same as before but for the item, or has mistakes in that which form.Read names.
//
// # Tests
//
// Texts of all styles get an item in every list, change and lose one; fuzz tests do so with any text that is a policy.
package policytext
