package proxy

import (
	"context"
	"errors"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc"
)

// helperInfo describes a program's helper.
type helperInfo struct {
	present bool
	name    string // such as "python 1.0"
	ordered bool   // calls of one connection run one after another
	closes  bool   // it ends the connection when it is asked
}

// inOrder reports whether an answer to a later call shows that a one-way call has ended. Stock servers
// without a helper run a connection's calls in order.
func (i helperInfo) inOrder() bool { return !i.present || i.ordered }

// helper finds out whether a program has a helper. It asks once for the connections
// to the program, and again after one has ended.
type helper struct {
	asking chan struct{} // capacity 1: holds the right to ask
	state  *helperState
}

type helperState struct {
	mu    sync.Mutex
	known bool
	info  helperInfo
	ends  int // how often a connection ended or could not be made: another process may answer since
}

func newHelper() helper { return helper{make(chan struct{}, 1), &helperState{}} }

// now returns the last answer.
func (h helper) now() (info helperInfo, known bool) {
	h.state.mu.Lock()
	defer h.state.mu.Unlock()
	return h.state.info, h.state.known
}

// forget makes the next call ask again.
func (h helper) forget() {
	h.state.mu.Lock()
	h.state.known = false
	h.state.ends++
	h.state.mu.Unlock()
}

// ends counts the calls of forget.
func (h helper) ends() int {
	h.state.mu.Lock()
	defer h.state.mu.Unlock()
	return h.state.ends
}

// keep stores an answer. ends is the number of ends before the question. If a connection has ended since, the answer
// may be that of a process that is gone, and serves one call only.
func (h helper) keep(info helperInfo, ends int) {
	h.state.mu.Lock()
	defer h.state.mu.Unlock()
	if info.closes || h.state.ends == ends {
		h.state.known, h.state.info = true, info
	}
}

// ask returns the last answer, or else the result of question. Calls that come meanwhile wait.
func (h helper) ask(ctx context.Context, question func(context.Context) (helperInfo, error)) (helperInfo, error) {
	if info, known := h.now(); known {
		return info, nil
	}
	select {
	case h.asking <- struct{}{}:
	case <-ctx.Done():
		return helperInfo{}, &rpc.Error{Code: rpc.DeadlineExceeded, Executed: rpc.NotExecuted, Err: ctx.Err()}
	}
	defer func() { <-h.asking }()
	if info, known := h.now(); known {
		return info, nil
	}
	ends := h.ends()
	info, err := question(ctx)
	if err == nil {
		h.keep(info, ends)
	}
	return info, err
}

// askHelper asks the program. A program without a helper answers that the method is
// unknown, or closes the connection. A program that dies closes it as well, and its
// successor may have a helper. So only two connections in a row that are closed mean
// that there is no helper.
func (p *provided) askHelper(ctx context.Context) (helperInfo, error) {
	info, err := p.askOnce(ctx)
	if info.closes {
		info, err = p.askOnce(ctx)
	}
	return info, err
}

func (p *provided) askOnce(ctx context.Context) (helperInfo, error) {
	reply := &helperReply{}
	err := callAgain(ctx, p.bare, helperMethod, reply)
	var e *rpc.Error
	switch {
	case err == nil:
		return helperInfo{present: true, name: reply.name, ordered: reply.ordered}, nil
	case !errors.As(err, &e):
		return helperInfo{}, err
	case e.Code == rpc.ConnectionLost && !p.takesAnother(ctx):
		e.Code, e.Executed = rpc.Unreachable, rpc.NotExecuted // the call itself was not sent
	case e.Code == rpc.Unreachable, e.Code == rpc.Overloaded, e.Code == rpc.DeadlineExceeded, e.Code == rpc.Canceled:
		e.Executed = rpc.NotExecuted
	default:
		return helperInfo{closes: e.Code == rpc.ConnectionLost}, nil // the program has no helper
	}
	return helperInfo{}, e
}

// helperReply is the result of skerry.helper. Field 1 is the helper's name and
// version. Field 2 tells whether calls of one connection run in order.
type helperReply struct {
	name    string
	ordered bool
}

const maxHelperName = 64

// Write implements thrift.TStruct.
func (r *helperReply) Write(ctx context.Context, p thrift.TProtocol) error {
	return p.WriteFieldStop(ctx)
}

// Read implements thrift.TStruct. A result struct has the reply in its field 0.
func (r *helperReply) Read(ctx context.Context, p thrift.TProtocol) error {
	return eachField(ctx, p, func(id int16, t thrift.TType) (done bool, err error) {
		switch {
		case id == 0 && t == thrift.STRUCT:
			return true, r.Read(ctx, p)
		case id == 1 && t == thrift.STRING:
			r.name, err = p.ReadString(ctx)
			r.name = r.name[:min(len(r.name), maxHelperName)]
			return true, err
		case id == 2 && t == thrift.BOOL:
			r.ordered, err = p.ReadBool(ctx)
			return true, err
		}
		return false, nil
	})
}

// eachField reads a struct and skips the fields that f does not take.
func eachField(ctx context.Context, p thrift.TProtocol,
	f func(id int16, t thrift.TType) (taken bool, err error)) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, t, id, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if t == thrift.STOP {
			return p.ReadStructEnd(ctx)
		}
		taken, err := f(id, t)
		if err == nil && !taken {
			err = p.Skip(ctx, t)
		}
		if err == nil {
			err = p.ReadFieldEnd(ctx)
		}
		if err != nil {
			return err
		}
	}
}
