// Package lab is a LAN for tests. Its hosts are network namespaces, joined by bridges in a namespace of their
// own, so that the machine's interfaces, routes and firewall stay unchanged and no packet leaves. It raises one
// limit of the machine: the number of neighbours that all hosts together may know.
//
//	lan := lab.New(t, 8, lab.Second(2))       // hosts 0 and 1 also have eth1 on a second LAN
//	p := lan.Host(3).Start(os.Args[0], "-test.run=^TestNode$")
//	lan.Loss(10)                              // every host drops 10 % of the arriving packets
//	lan.Host(3).Cut()                         // its cable is pulled
//	p.Kill()                                  // kill -9
//
// Host i has eth0 10.77.0.(i+1)/24 and, if asked for, eth1 10.78.0.(i+1)/24, IPv6 link-local addresses that are
// usable at once, and no default route, as is usual on an isolated network.
//
// The end of the test removes everything, with the processes that were started in it; the next run removes the
// remains of a crashed one. The package needs Linux, root, ip (iproute2) and nft (nftables), and fails the test
// when one is missing. Loss is an nftables ingress hook, because tc netem is not in every kernel.
//
// A test that wants its own sockets inside a host starts its own binary there: Command(os.Args[0],
// "-test.run=^TestNode$") with an environment variable that makes TestNode do the work of a node.
package lab
