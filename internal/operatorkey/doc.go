// Package operatorkey signs for an operator. Only commands use it: no service holds a private key.
//
// # Model
//
// [Open] finds the operator's Ed25519 key in one of three places. In a private key file of OpenSSH, it asks for
// the passphrase on the terminal. In ssh-agent, it picks the key that the file of operators names. For the paper
// in the envelope, it asks for the line on the terminal. No secret is ever an argument of a command. The [Signer]
// knows the operator's name and makes signatures that package internal/sshsig checks.
//
// # The envelope
//
// A site keeps a second key on paper for the loss of all others, see [NewEnvelope]: one line of 52 letters and
// digits, 20 bits of which are a check sum. It is named breakglass in the file of operators.
//
// # Failure
//
// An error says which keys were found, which would have been accepted, and the next command. An agent may wait
// for the user's consent for any time; the end of Open's context ends every wait for an agent.
//
// # Concurrency
//
// A Signer may be used from any goroutine. No goroutine runs.
package operatorkey
