package broadcast

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// TestAmplification: an address that has not answered gets at most three times the bytes that came
// from it. A full list goes to an address that has answered.
func TestAmplification(t *testing.T) {
	for _, services := range []int{1, 3, 60} {
		var names []string
		for i := range services {
			names = append(names, fmt.Sprintf("service-with-a-long-name-%02d", i))
		}
		questions := map[string]func() (kind, thrift.TStruct){
			"query":        func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5} },
			"query, named": func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5, Services: names[:1]} },
			"query, padded": func() (kind, thrift.TStruct) {
				return query, &wire.Query{Nonce: 5, Pad: make([]byte, 300)}
			},
			"parts": func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5, Parts: new(true)} },
			"parts, padded": func() (kind, thrift.TStruct) {
				return query, &wire.Query{Nonce: 5, Parts: new(true), Pad: make([]byte, 600)}
			},
			"exchange": func() (kind, thrift.TStruct) { return query, &wire.Query{Nonce: 5, Exchange: new(true)} },
			"all of them": func() (kind, thrift.TStruct) {
				return query, &wire.Query{Nonce: 5, Exchange: new(true), Parts: new(true)}
			},
			"long exchange": func() (kind, thrift.TStruct) {
				return query, &wire.Query{Nonce: 5, Exchange: new(true), Pad: make([]byte, 600)}
			},
			"probe":        func() (kind, thrift.TStruct) { return probe, &wire.Probe{Nonce: 5} },
			"probe, named": func() (kind, thrift.TStruct) { return probe, &wire.Probe{Nonce: 5, Services: names[:1]} },
			"probe, padded": func() (kind, thrift.TStruct) {
				return probe, &wire.Probe{Nonce: 5, Pad: make([]byte, 500)}
			},
			"a late answer": func() (kind, thrift.TStruct) {
				return answer, &wire.Answer{
					Nonce:   5,
					Listing: someListing(names[0]),
					Peers:   []string{"10.0.9.9:1", "10.0.9.8:2"},
				}
			},
			"announcement": func() (kind, thrift.TStruct) {
				return announce, &wire.Announce{Listing: someListing(names[0])}
			},
			"long, to fetch": func() (kind, thrift.TStruct) {
				return announce, &wire.Announce{
					Listing: &wire.Listing{Hash: listing.Hash(nil), Names: names[:1], Fetch: new("10.0.9.9:1")},
				}
			},
			"goodbye": func() (kind, thrift.TStruct) { return goodbye, &wire.Goodbye{Everything: new(true)} },
			"alarm": func() (kind, thrift.TStruct) {
				return alarm, &wire.Alarm{Owner: &wire.Owner{Host: "h0", Pid: 1, Epoch: 1000}}
			},
		}
		for name, question := range questions {
			for _, group := range []bool{true, false} {
				s := newSim(t, 4, seeded(t, 73))
				for _, n := range s.nodes {
					s.start(n, []string{registry.AllServices}, names...)
				}
				s.run(10 * time.Second)
				for _, n := range s.nodes {
					n.returns = newBucket(0, 0) // the few senders that are probed longer have their own limit
				}
				at := s.nodes[0]
				k, body := question()
				stranger := registry.Owner{Host: "stranger", PID: 1, Epoch: 1}
				data, err := at.seal(packet{kind: k, sender: stranger, seq: 9, body: body})
				if err != nil {
					t.Fatal(err)
				}
				s.deliver(flight{to: at, data: data, from: liarAddr, group: group})
				sent := s.sentTo(at, liarAddr, 3*time.Second)
				if sent > amplify*len(data) {
					t.Errorf(
						"%s, %d services, by broadcast %t: %d bytes have brought %d",
						name,
						services,
						group,
						len(data),
						sent,
					)
				}
			}
		}
	}
}

func someListing(service string) *wire.Listing {
	return &wire.Listing{
		Complete:      new(true),
		Registrations: []*wire.Registration{{Name: service, Host: "10.9.9.9", Port: 1}},
	}
}

// sentTo runs the network and sums the bytes that a node sends to an address, and to addresses that
// the same packet named.
func (s *sim) sentTo(n *simNode, to netip.AddrPort, d time.Duration) (sum int) {
	count := func() {
		for _, o := range n.outbox {
			for _, p := range o.to {
				if p.addr == to {
					sum += len(o.data)
				}
			}
		}
	}
	for end := s.now.Add(d); s.now.Before(end); {
		if at, ok := n.next(); ok && !at.After(s.now) {
			n.wake(s.now)
		}
		count()
		s.flush(n)
		s.now = s.now.Add(time.Millisecond)
	}
	return sum
}

// TestRecordedQueries: recorded queries, played from another address, bring at most three times
// their bytes there, and few broadcasts.
func TestRecordedQueries(t *testing.T) {
	s := newSim(t, 12, seeded(t, 79))
	for _, n := range s.nodes {
		s.start(n, svc, "svc")
	}
	s.run(time.Minute)
	provider := s.add() // knows none of them
	s.start(provider, nil, "svc")
	s.run(time.Minute)
	var tape [][]byte
	for _, data := range s.tape {
		if p, err := provider.open(data); err == nil && (p.kind == query || p.kind == probe) &&
			p.sender != provider.self {
			tape = append(tape, data)
		}
	}
	asked, said := 0, provider.seq
	sum := 0
	for range 10 {
		for _, data := range tape {
			asked += len(data)
			s.deliver(flight{to: provider, data: data, from: liarAddr, group: true})
			sum += s.sentTo(provider, liarAddr, 2*time.Millisecond)
		}
	}
	sum += s.sentTo(provider, liarAddr, 5*time.Second)
	if sum > amplify*asked {
		t.Errorf("%d bytes of recordings have brought %d", asked, sum)
	}
	if said := provider.seq - said; len(tape) == 0 || said > uint64(10*len(tape)) {
		t.Errorf("%d recordings have brought %d datagrams", 10*len(tape), said)
	}
}
