package portal

import (
	"errors"

	"github.com/skerry/skerry/examples/portal/gen/procapi"
	"github.com/skerry/skerry/rpc"
)

// Upstream turns a failed call into the exception that Proc and Portal
// declare, so that their callers read what happened further down. Exceptions
// of the callee's own IDL pass as they are.
func Upstream(err error) error {
	var failed *rpc.Error
	if !errors.As(err, &failed) {
		return err
	}
	return &procapi.Upstream{
		Callee:   failed.Service,
		Method:   failed.Method,
		Code:     failed.Code.String(),
		Executed: failed.Executed.String(),
		Instance: failed.Instance,
		Text:     failed.Error(),
	}
}
