package rpc

import (
	"context"
	"strings"
	"testing"
	"time"
)

// An internal service has places of its own. Neither it nor users take the other's.
func TestRoomOfInternalServices(t *testing.T) {
	h := &handler{}
	s := guarded(t, ServerConfig{MaxCalls: 2, Site: siteOf(t, ownerB, 1), Identity: identityOf(ownerB, 1)}, h)
	e := s.endpoint()
	e.Site = true
	sleep := func(ctx context.Context, c *Client) error {
		_, err := internalStub(c, e).Sleep(ctx, 60_000)
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, internalOfOne)
	one := client(t, ClientConfig{Site: siteOf(t, ownerA, 1)}, e)
	for range internalOfOne {
		go func() { ended <- sleep(ctx, one) }()
	}
	eventually(t, "the internal calls run", func() bool { return s.Stats().Running == internalOfOne })
	wantCode(t, sleep(t.Context(), client(t, ClientConfig{Site: siteOf(t, ownerA, 1)}, e)), Overloaded, NotExecuted)
	if _, err := internalStub(client(t, ClientConfig{Site: siteOf(t, ownerC, 1)}, e), e).Who(t.Context()); err != nil {
		t.Errorf("another process: %v", err)
	}
	users := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	if _, err := users().Who(t.Context()); err != nil {
		t.Errorf("a user's call: %v", err)
	}
	cancel()
	for range internalOfOne {
		<-ended
	}
	eventually(t, "the places are free", func() bool { return s.internal.running() == 0 })

	// The reverse: users take all their places.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		other := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: time.Minute})
		go func() { _, err := other().Sleep(ctx, 60_000); ended <- err }()
	}
	eventually(t, "users' calls run", func() bool { return s.Stats().Running == 2 })
	_, err := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Retries: new(int)})().Who(t.Context())
	wantCode(t, err, Overloaded, NotExecuted)
	if _, err := internalStub(one, e).Who(t.Context()); err != nil {
		t.Errorf("an internal call while users take all places: %v", err)
	}
	cancel()
	<-ended
	<-ended
}

func TestInternalRequestsAreSmall(t *testing.T) {
	h := &handler{}
	s := guarded(t, ServerConfig{Member: func(PeerInfo) error { return nil }}, h)
	c := client(t, ClientConfig{}, s.endpoint())
	m := message(1)
	m.Text = strings.Repeat("x", internalRequest)
	_, err := internalStub(c, s.endpoint()).Echo(t.Context(), m)
	wantCode(t, err, TooLarge, NotExecuted)
	m.Text = m.Text[:internalRequest-1000]
	if _, err := internalStub(c, s.endpoint()).Echo(t.Context(), m); err != nil {
		t.Error(err)
	}
}
