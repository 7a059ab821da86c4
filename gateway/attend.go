package gateway

import (
	"context"
	"net/http"
	"time"
)

// attend gives a request a context that stays valid when the client has only closed the sending
// side. The context ends when the client is gone: a read or write of its connection has failed, or
// the client has read nothing of the response for limit. Clients of TLS and HTTP/2 have other
// signals for this.
func attend(r *http.Request, out *writer, limit time.Duration) (*http.Request, context.CancelFunc) {
	present := r.Context()
	c, ok := present.Value(clientKey{}).(*client)
	if !ok || r.TLS != nil || r.ProtoMajor != 1 {
		return r, func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(present))
	stop := context.AfterFunc(present, func() {
		if !c.half.Load() {
			cancel()
			return
		}
		defer context.AfterFunc(c.standing, cancel)()
		out.watch(ctx, limit)
		cancel()
	})
	return r.WithContext(ctx), func() { stop(); cancel() }
}

// watch returns when the response has made no progress for limit, counted from its begin, or when
// ctx ends.
func (w *writer) watch(ctx context.Context, limit time.Duration) {
	if limit <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(limit)
	defer tick.Stop()
	for seen := int64(-1); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n := w.sent(); !w.begun.Load() {
			continue
		} else if n == seen {
			return
		} else {
			seen = n
		}
	}
}
