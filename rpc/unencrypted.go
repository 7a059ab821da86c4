package rpc

import (
	"errors"
	"time"
)

var errClear = errors.New(
	"this process takes sealed calls only (site.calls: sealed), and this one came in the clear: " +
		"call it from a process that holds the site's key and has site.calls set, by the service's name; " +
		"or let this process take calls in the clear, too (site.calls: prefer)",
)

// inClear counts an unencrypted call, and refuses it with RefuseClear.
func (r *serverCall) inClear() error {
	c, s := r.conn, r.conn.s
	refuse := s.cfg.RefuseClear
	s.inClear.Add(1)
	if ok, unreported := s.clearLog.allow(time.Now(), "", c.source); ok {
		text := "rpc: a call in the clear was taken"
		do := "set site.calls at the caller, too, before this process refuses such calls"
		if refuse {
			text, do = "rpc: a call in the clear was refused: this process takes sealed calls only",
				"set site.calls at the caller, too, and give it the site's key; "+
					"for stock clients set site.calls: prefer here"
		}
		s.log.Warn(text, "service", r.served.name, "method", r.info.Method, "peer", c.peer, "caller", r.info.Caller,
			"do", do, "unreported", unreported)
	}
	if refuse {
		return errClear
	}
	return nil
}
