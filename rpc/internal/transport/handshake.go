package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// HandshakePatience is how long a server's handshake waits for its peer in all. The wait for a turn
// does not count.
const HandshakePatience = 5 * time.Second

var (
	// ErrLongHandshake: the peer has sent more than Room.
	ErrLongHandshake = errors.New("the other end has sent too many bytes before the end of the TLS handshake")
	// ErrSlowHandshake: the peer has used up Left.
	ErrSlowHandshake = fmt.Errorf("the other end has kept the TLS handshake waiting for %v or more", HandshakePatience)
)

// Handshake bounds a TLS handshake. It holds a turn while crypto/tls computes and gives it back
// while it waits for the peer. This bounds the processor time of all handshakes together.
type Handshake struct {
	Conn  net.Conn
	First []byte        // bytes that came before TLS was known
	Room  int           // bytes that the peer may send in all
	Left  time.Duration // time that the handshake may still wait for the peer

	Turns *Turns          // nil: unbounded, like a client's own handshakes
	From  netip.Addr      // the peer's address, for Turns
	Done  <-chan struct{} // closed with the connection; ends the wait for a turn

	came int  // bytes that the peer has sent
	held bool // holds a turn
}

// read reads the peer's bytes for TLS.
func (h *Handshake) read(p []byte) (int, error) {
	if h.came >= h.Room {
		return 0, ErrLongHandshake
	}
	if len(h.First) > 0 {
		n := copy(p[:min(len(p), h.Room-h.came)], h.First)
		h.First = h.First[n:]
		h.came += n
		return n, h.resume()
	}
	var n int
	err := h.wait(h.Conn.SetReadDeadline, func() (err error) {
		n, err = h.Conn.Read(p[:min(len(p), h.Room-h.came)])
		return err
	})
	h.came += n
	return n, err
}

func (h *Handshake) write(p []byte) (n int, err error) {
	err = h.wait(h.Conn.SetWriteDeadline, func() (err error) {
		n, err = h.Conn.Write(p)
		return err
	})
	return n, err
}

// wait runs do, which depends on the peer, in the remaining time and outside of the turn.
func (h *Handshake) wait(limit func(time.Time) error, do func() error) error {
	h.Pause()
	begun := time.Now()
	if err := limit(begun.Add(h.Left)); err != nil {
		return err
	}
	err := do()
	if h.Left -= time.Since(begun); h.Left <= 0 {
		return ErrSlowHandshake
	}
	if err != nil {
		return err
	}
	return h.resume()
}

// Pause gives the turn back if one is held.
func (h *Handshake) Pause() {
	if h.held {
		h.Turns.release()
		h.held = false
	}
}

func (h *Handshake) resume() error {
	if h.Turns == nil || h.held {
		return nil
	}
	if !h.Turns.acquire(h.From, h.Done) {
		return net.ErrClosed
	}
	h.held = true
	return nil
}

// FinishHandshake ends the handshake.
func (c *TLSBuffer) FinishHandshake() error {
	h := c.Handshake
	h.Pause()
	c.Handshake = nil
	return errors.Join(h.Conn.SetReadDeadline(time.Time{}), h.Conn.SetWriteDeadline(time.Time{}))
}

// IsClientHello reports whether a connection begins with the record of a ClientHello. As the length
// of a frame these bytes would mean more than 350 MiB.
func IsClientHello(first []byte) bool {
	return len(first) >= 3 && first[0] == 0x16 && first[1] == 3 && first[2] <= 4
}
