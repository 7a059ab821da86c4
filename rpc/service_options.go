package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ServiceOptions configure the calls to one service. The zero value has the defaults.
type ServiceOptions struct {
	// Timeout bounds a call with all its attempts, unless its context ends sooner;
	// 0 means 1 s.
	Timeout time.Duration
	// Wait bounds how long a call waits for an instance when none can be tried, within Timeout; 0
	// means Timeout, negative means no wait.
	Wait time.Duration
	// Attempt bounds one attempt of an idempotent method while another instance can be tried; 0
	// means half of the remaining time, for silent instances only.
	Attempt time.Duration

	// Version is the only version that calls reach where no rule of a release decides; "" means any.
	Version string

	Retries      *int                // attempts after the first; nil means 1, 0 means none
	Idempotent   []string            // methods that may be executed twice; "*" = all
	Breaker      Breaker             // refuses while most calls fail
	Limits       Limits              // of this process's calls to the service
	Prefix       string              // for plain servers without a prefix of their own (Endpoint.Prefix)
	Interceptors []ClientInterceptor // inside those of ClientConfig

	// Hop is for a process that forwards calls, such as a proxy. A call that it makes while it serves
	// another one then counts as the same call, one hop further. Without Hop, a copy of a call (mirror in
	// the site's policy) ends at the forwarding process, because a copy may call idempotent methods only.
	Hop bool

	// Fallback answers a call that has failed for good. It fills call.Result (the Success field of
	// the generated result) and returns nil, or it returns the error for the caller. It is not
	// called when the caller itself gave up. nil: a failed call is an error.
	Fallback func(ctx context.Context, call *Call, err error) error
}

const defaultTimeout = time.Second

func (o *ServiceOptions) validate(service string) error {
	switch {
	case service == "":
		return errors.New("rpc client: the service name is empty")
	case o.Timeout < 0:
		return fmt.Errorf(
			"rpc client: %s: Timeout is %v; it must not be negative (0 means %v)",
			service,
			o.Timeout,
			defaultTimeout,
		)
	case o.Attempt < 0:
		return fmt.Errorf(
			"rpc client: %s: Attempt is %v; it must not be negative (0 means half of the remaining time)",
			service,
			o.Attempt,
		)
	case o.Retries != nil && *o.Retries < 0:
		return fmt.Errorf("rpc client: %s: Retries is %d; it must not be negative (0 means none)", service, *o.Retries)
	}
	return nil
}

func (o *ServiceOptions) timeout() time.Duration { return cmp.Or(o.Timeout, defaultTimeout) }

// wait returns how long a call may wait for an instance; 0 means no wait.
func (o *ServiceOptions) wait() time.Duration { return max(0, cmp.Or(o.Wait, o.timeout())) }

func (o *ServiceOptions) retries() int {
	if o.Retries == nil {
		return 1
	}
	return *o.Retries
}

func (o *ServiceOptions) idempotent(method string) bool {
	return slices.Contains(o.Idempotent, method) || slices.Contains(o.Idempotent, "*")
}
