package console

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
)

// role is what a session may do. A greater role may do all that a smaller one may. The roles of pages stand in
// routes.go, those of actions in actions.go.
type role int

const (
	roleViewer   role = iota // sees all pages, no payloads of calls
	roleOperator             // and changes releases and policy, and makes test calls
	roleAdmin                // and ends sessions, and does what can't be undone: clean with --dead, adopt
)

var roleNames = [...]string{"viewer", "operator", "admin"}

func (r role) String() string { return roleNames[r] }

// MarshalText writes the role as configurations and the audit log do.
func (r role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a role by its name.
func (r *role) UnmarshalText(text []byte) error {
	parsed, err := parseRole(string(text))
	*r = parsed
	return err
}

func parseRole(name string) (role, error) {
	for i, known := range roleNames {
		if name == known {
			return role(i), nil
		}
	}
	return roleViewer, fmt.Errorf("there is no role %q; the roles are viewer, operator, admin", name)
}

// Phrase is the role in the words of a page.
func (r role) Phrase() phrase { return say("role." + r.String()) }

// actor is the user that a request comes from.
type actor struct {
	Name    string
	Role    role
	Addr    netip.Addr
	session *session // never nil in a request that the gate has let pass
}

type actorKey struct{}

// withActor returns the request of an actor.
func withActor(r *http.Request, a actor) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), actorKey{}, a))
}

// actorOf returns the actor of a request, the zero actor before it has signed in.
func actorOf(r *http.Request) actor {
	a, _ := r.Context().Value(actorKey{}).(actor)
	return a
}
