// Package form reads the text of a policy.
//
// # Model
//
// [Read] is strict, for operators: every mistake is reported with line, column and key, an unknown key with the
// probable one, and a text with a mistake is no policy. [Understand] is for processes: a text that a later version of
// skerry has written may have keys that this one does not know. An item with such a key is left out whole, and the rest
// is obeyed. What was left out has its key and its reason, so that the process can say it.
//
// # Failure
//
// A text that is no YAML, is longer than [MaxText], or begins with another version of the form, is refused whole. The
// process keeps the policy that it had. Where a process does not understand a part of the access lists of a service, it
// keeps the lists that it understood last ([KeepAccess]).
//
// # Limits
//
// Texts are read up to [MaxText] bytes; the limits of the one YAML reader (internal/yamlfile) hold, and those of
// policy.Check.
//
// # Tests
//
// The form of the design is read and compiled. Fuzz tests feed both functions any text: what Read takes has no finding
// in Understand, and means the same there.
package form
