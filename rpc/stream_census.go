package rpc

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// StreamCount counts the streams of one method with one other end. Those beyond the first 500 other ends are
// counted together, with an empty Peer and Version.
type StreamCount struct {
	Service, Version, Method string
	Mode                     StreamMode
	Peer                     string // of a server CALLER@HOST, or HOST; of a client the provider's instance

	Opened int64            // accepted since the start
	Ended  map[string]int64 // by code; "ok" for an answer of the handler
	Open   int
	Oldest time.Duration // age of the oldest open one

	Received, ReceivedBytes int64 // items that have arrived, and the bytes of their frames
	Sent, SentBytes         int64
	Stalled                 time.Duration // for which senders here have waited for credit, summed over all streams
}

// Streams returns the counts of the streams that were opened here, by descending number of open ones.
func (s *Server) Streams() []StreamCount { return s.streams.census.counts() }

// Streams returns the counts of the streams that this client has opened, by descending number of open ones.
func (c *Client) Streams() []StreamCount { return c.streams.census.counts() }

// endedWell is the kind of end of a stream with an answer of its handler.
const endedWell = "ok"

// mostPeers bounds the rows of a census.
const mostPeers = 500

// streamCensus counts the streams of a client or server.
type streamCensus struct {
	mu   sync.Mutex
	rows map[streamKind]*streamRow
}

// streamKind is what streams are counted by.
type streamKind struct {
	service, version, method string
	mode                     StreamMode
	peer                     string
}

// streamRow has the sums of the streams that have ended, and the open ones.
type streamRow struct {
	opened int64
	ended  map[string]int64
	sums   streamSums
	open   map[*stream]time.Time
}

// streamSums is the traffic of one or more streams.
type streamSums struct {
	received, receivedBytes int64
	sent, sentBytes         int64
	stalled                 time.Duration
}

func (s *streamSums) add(o streamSums) {
	s.received += o.received
	s.receivedBytes += o.receivedBytes
	s.sent += o.sent
	s.sentBytes += o.sentBytes
	s.stalled += o.stalled
}

// begin counts a stream that was accepted. When it has ended already, its end is counted, too.
func (c *streamCensus) begin(s *stream, k streamKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[streamKind]*streamRow{}
	}
	k.version, k.peer = clipped(k.version), clipped(k.peer)
	if c.rows[k] == nil && len(c.rows) >= mostPeers {
		k.version, k.peer = "", "" // the other ends choose both, and so the number of rows
	}
	row := c.rows[k]
	if row == nil {
		row = &streamRow{ended: map[string]int64{}, open: map[*stream]time.Time{}}
		c.rows[k] = row
	}
	row.opened++
	if s.endedAs != "" {
		row.end(s)
		return
	}
	s.counted = row
	row.open[s] = time.Now()
}

// clipped is a copy of a name that another end has sent, of at most 256 bytes.
func clipped(name string) string { return strings.Clone(name[:min(len(name), 256)]) }

// end counts the end of a stream, by its first code.
func (c *streamCensus) end(s *stream, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.endedAs != "" {
		return
	}
	s.endedAs = code
	if row := s.counted; row != nil {
		delete(row.open, s)
		row.end(s)
	}
}

func (r *streamRow) end(s *stream) {
	r.ended[s.endedAs]++
	r.sums.add(s.traffic())
}

func (s *stream) traffic() streamSums {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sums
}

func (c *streamCensus) counts() []StreamCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	list := make([]StreamCount, 0, len(c.rows))
	for k, row := range c.rows {
		sums, oldest := row.sums, time.Duration(0)
		for s, began := range row.open {
			sums.add(s.traffic())
			oldest = max(oldest, now.Sub(began))
		}
		list = append(list, StreamCount{
			Service: k.service, Version: k.version, Method: k.method, Mode: k.mode, Peer: k.peer,
			Opened: row.opened, Ended: maps.Clone(row.ended), Open: len(row.open), Oldest: oldest,
			Received: sums.received, ReceivedBytes: sums.receivedBytes, Sent: sums.sent, SentBytes: sums.sentBytes,
			Stalled: sums.stalled,
		})
	}
	slices.SortFunc(list, func(a, b StreamCount) int {
		return cmp.Or(cmp.Compare(b.Open, a.Open), strings.Compare(a.Service, b.Service),
			strings.Compare(a.Version, b.Version), strings.Compare(a.Method, b.Method), strings.Compare(a.Peer, b.Peer))
	})
	return list
}

// kind is what the stream is counted by.
func (st *serverStream) kind() streamKind {
	r := st.call
	peer := r.conn.peer
	if host, _, err := net.SplitHostPort(peer); err == nil {
		peer = host
	}
	if r.info.Caller != "" {
		peer = strings.Clone(r.info.Caller) + "@" + peer
	}
	return streamKind{r.served.name, r.served.version, st.method, st.mode, peer}
}

func (s *clientStream) kind() streamKind {
	return streamKind{s.service.name, s.version, s.method, s.mode, cmp.Or(s.server, s.ep.Addr)}
}
