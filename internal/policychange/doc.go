// Package policychange holds the steps by which an operator changes the policy of a site: what the commands of skerry
// policy and the pages of the console have in common.
//
// # Model
//
// A [Site] is the policy of a site as it was read, with the entry in force. A step prepares the next entry of the log
// ([Site.ToApply], [Site.ToUndo], [Site.ToSwitch], [Site.ToConfirm]): it compares the policy with the living
// instances, with what the processes understand, and with the callers that it would cut off. What does not fit is a
// fault; an operator may accept it by its key. [Site.Make] signs and brings the entry, [Site.Outcome] waits until it
// is obeyed. [Site.Try] says what a text would have done, and changes nothing.
//
// Texts are English, and have Chinese ones in internal/words: [words.Language.Sentence] finds them.
//
// # Failure
//
// An error of [Unreachable] means that the site did not answer. Every other error means that the step is refused; its
// text says what to do.
//
// # Tests
//
// The judgements are played on lists in memory here. The commands and the console play whole changes on real sites.
package policychange
