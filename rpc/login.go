package rpc

import (
	"context"
	"errors"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/flat"
)

// loginMethod is the first call of a client of another language on a connection to a server with
// HandleUnknown: skerry.login(1: string token, 2: bool unordered). It returns nothing.
const loginMethod = "skerry.login"

var errNoLogin = errors.New("the first call of a connection must be " + loginMethod + " with this port's token")

// login serves the call of loginMethod, or refuses another call that comes before it. After a
// refusal the connection is closed.
func (r *serverCall) login() {
	c := r.conn
	token, unordered, err := "", false, errNoLogin
	_, name := splitContext(r.name)
	if _, method, ok := strings.Cut(name, thrift.MULTIPLEXED_SEPARATOR); ok {
		name = method
	}
	if r.info.Method = name; r.name == loginMethod {
		token, unordered, err = r.readLogin()
		if login := c.s.cfg.Login; err == nil && login != nil {
			err = login(token)
		}
	}
	if err != nil {
		r.refuse(NotMember, err)
		c.bye()
		return
	}
	c.loggedIn, c.unordered = true, c.unordered || unordered
	w := flat.NewWriter(r.encoding, c.s.cfg.Sizes.Frame)
	defer w.Free()
	ctx := context.Background()
	err = errors.Join(
		w.WriteMessageBegin(ctx, loginMethod, thrift.REPLY, r.messageID),
		w.WriteFieldStop(ctx),
		w.WriteMessageEnd(ctx),
	)
	if err == nil {
		r.answer(w.Bytes(), Unknown, WasExecuted)
	}
	r.releaseMemory()
	r.releaseOrder()
}

// readLogin reads the arguments.
func (r *serverCall) readLogin() (token string, unordered bool, err error) {
	in := flat.NewReader(r.encoding, r.payload, flat.Memory{})
	defer in.Free()
	ctx := context.Background()
	_, _, _, err = in.ReadMessageBegin(ctx)
	if err == nil {
		_, err = in.ReadStructBegin(ctx)
	}
	for err == nil {
		var t thrift.TType
		var id int16
		_, t, id, err = in.ReadFieldBegin(ctx)
		switch {
		case err != nil || t == thrift.STOP:
			return token, unordered, err
		case id == 1 && t == thrift.STRING:
			token, err = in.ReadString(ctx)
		case id == 2 && t == thrift.BOOL:
			unordered, err = in.ReadBool(ctx)
		default:
			err = in.Skip(ctx, t)
		}
	}
	return token, unordered, err
}
