package broadcast

import "fmt"

// A counterFinding is the meaning of a counter of a self-test above zero.
type counterFinding struct {
	count func(s *Stats) uint64
	wrong bool   // an operator must act
	what  string // with the count
	do    string
}

// faults are counters that mean a fault.
var faults = []counterFinding{
	{
		func(s *Stats) uint64 { return s.Version }, true,
		"%d packets have a version that this release does not know",
		"bring all hosts to one release",
	},
	{
		func(s *Stats) uint64 { return s.Old }, true,
		"%d packets came from processes of skerry before 0.2",
		"bring all hosts to one release",
	},
	{
		func(s *Stats) uint64 { return s.OwnName }, true,
		"%d packets bear the name of this process and are not its own",
		"find the sender and rotate the key (skerry key rotate)",
	},
}

// oddities are counters that may be in order.
var oddities = []counterFinding{
	{
		func(s *Stats) uint64 { return s.Foreign }, false,
		"%d packets of other clusters share the port",
		"nothing, if that is meant; else compare the cluster names",
	},
	{
		func(s *Stats) uint64 { return s.Elsewhere }, false,
		"%d packets came in on interfaces that were not chosen",
		"add their interface to lan.interfaces if it should count",
	},
	{
		func(s *Stats) uint64 { return s.Sequence }, false,
		"%d packets had a sequence number far ahead of their sender's last one",
		"nothing, if it stays at one; else find out what repeats or forges packets",
	},
	{
		func(s *Stats) uint64 { return s.FalseGoodbye }, false,
		"%d goodbyes named processes that stay",
		"find the sender: it holds the key of the site",
	},
	{
		func(s *Stats) uint64 { return s.Full }, false,
		"%d senders found no place: too many of one address, or in all",
		"find out what sends there; the log names the address",
	},
	{
		func(s *Stats) uint64 { return s.Undelivered }, false,
		"%d processes announce lists that can't be fetched",
		"check that the TCP ports of the other hosts can be reached from here",
	},
	{
		func(s *Stats) uint64 { return s.Replay }, false,
		"%d packets had been seen before",
		"nothing, if it stays at a few; else find out what repeats packets",
	},
	{
		func(s *Stats) uint64 { return s.Malformed }, false,
		"%d packets were not skerry's",
		"find out what else uses the port",
	},
}

// diagnose reads the counters of a self-test. With seeds, silence is a fault.
func diagnose(s Stats, peers []Peer, at portRange, seeds bool) Report {
	rep := Report{Interfaces: s.Interfaces, Peers: peers, Stats: s, OnlySelf: len(peers) == 0}
	ports := at.String()
	if len(s.Interfaces) == 0 {
		rep.add(true, "none of the chosen network interfaces is up",
			"bring an interface up, or name one that exists under lan.interfaces")
	}
	for _, i := range s.Interfaces {
		rep.OnlySelf = rep.OnlySelf && i.HeardGroup+i.HeardDirect == 0
		rep.addInterface(i, ports)
	}
	if s.Unproven > 0 && len(peers) == 0 {
		rep.add(false,
			"others are heard, and none of them answers: what this host sends does not arrive, or their answers do not",
			"nothing, if they have ended since; else allow UDP ports "+ports+" out of this host and into the others, "+
				"and their answers back in, and check cables and switch")
	}
	rep.addCounters(faults)
	if rep.OnlySelf && len(s.OtherKey) == 0 { // Stats.OtherKey is reported by the caller
		name := ""
		if s.Foreign > 0 {
			name = "compare the cluster's name, as processes of another cluster are heard; "
		}
		rep.add(seeds, "I hear only myself",
			"if there should be others: "+name+"allow UDP ports "+ports+" on them and here, check that they are "+
				"in the same VLAN and have the same key, or name one of them under lan.seeds")
	}
	rep.addCounters(oddities)
	if s.Unproven > 0 && len(peers) > 0 {
		rep.add(false, fmt.Sprintf("%d announcements came from senders that did not answer when asked", s.Unproven),
			"check that unicast UDP passes between the hosts both ways")
	}
	return rep
}

func (r *Report) add(wrong bool, what, do string) {
	r.Findings = append(r.Findings, Finding{What: what, Do: do, Wrong: wrong})
}

// addCounters adds a finding for each counter above zero.
func (r *Report) addCounters(list []counterFinding) {
	for _, f := range list {
		if n := f.count(&r.Stats); n > 0 {
			r.add(f.wrong, fmt.Sprintf(f.what, n), f.do)
		}
	}
}

// addInterface adds the faults of an interface.
func (r *Report) addInterface(i InterfaceStats, ports string) {
	switch {
	case i.SendFailed > 0 && i.Sent == 0:
		r.add(true, fmt.Sprintf("nothing can be sent on %s: %s", i.Name, i.LastError),
			"check the interface and the local firewall's outgoing rules")
	case i.HeardOwn == 0:
		r.add(true, i.Name+" does not hear its own broadcasts",
			"allow UDP ports "+ports+" in and out in the local firewall")
	}
}
