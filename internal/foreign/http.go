package foreign

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/skerry/skerry/registry"
)

// httpCheck returns a check that requests a path. Each check makes its own
// connection, because a kept connection would not show whether the server
// accepts new ones.
func httpCheck(path string, conf func() *tls.Config) (Check, error) {
	target, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, fmt.Errorf("check http:%s: %w", path, err)
	}
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return (&tls.Dialer{Config: current(conf)}).DialContext(ctx, network, addr)
			}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, in registry.Instance) error {
		u := *target
		u.Scheme, u.Host = "http", in.Addr()
		if in.TLS {
			u.Scheme = "https"
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(req)
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode >= http.StatusBadRequest {
			return fmt.Errorf("GET %s: %s", path, answer.Status)
		}
		return nil
	}, nil
}
