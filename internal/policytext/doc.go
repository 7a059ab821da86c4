// Package policytext adds an item to the text of a policy, as a form does that stands beside the text.
//
// # Model
//
// The text stays the one truth. [Insert] finds the list that the item belongs to, writes what is missing of the keys
// above it, and puts the item first in the list, on a line of its own. Nothing else of the text changes: comments,
// order and spaces stay. Mappings and lists may stand on lines of their own or in braces.
//
// # Failure
//
// A text that form.Read refuses is not touched. A place that is an alias, or no mapping, is refused with the item's
// text, so that an operator can write it by hand. What comes out is read again: it has one item more than before, or
// mistakes that form.Read names.
//
// # Tests
//
// Texts of all styles get an item in every list; a fuzz test inserts into any text that is a policy.
package policytext
