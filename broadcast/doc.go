// Package broadcast is the registry that needs no server: the LAN itself.
//
// # Model
//
// A process announces its registrations to everyone when it starts, at 0, 1
// and 2 s, and then every 3 minutes less up to a tenth. Who watches a service
// asks for it, at 0, 1 and 2 s and once more 10 to 20 s later, and its
// providers answer by unicast after a short random delay that grows with the
// number of hosts. Three and more questions within a fifth of a second, as when
// power returns to a site, get one answer together, to everyone, and of as many
// strangers two are probed and the rest asked in that answer: a unicast to
// each other host would cost the site a packet of ARP to all for each pair.
// What nobody here watches is ignored. A process
// that leaves says goodbye three times, and shows a token whose hash it has
// told before. An entry that was not refreshed for a
// period, which is 80 % of its life of 1.25 periods, is asked for by unicast,
// sixteen times, and dropped only when nothing answers; a suspect (see
// [Registry.Suspect]) is asked at once, for 600 ms, and a killed process sooner
// betrayed by its host, whose kernel refuses the port. A suspect that refuses,
// or does not answer the first question, is told to everybody by an alarm, and
// all others ask for themselves, for 480 ms, at times that differ; a process that
// is accused and lives says so to all at once. The alarm is said three times, and
// counts from processes that the receiver does not know, as callers that offer
// nothing are known to their providers only. A silent peer is asked
// again for ten minutes, at growing intervals up to half a minute that vary;
// the first one that is heard again, and who is probed by somebody it took for
// dead, makes both sides ask all others. So a mended switch brings a site
// together within seconds (TestBrokenSwitch), two hosts within half a minute.
//
// # Guarantees
//
//   - A new instance is known to all of 8 hosts within 1 s, at 10 % loss
//     within 3 s; a goodbye within 300 ms; a killed process that somebody
//     suspects is off the lists within 1 s (TestLANBounds, TestSimulatedBounds).
//   - When one of 32 hosts suspects a dead process it is off all lists within
//     250 ms, within 750 ms when its host is gone, too; with 10 % loss within
//     900 ms (TestAlarm, TestAlarmIsRepeated). An alarm about a process that lives
//     takes nothing away. Alarms make a process ask at most 20 others a second,
//     those of unknown processes 10 more, and a known one whose alarms were false
//     is not listened to for up to a minute (TestAlarmInVain, TestAlarmFlood,
//     TestAlarmsOfUnknown).
//   - The return of power to 32 hosts costs the busiest one about 550
//     packets, ARP included, to 100 hosts fewer than 2,000, with 10 % loss about
//     as many, at times 2,600 (TestColdStarts). It
//     ends well, if late, on hosts so busy that answers take seconds and buffers
//     overflow (TestColdStartOfBusyHosts).
//   - No living instance is dropped for lost packets (TestSteadyState).
//   - Packets of another cluster, key or packet version are ignored, counted in
//     [Stats], and warned of once with the sender's address (TestLANStrangers,
//     TestRefusalsAreToldOnce). At most 64 processes with another key are
//     remembered, and told at times that their key is another one
//     (TestOtherKeyIsBounded, TestOtherKeyIsTold).
//   - Without a key only the loopback interface is used. The first key, and a
//     rotation, take effect within two seconds (TestLANWithoutKey), at once where
//     [Config.KeysChanged] tells of them.
//   - While a key is awaited (Config.LateKeys) nothing is said or heard, so that
//     nothing counts as another key's (TestNothingIsSaidBeforeTheKey).
//   - Recorded packets bring nobody back (TestReplay, TestLANReplay), forged
//     ones list nobody, and a flood costs bounded memory and processor time
//     (TestForgedFlood, TestLANFlood). A thousand made-up senders a second from
//     one address delay no provider of another one (TestStrangersByAddress).
//   - A process with the key takes no living process off a list, whatever it
//     says in its name and by whatever number (TestFalseGoodbye,
//     TestNumbersAhead). See "Members that lie".
//   - An address that has not answered gets at most three times the bytes that
//     came from it (TestAmplification, TestRecordedQueries).
//   - Snapshots are Partial: who is not heard may still exist. They are Lost
//     only while none of the chosen interfaces is up; lists are then kept.
//
// # Packets
//
// A datagram has at most [MaxPacket] bytes: a header with cluster, sender and
// sequence number, a body of internal/wire/skerry.thrift, and an HMAC-SHA256 by a key of
// the site's ring. The first key seals, all open. No clock of another host is
// trusted. Text and numbers in packets are checked before they are used.
//
// A sequence number counts once. An unknown sender's announcement is a hint: the
// sender is sent a probe with a random nonce and believed when it returns it,
// which a recording can't. Answers to a query bear the query's nonce, or
// several, and are believed at once. Answers to a probe count for ten seconds at
// least. Copies that come other ways are known by their MAC.
//
// An answer has at most three times the bytes of its question while the address
// of the question has not answered a nonce itself. Queries are padded so that
// an answer may fill a datagram, and probes so that it may be as long as the last
// word of the peer. The parts of a long list wait for that answer.
//
// Registrations that do not fit are announced by their hash and
// fetched over TCP by Config.Fetch, or asked for in parts; a fetched list must
// have the hash that the authentic packet named. A peer whose fetches fail six
// times in a row is asked for parts alone for ten minutes, and one that sends
// no parts either is not asked for its list in that time (TestUndelivered).
//
// # Members that lie
//
// The key shows that a packet comes from a member, and not from which one. What
// harms another process is therefore asked back:
//
//   - A known peer is heard at addresses where it has answered. A new address is
//     asked first (TestNewAddress).
//   - A goodbye without the token, a list without what was in it, and one that
//     says that something in it is leaving, make the registrations the last
//     choice: they are listed as leaving. The peer is asked. It says that it
//     leaves, its host refuses the port, or nothing answers for 1.5 s: then they
//     are off the lists. Or it answers, and they are listed as it says. After a false goodbye the next one waits, up to ten seconds.
//   - A number more than 2^20 ahead, or far behind, is not taken. The peer is
//     asked, and its answer says where its numbers are. An answer to a question
//     counts whatever its number.
//   - An alarm is a reason to ask. A process that hears a goodbye or an alarm in
//     its own name announces itself.
//
// Not covered: a process with the key that also forges source addresses, or
// answers for others on their addresses (ARP), can delay and hide. So can one
// that speaks first for a process that has just started.
//
// # Network
//
// All processes of all hosts share one UDP port, [DefaultPort], for what goes
// to everyone. Each speaks from, and is answered at, ports of its own, some of
// the [OwnPorts] behind it, since of several processes only one would get a
// unicast to the shared port. A firewall must let UDP in to all of them. What goes to everyone leaves every chosen interface
// three ways: limited broadcast, the multicast group 239.255.77.83, and on
// IPv6 ff12::534b:5259. The sockets are bound to the interface's addresses, so no
// route is needed. By default the interfaces are all that are up and lead to
// the LAN, and loopback, by which processes of a host without any network
// find each other; the choice holds for both directions. Every two seconds it
// is compared with the host: a new interface or address is bound, announced
// and asked on.
//
// Where broadcast does not pass, Config.Seeds are asked by unicast, every ten
// seconds while nobody is known there, and name whom they know; the same goes
// for peers remembered from the last run ([State]). Peers with whom only
// unicast passes are told by unicast what others are told by broadcast.
//
// A steady LAN carries announcements and nothing else: about 21 an hour from
// each host, three datagrams each.
//
// # Inside
//
// The protocol is a pure core: datagrams, events and the time go in, datagrams
// and changed lists come out. Tests simulate LANs of up to 32 hosts and hours
// of loss with it in milliseconds. The shell around it is one goroutine that
// sends and shows, a reader for each socket, and a mutex over the core. The
// registry passes registrytest on the loopback interface, and its bounds are
// measured between network namespaces (internal/lab).
//
// [Advertise] chooses the address that others are told, with reasons, and
// [SelfTest] says what is wrong with the network, for "skerry doctor".
package broadcast
