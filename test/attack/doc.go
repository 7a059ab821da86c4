// Package attack attacks real processes and checks the result. It holds only tests, for Linux and
// root.
//
// A test builds a site: hosts that are network namespaces (internal/lab), a provider, and a
// consumer that calls it all the time. Both are this test binary started again. On their switch is
// a laptop, from which the test itself sends THeader frames, TLS records, datagrams, SQL, and calls
// of the internal service with the attacker's keys. Each attack must fail, and the victim's log
// must report it a bounded number of times with the attacker's address. Meanwhile no honest call
// may fail.
//
// # Set-ups
//
// TestAttacks and TestDatabase run in four set-ups: no key; files of the site's key; mutual TLS
// with site.keys: certificates; both. All but the first name operators. Without a key file, both
// processes run on one host, because the LAN is closed to other hosts. There another program of the
// host, or any holder of a certificate, counts as a member.
//
//	attack                               no key  key  mTLS  both  test
//	a stranger calls what steers            x     x     x     x   a stranger asks and steers
//	entries unsigned, altered, of others    x     x     x     x   entries without proof
//	  … survive a restart, planted file     x     x     x     x   nothing survives a restart
//	  … replayed, reordered, elsewhere      -     x     x     x   old entries again
//	  … of a removed operator               -     x     x     x   an entry of a removed operator
//	promise, bar, leave by a member         -     x     x     x   a member without operator's key steers
//	orders to drain: forged, replayed …     x     x     x     x   orders to drain
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
// A minus says that the set-up has no such attack: without operators' keys no proof is required,
// without the site's key there is no site connection, and a host alone receives no datagram. The
// rows from TestReleaseSettings on do not depend on the set-up.
//
// Not covered: a user of the host itself without a key, the database's superuser, and root of a
// host. These are members by design.
package attack
