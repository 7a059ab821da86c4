// Package join takes a host into a site by one token that a person types.
//
// # Model
//
// An [Inviter] runs at the operator's seat, in the command skerry site invite, and makes a token for each host. The
// host's administrator types it into skerry agent join. The token is 115 random bits and a check sum; it never goes
// over the network. Both sides derive a key from it, and prove to each other by TLS 1.3 that they have it. The inviter
// then sends the [Membership]: the site's key, the operators' and builders' public keys, the authority, and a
// certificate. The private key of that certificate is made on the host and stays there.
//
// # Guarantees
//
// A stranger on the network learns nothing, also one that has recorded everything and finds the paper with the token
// later: the keys of a TLS connection are gone with it. A stranger in the middle can neither give a host a site nor get
// a membership. The name that a handshake shows says nothing of the token.
//
// A token is for one host by its name, one use and one hour, by the inviter's monotonic clock. What was used is said to
// each later caller, with the address that has used it. Nothing of it is on any disk: invitations end with the inviter.
//
// # Failure
//
// A host that can't write its files says so, and its invitation is spent: membership has been handed out. Invite it
// again. Connections are bounded, in all and by address, and each ends after half a minute.
//
// # Tests
//
// Strangers in the middle, wrong, used, foreign and expired tokens, floods, recorded traffic, hosts that break off.
package join
