// Package broadcast is the registry that needs no server: the LAN itself.
//
// # Model
//
// A process announces its registrations when it starts, at 0, 1 and 2 s, and then
// every 3 minutes, less up to a tenth. A process that watches a service queries
// for it at 0, 1 and 2 s, and once more 10 to 20 s later. Providers answer by
// unicast, after a short random delay. Queries that come together are answered
// together, by one broadcast. A process that leaves says goodbye three times.
//
// An entry that was not refreshed for a period is probed by unicast, sixteen
// times, and dropped only when nothing answers. A suspect ([Registry.Suspect]) is
// probed at once, for 600 ms; a killed process is detected earlier, because its
// host answers with ICMP port unreachable. The suspicion is sent to all others,
// and each probes the suspect itself, at times that differ. Silent peers are
// probed again for ten minutes, so that a repaired network comes together.
//
// Packets have at most [MaxPacket] bytes and an HMAC-SHA256 by a key of the site's
// ring. The first key seals, all open. A list that does not fit is announced by
// its hash, and fetched by TCP or in parts. All processes share one UDP port, and
// each has a port of its own among the 100 behind it (Config.Ports), for unicast. Broadcasts leave
// each interface three ways: limited broadcast, IPv4 multicast and IPv6 multicast.
// Where they do not pass, [Config].Seeds and remembered peers are queried by
// unicast. [Advertise] chooses the address to which others connect, and [SelfTest]
// finds faults of the network.
//
// # Guarantees
//
//   - A new instance is known to all of 8 hosts within 1 s, at 10 % loss within 3 s;
//     a goodbye within 300 ms; a killed process that one host suspects is off all
//     lists within 1 s (TestLANBounds, TestSimulatedBounds, TestAlarm). Callers on
//     both sides of a router hear of it (TestSuspicionCrossesRouter).
//   - No living instance is dropped for lost packets (TestSteadyState). The return
//     of power to 100 hosts costs each fewer than 2,700 packets (TestColdStarts).
//   - Packets of another cluster, key or version are ignored, counted in [Stats], and
//     logged once for each host (TestLANStrangers, TestRefusalsAreToldOnce,
//     TestEachHostIsNamedOnce). Without a key only the loopback interface is used
//     (TestLANWithoutKey), and while a key is awaited nothing is sent
//     (TestNothingIsSaidBeforeTheKey).
//   - A recording brings no process back: an unknown sender must return a fresh nonce,
//     and a sequence number counts once (TestReplay, TestLANReplay). Forged packets
//     list nothing, and a flood costs bounded memory and processor time
//     (TestForgedFlood, TestLANFlood, TestStrangersByAddress).
//   - A member that lies takes no living process off a list. A goodbye without the
//     token, a list without what was in it, a number far ahead and a new address are
//     reasons to probe the peer (TestFalseGoodbye, TestNumbersAhead, TestNewAddress).
//   - An address that has not answered gets at most three times the bytes that came
//     from it (TestAmplification, TestRecordedQueries).
//   - Snapshots are Partial: an instance that is not heard may still exist.
//
// Not covered: a member that also forges source addresses, or answers for other
// hosts (ARP), can delay and hide. So can one that speaks first for a process that
// has just started.
//
// # Concurrency
//
// The protocol is a pure core: datagrams, events and the time go in, datagrams and
// changed lists come out. Around it are one goroutine that sends and publishes, a
// reader for each socket, and a mutex over the core. All methods of [Registry] may
// be called from any goroutine.
//
// # Failure
//
// While none of the chosen interfaces is up, snapshots are Lost and lists are kept.
// Interfaces are compared with the host every two seconds; a new one is bound,
// announced and queried on. A fetch that fails six times is not tried for ten
// minutes (TestUndelivered). Errors of sending are counted for each interface.
//
// # Tests
//
// LANs of up to 100 hosts and hours of loss are simulated in milliseconds, by seeds
// that are printed. The registry passes registrytest on the loopback interface, and
// its bounds are measured between network namespaces (internal/lab).
package broadcast
