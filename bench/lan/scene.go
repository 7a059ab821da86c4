package lan

import (
	"context"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// sample is one value of one system, loss and round, in seconds or packets.
type sample struct {
	System string
	Loss   float64
	What   string
	Value  float64
}

// The things that are measured.
const (
	coldStart    = "cold start: all know all, s"
	coldPackets  = "cold start: packets of the busiest host"
	coldUDP      = "cold start: sent by a host, UDP"
	coldTCP      = "cold start: sent by a host, TCP"
	coldARP      = "cold start: sent by a host, ARP"
	coldND       = "cold start: sent by a host, IPv6 neighbours and groups"
	killAvoided  = "kill -9: last call begun, s"
	killCalls    = "kill -9: calls that still went to it"
	killOff      = "kill -9: off the last list, s"
	cutAvoided   = "cable pulled: last call begun, s"
	cutCalls     = "cable pulled: calls that still went to it"
	cutOff       = "cable pulled: off the last list, s"
	restSent     = "at rest: sent packets/s per host, with what the kernel adds"
	restUDP      = "at rest: sent packets/s per host, UDP: its own"
	restTCP      = "at rest: TCP"
	restARP      = "at rest: ARP"
	restND       = "at rest: IPv6 neighbours and groups"
	restBytes    = "at rest: sent B/s"
	restReceived = "at rest: received packets/s"
	idleSent     = "at rest after calls: sent packets/s per host"
	switchKnown  = "switch back: all know all, s"
	switchUDP    = "switch lost: sent UDP packets/s per host"
	switchAll    = "switch lost: packets/s of all kinds, calls included"
)

// scene is a site of one system under one loss, with what is found out there.
type scene struct {
	*site
	loss float64
	out  []sample
}

func (s *scene) found(what string, value float64) {
	s.out = append(s.out, sample{s.system, s.loss, what, value})
	say("%s, loss %v %%: %s: %.3g", s.system, s.loss, what, value)
}

const (
	warm    = 10 * time.Second // the hosts of skerry call before the first accident: each has then called each
	breath  = 3 * time.Second  // between two accidents
	settle  = 25 * time.Second // after the start, until the last question of the start has been asked
	restful = 12 * time.Second // after the last call, until connections rest
)

// accidents plays the return of power, a kill and a pulled cable, round by
// round at other hosts.
func accidents(ctx context.Context, system string, hosts int, loss float64, round int) (out []sample, err error) {
	err = play(func(t *stage) error {
		site, err := newSite(ctx, t, system, hosts, loss)
		if err != nil {
			return err
		}
		s := &scene{site: site, loss: loss}
		defer func() { out = s.out }()
		if err := s.powerReturns(); err != nil {
			return err
		}
		if err := s.tell("calls"); err != nil {
			return err
		}
		if system == "skerry" { // the other one makes no calls
			if err := run.Sleep(ctx, warm); err != nil {
				return err
			}
		}
		if err := s.kill(3 + round%(hosts-3)); err != nil {
			return err
		}
		return s.cut(1 + (hosts/2+round)%(hosts-1))
	})
	return out, err
}

func (s *scene) powerReturns() error {
	packets := newMeter(s.lan)
	begun := time.Now()
	if err := s.tell("go"); err != nil {
		return err
	}
	at, err := s.agree("cold start")
	if err != nil {
		return err
	}
	s.found(coldStart, at.Sub(begun).Seconds())
	t := packets.read()
	s.found(coldPackets, float64(t.Busiest))
	s.found(coldUDP, t.UDP*t.Seconds)
	s.found(coldTCP, t.TCP*t.Seconds)
	s.found(coldARP, t.ARP*t.Seconds)
	s.found(coldND, t.Neighbour*t.Seconds)
	return nil
}

// kill kills a process, which stays away.
func (s *scene) kill(host int) error {
	s.journal.drop()
	begun := time.Now()
	s.processes[host].Kill()
	s.journal.bury(host)
	if err := s.gone(host, begun, killAvoided, killCalls, killOff); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}

// cut pulls a host's cable.
func (s *scene) cut(host int) error {
	if err := run.Sleep(s.ctx, breath); err != nil {
		return err
	}
	s.journal.drop()
	begun := time.Now()
	s.lan.Host(host).Cut()
	if err := s.gone(host, begun, cutAvoided, cutCalls, cutOff); err != nil {
		return fmt.Errorf("cable pulled: %w", err)
	}
	return nil
}

// gone waits until a host is off all lists, and two seconds more for calls
// that come late.
func (s *scene) gone(host int, begun time.Time, avoided, calls, off string) error {
	var at time.Time
	err := s.await(40*time.Second, "off all lists", func() (ok bool) { at, ok = s.journal.off(host); return ok })
	if err != nil {
		return err
	}
	s.found(off, max(0, at.Sub(begun).Seconds()))
	if s.system != "skerry" {
		return nil
	}
	if err := run.Sleep(s.ctx, 2*time.Second); err != nil {
		return err
	}
	last, n := s.journal.lastCall(host, begun)
	s.found(avoided, max(0, last.Sub(begun).Seconds()))
	s.found(calls, float64(n))
	return nil
}

// rest measures a site that nothing happens at, and the loss of a switch.
func rest(ctx context.Context, system string, hosts int, loss float64, window, split time.Duration) (out []sample,
	err error) {
	err = play(func(t *stage) error {
		site, err := newSite(ctx, t, system, hosts, loss)
		if err != nil {
			return err
		}
		s := &scene{site: site, loss: loss}
		defer func() { out = s.out }()
		if err := s.tell("go"); err != nil {
			return err
		}
		if _, err := s.agree("cold start"); err != nil {
			return err
		}
		if err := s.quiet(window); err != nil {
			return err
		}
		return s.switchLost(split)
	})
	return out, err
}

func (s *scene) quiet(window time.Duration) error {
	if err := run.Sleep(s.ctx, settle); err != nil {
		return err
	}
	packets := newMeter(s.lan)
	if err := run.Sleep(s.ctx, window); err != nil {
		return err
	}
	t := packets.read()
	s.found(restSent, t.SentPackets)
	s.found(restUDP, t.UDP)
	s.found(restTCP, t.TCP)
	s.found(restARP, t.ARP)
	s.found(restND, t.Neighbour)
	s.found(restBytes, t.SentBytes)
	s.found(restReceived, t.ReceivedPackets)
	return nil
}

// switchLost parts the hosts into two halves for a while. Calls go on, as
// without any skerry would not even notice.
func (s *scene) switchLost(split time.Duration) error {
	if err := s.tell("calls"); err != nil {
		return err
	}
	if err := run.Sleep(s.ctx, 5*time.Second); err != nil {
		return err
	}
	var side []int
	for host := range len(s.processes) / 2 {
		side = append(side, host)
	}
	packets := newMeter(s.lan)
	s.lan.Partition(side...)
	if err := run.Sleep(s.ctx, split); err != nil {
		return err
	}
	t := packets.read()
	s.found(switchUDP, t.UDP)
	s.found(switchAll, t.SentPackets)
	begun := time.Now()
	s.lan.Partition()
	if at, err := s.agree("the switch is back"); err == nil {
		s.found(switchKnown, max(0, at.Sub(begun).Seconds()))
	} else if s.ctx.Err() != nil {
		return err
	} else {
		say("%s, loss %v %%: %v", s.system, s.loss, err)
	}
	if err := s.tell("quiet"); err != nil {
		return err
	}
	if err := run.Sleep(s.ctx, restful); err != nil {
		return err
	}
	packets = newMeter(s.lan)
	if err := run.Sleep(s.ctx, 20*time.Second); err != nil {
		return err
	}
	s.found(idleSent, packets.read().SentPackets)
	return nil
}
