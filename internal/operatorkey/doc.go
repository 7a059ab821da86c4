// Package operatorkey signs for an operator. Only commands use it: no service
// holds a private key.
//
// # Model
//
// [Open] finds the operator's Ed25519 key: in a private key file of OpenSSH,
// whose passphrase is asked for on the terminal; in ssh-agent, where it takes
// the key that the file of operators names; or from the paper in the envelope,
// whose line is asked for on the terminal. No secret is ever an argument of a
// command. The [Signer] tells the operator's name and makes signatures that
// package internal/sshsig checks.
//
// # The envelope
//
// A site keeps a second key on paper for the loss of all others, see
// [NewEnvelope]: one line of 52 letters and digits, 20 bits of which are a check
// sum. It is named breakglass in the file of operators.
//
// # Failure
//
// An error says which keys were found, which would have been taken, and the
// command that goes on. An agent may wait for a person's consent as long as it
// likes; the end of Open's context ends every wait for an agent.
//
// # Concurrency
//
// A Signer may be used from any goroutine. No goroutine runs.
package operatorkey
