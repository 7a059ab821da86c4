package gateway

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc"
)

// admit obeys access and limits of the site's policy for a request to the HTTP service, which obeys no policy itself.
// The caller is the user: the name in a client certificate that TLS has verified, else the address. end must be called
// when the request has ended.
func (u *upstream) admit(r *http.Request) (end func(), err error) {
	v := visitOf(r.Context())
	token := v.trace.Token()
	call := &rpc.ForeignCall{Service: u.route.Service, From: peerOf(r, v.from.client), Request: policy.Request{
		Method:  methodName(r.Method),
		Mark:    v.mark,
		Baggage: v.baggage,
		Seed:    token.Seed,
		Seeded:  true,
	}}
	if version, _, err := u.g.node.Rollout().Log().Resolve(u.route.Service, token); err == nil {
		call.Request.Version = version
	}
	if end, err = u.g.node.AdmitForeign(call); err == nil {
		return end, nil
	}
	key := health.Key{Side: health.Client, Service: u.route.Service, Method: call.Request.Method,
		Version: call.Request.Version}
	u.g.node.Stats().Cell(key).Record(rpc.CodeOf(err).Outcome(), 0)
	u.remember(time.Now(), key.Method, key.Version, remembered(rpc.CodeOf(err)))
	return nil, err
}

// peerOf is the user that has sent a request from an address.
func peerOf(r *http.Request, client string) rpc.PeerInfo {
	var p rpc.PeerInfo
	if addr, err := netip.ParseAddr(client); err == nil {
		p.Addr = netip.AddrPortFrom(addr.Unmap().WithZone(""), 0)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		p.Certificate = r.TLS.PeerCertificates[0]
	}
	return p
}
