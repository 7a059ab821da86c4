package rpc

import "context"

// ClientInterceptor runs around a call with all its attempts, before limits and breaker. It may
// change the context, read or replace call.Args, return an error without calling next, call next
// more than once, or answer by filling call.Result. The caller gets the error that it returns.
type ClientInterceptor func(ctx context.Context, call *Call, next func(context.Context) error) error

// ServerInterceptor runs around a handler. An *Error that it returns without calling next is sent
// to the caller with its Code, as not executed; any other error is sent as HandlerFailed. Once next
// has run, its reply stands, and the returned error only counts in statistics.
type ServerInterceptor func(ctx context.Context, info *CallInfo, next func(context.Context) error) error
