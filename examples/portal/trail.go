package portal

import (
	"errors"
	"strconv"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/examples/portal/gen/hopapi"
	"github.com/skerry/skerry/examples/portal/gen/procapi"
	"github.com/skerry/skerry/rpc"
)

// Trail is the list of calls that one request has taken so far.
type Trail []*hopapi.Hop

// Add appends a call that a generated client has just made. What the library
// knows of the reply stands in the metadata that every generated client keeps
// of its last call.
func (t *Trail) Add(callee, method string, began time.Time, meta thrift.ResponseMeta) {
	attempts, err := strconv.Atoi(meta.Headers["sk-a"])
	if err != nil {
		attempts = 1
	}
	*t = append(*t, &hopapi.Hop{
		Callee:   callee,
		Method:   method,
		Instance: meta.Headers["sk-i"],
		Version:  meta.Headers["sk-v"],
		Attempts: int32(attempts),
		Micros:   time.Since(began).Microseconds(),
	})
}

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
