// Package attack makes attacks on real processes, and shows what becomes of
// them. It holds tests alone, for Linux and root.
//
// A test builds a site: hosts that are network namespaces (internal/lab), a
// provider and a consumer that calls it all the time, which are this test
// binary started again, and a laptop on their switch, from which the test
// itself speaks: THeader frames, TLS records, datagrams, SQL, and the internal
// service by an rpc.Client with whatever the attacker holds. Each attack must
// fail, the victim's log must say so a bounded number of times with the
// attacker's address, and meanwhile no honest call may fail.
//
// # Set-ups
//
// TestAttacks and TestDatabase run in four: no key; files of the site's key;
// mutual TLS with site.keys: certificates; both. All but the first name
// operators. Without a file of keys, both processes stand on one host, as the
// LAN is closed to others; there another program of the host, or any holder of
// a certificate, counts as a member.
//
//	attack                               no key  key  mTLS  both  test
//	a stranger calls what steers            x     x     x     x   a stranger asks and steers
//	entries unsigned, altered, of others    x     x     x     x   entries without proof
//	  … survive a restart, planted file     x     x     x     x   nothing survives a restart
//	  … replayed, reordered, elsewhere      -     x     x     x   old entries again
//	  … of a removed operator               -     x     x     x   an entry of a removed operator
//	promise, bar, leave by a member         -     x     x     x   a member without operator's key steers
//	promise turned into a commit            -     x     x     x   a promise becomes no commit
//	promise taken back by another           -     x     x     x   another command abandons
//	rounds, ghosts, stolen names            x     x     x     x   rounds out of reach, ghosts
//	relay, own name, other cluster          -     x     -     x   led on, the key under another cluster's name
//	fake providers, false goodbyes          x     x     x     x   false providers, goodbyes and alarms in another name
//	a member that speaks in the clear       x     x     x     x   a member in the clear
//	amplification, flood, recording         -     x     -     x   little asks for much, a flood, and a recording
//	silent connections                      x     x     x     x   all connections taken
//	handshakes that stand                   -     x     x     x   handshakes that stand
//	bombs, callers' names, waiters          x     x     x     x   bombs, callers without end, waiters
//	database: notices, rules, locks         x     x     x     x   TestDatabase
//	traces of outsiders hold a drain        x     x     -     x   tokens of strangers
//	tokens far ahead                        x     x     x     x   tokens far ahead
//	commands in settings, escapes           -     x     -     -   TestReleaseSettings, TestTerminal
//	planted files and state                 -     x     -     -   TestPlantedFiles, TestPlantedState
//	passwords shown                         one               TestShownConfiguration
//	gateway: paths, upgrades, bodies        -     x     -     -   TestGateway
//
// A minus says that the set-up has no such attack: without operators' keys
// there is no proof to lack, without the site's key no site connection, and on
// a host alone no datagram comes in. The rows of TestReleaseSettings and below
// do not depend on the set-up.
//
// Not tried here: a user of the host itself where there is no key, the
// database's superuser, and root of a host. These are members by design.
package attack
