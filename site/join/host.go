package join

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// ErrToken: the text is no token of an invitation that stands.
var ErrToken = errors.New("the token is not accepted")

// Join has a host join by a token. address is that of the inviter, with or without a port. take gets the membership and
// the private key of its certificate, in PEM, and makes them last; its error is told to the inviter. A membership was
// checked by [Membership.Check].
func Join(ctx context.Context, address, tokenText, host string, take func(m Membership, key []byte) error) error {
	t, err := parseToken(tokenText)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	key, csr, err := NewRequest(host)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, address, t)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := json.NewDecoder(io.LimitReader(conn, maxMessage))
	var a answer
	err = send(conn, request{Host: host, Certificate: csr})
	if err == nil {
		err = in.Decode(&a)
	}
	switch {
	case err != nil:
		return fmt.Errorf("the connection to %s broke: %w; has the screen of skerry site invite a message?", address,
			err)
	case a.Refused != "":
		return fmt.Errorf("%w: %.500s", ErrToken, a.Refused)
	case a.Membership == nil:
		return errors.New("the inviter has sent nothing")
	}
	if err = a.Membership.Check(); err == nil {
		err = take(*a.Membership, key)
	}
	done := outcome{}
	if err != nil {
		done.Failed = err.Error()
	}
	if told := send(conn, done); told == nil {
		conn.CloseWrite()
		io.Copy(io.Discard, io.LimitReader(conn, 1)) // the inviter has read it
	}
	return err
}

// dial opens a connection on which both sides have proved the token.
func dial(ctx context.Context, address string, t token) (*tls.Conn, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, strconv.Itoa(Port))
	}
	site, err := siteOf(t, "host")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connTime)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; does skerry site invite still run there, and does a firewall let the port through?",
			err)
	}
	raw.SetDeadline(time.Now().Add(connTime))
	c := site.Client("")
	c.ServerName = t.name()
	conn := tls.Client(raw, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("%w: %s knows no invitation with it: %w", ErrToken, address, err)
	}
	return conn, nil
}
