package rpc

import "context"

// ClientInterceptor is code around a call: around all its attempts, before
// limits and breaker. It may change the context, look at or replace
// call.Args, return an error without calling next, call next more than once,
// or answer by itself by filling call.Result. The error it returns is what the
// caller gets.
type ClientInterceptor func(ctx context.Context, call *Call, next func(context.Context) error) error

// ServerInterceptor is code around a handler. An *Error that it returns
// without calling next is sent to the caller with its Code, as not executed;
// any other error as HandlerFailed. Once next has run, its reply stands, and
// the returned error only counts in statistics.
type ServerInterceptor func(ctx context.Context, info *CallInfo, next func(context.Context) error) error
