package broadcast

import (
	"context"
	"fmt"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// selfTestTime is enough for the three queries of a start and their answers.
const selfTestTime = 2*burstGap + 2*maxDelay

// Report is what a SelfTest found.
type Report struct {
	Interfaces []InterfaceStats
	Peers      []Peer // who answered
	Stats      Stats
	OnlySelf   bool      // nobody else was heard on any interface
	Findings   []Finding // what to look into, the worst first; empty when all is well
}

// Finding is something that is wrong or strange, and what to do about it.
type Finding struct {
	What  string
	Do    string
	Wrong bool // something must be done; otherwise it may be as it should
}

// SelfTest asks everybody on the LAN who they are, for three seconds, and says
// which interfaces hear themselves and others. It registers nothing, and uses
// an owner of its own, so that it can run beside a process of the same host.
func SelfTest(ctx context.Context, cfg Config) (Report, error) {
	cfg.Owner = registry.NewOwner()
	cfg.SavePeers = nil
	r, err := New(cfg)
	if err != nil {
		return Report{}, err
	}
	stop := r.Watch(registry.AllServices, func(registry.Snapshot) {})
	defer stop()
	g := run.NewGroup(ctx)
	g.Go(r.Run)
	cut := run.Sleep(ctx, selfTestTime)
	stats, peers := r.Stats(), r.Peers()
	if err := g.Stop(); err != nil {
		return Report{}, err
	}
	if cut != nil {
		return Report{}, fmt.Errorf("LAN self-test: %w", cut)
	}
	return diagnose(stats, peers, r.cfg.Port, len(r.cfg.Seeds) > 0), nil
}

// diagnose reads the counters of a test. With seeds, hearing nobody is wrong.
func diagnose(s Stats, peers []Peer, port int, seeds bool) Report {
	rep := Report{Interfaces: s.Interfaces, Peers: peers, Stats: s, OnlySelf: len(peers) == 0}
	find := func(wrong bool, do, what string, args ...any) {
		rep.Findings = append(rep.Findings, Finding{What: fmt.Sprintf(what, args...), Do: do, Wrong: wrong})
	}
	if len(s.Interfaces) == 0 {
		find(true, "bring an interface up, or name one that exists under lan.interfaces", "none of the chosen network interfaces is up")
	}
	for _, i := range s.Interfaces {
		rep.OnlySelf = rep.OnlySelf && i.HeardGroup+i.HeardDirect == 0
		switch {
		case i.SendFailed > 0 && i.Sent == 0:
			find(true, "check the interface and the local firewall's outgoing rules", "nothing can be sent on %s: %s", i.Name, i.LastError)
		case i.HeardOwn == 0:
			find(true, fmt.Sprintf("allow UDP ports %d-%d in and out in the local firewall", port, port+unicastPorts),
				"%s does not hear its own broadcasts", i.Name)
		}
	}
	if s.Unproven > 0 && len(peers) == 0 {
		find(false, fmt.Sprintf("nothing, if they have ended since; else allow UDP ports %d-%d out of this host and into the others, "+
			"and their answers back in, and check cables and switch", port, port+unicastPorts),
			"others are heard, and none of them answers: what this host sends does not arrive, or their answers do not")
	}
	if s.Version > 0 {
		find(true, "bring all hosts to one release", "%d packets have a version that this release does not know", s.Version)
	}
	if s.Old > 0 {
		find(true, "bring all hosts to one release", "%d packets came from processes of skerry before 0.2", s.Old)
	}
	if s.OwnName > 0 {
		find(true, "find the sender and rotate the key (skerry key rotate)", "%d packets bear the name of this process and are not its own", s.OwnName)
	}
	if rep.OnlySelf && len(s.OtherKey) == 0 { // Stats.OtherKey is for the caller to tell
		find(seeds, fmt.Sprintf("if there should be others: allow UDP ports %d-%d on them and here, check that they are in the same VLAN and have the same key, or name one of them under lan.seeds", port, port+unicastPorts),
			"I hear only myself")
	}
	diagnoseOddities(s, len(peers) > 0, find)
	return rep
}

// diagnoseOddities reads the counters that may be as they should.
func diagnoseOddities(s Stats, answered bool, find func(wrong bool, do, what string, args ...any)) {
	if s.Foreign > 0 {
		find(false, "nothing, if that is meant; else compare the cluster names", "%d packets of other clusters share the port", s.Foreign)
	}
	if s.Elsewhere > 0 {
		find(false, "add their interface to lan.interfaces if it should count", "%d packets came in on interfaces that were not chosen", s.Elsewhere)
	}
	if s.Sequence > 0 {
		find(false, "nothing, if it stays at one; else find out what repeats or forges packets",
			"%d packets had a sequence number far ahead of their sender's last one", s.Sequence)
	}
	if s.FalseGoodbye > 0 {
		find(false, "find the sender: it holds the key of the site", "%d goodbyes named processes that stay", s.FalseGoodbye)
	}
	if s.Full > 0 {
		find(false, "find out what sends there; the log names the address", "%d senders found no place: too many of one address, or in all", s.Full)
	}
	if s.Undelivered > 0 {
		find(false, "check that the TCP ports of the other hosts can be reached from here",
			"%d processes announce lists that can't be fetched", s.Undelivered)
	}
	if s.Unproven > 0 && answered {
		find(false, "check that unicast UDP passes between the hosts both ways", "%d announcements came from senders that did not answer when asked", s.Unproven)
	}
	if s.Replay > 0 {
		find(false, "nothing, if it stays at a few; else find out who repeats packets", "%d packets had been seen before", s.Replay)
	}
	if s.Malformed > 0 {
		find(false, "find out what else uses the port", "%d packets were not skerry's", s.Malformed)
	}
}
