package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
)

func TestTraits(t *testing.T) {
	names := map[string]Code{}
	for c := range Code(codes) {
		tr := c.traits()
		if other, ok := names[tr.name]; ok || tr.name == "" {
			t.Errorf("codes %d and %d are both called %q", c, other, tr.name)
		}
		names[tr.name] = c
		if ParseCode(c.String()) != c {
			t.Errorf("%q is read as %v", c.String(), ParseCode(c.String()))
		}
		if works, _ := judge(c.Outcome()); works {
			t.Errorf("%v closes a breaker", c)
		}
		if c.Outcome().Failed() == (c == Canceled) {
			t.Errorf("%v: failed = %v", c, c.Outcome().Failed())
		}
		if tr.again == elsewhere && !tr.unexecuted {
			t.Errorf("%v is sent again although it may have been executed", c)
		}
	}
	if later := Code(codes); later.String() != "unknown" || later.Outcome() != health.Internal ||
		ParseCode("later") != Unknown {
		t.Errorf("a code of a later version is %v, %v", later, later.Outcome())
	}
}

// TestRefusalCodes: each error by which the rules refuse a call has one code, and a call with such
// a code was never executed.
func TestRefusalCodes(t *testing.T) {
	refusals := 0
	for c := range Code(codes) {
		tr := c.traits()
		if tr.refusal == nil {
			continue
		}
		refusals++
		if got := RefusalCode(fmt.Errorf("auth v1: %w", tr.refusal)); got != c {
			t.Errorf("%v is the code of %q, want %v", got, tr.refusal, c)
		}
		if !tr.unexecuted {
			t.Errorf("%v: a call that the rules refuse may have been executed", c)
		}
	}
	if refusals != 7 {
		t.Errorf("%d codes stand for an error of the rules, want 7", refusals)
	}
	if got := RefusalCode(errors.New("it is not the version's turn")); got != WrongVersion {
		t.Errorf("any other refusal is %v, want %v", got, WrongVersion)
	}
}

// row returns the line of docs/codes.md for a code, without its meaning.
func row(c Code) string {
	tr := c.traits()
	executed := "as the error says"
	if tr.unexecuted {
		executed = "no"
	}
	yes := map[bool]string{true: "yes", false: "no"}
	breaker := "nothing"
	if _, fails := judge(tr.outcome); fails {
		breaker = "a failure"
	}
	guard := "no"
	switch {
	case tr.outcome.Failed() && tr.outcome.Judges(health.Server):
		guard = "yes"
	case tr.outcome.Failed() && tr.outcome.Judges(health.Client):
		guard = "callers alone"
	}
	retry := map[again]string{never: "no", elsewhere: "at another instance", budgeted: "by the budget"}[tr.again]
	return fmt.Sprintf(
		"| `%s` | %s | `%s` | %s | %s | %s | %s |",
		tr.name,
		executed,
		tr.outcome,
		yes[tr.outcome.Failed()],
		breaker,
		guard,
		retry,
	)
}

// docs/codes.md equals the table.
func TestDocsOfCodes(t *testing.T) {
	page, err := os.ReadFile("../docs/codes.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Count(string(page), "\n| `")
	for c := range Code(codes) {
		if !strings.Contains(string(page), "\n"+row(c)+" ") {
			t.Errorf("docs/codes.md lacks the row\n%s", row(c))
		}
	}
	if rows != codes {
		t.Errorf("docs/codes.md has %d rows, there are %d codes", rows, codes)
	}
}

// outcomes returns the recorder's counts of calls of echo, by method.
func outcomes(r *health.Recorder) map[string][len(health.Row{}.Outcomes)]int64 {
	all := map[string][len(health.Row{}.Outcomes)]int64{}
	r.Visit(func(row health.Row, _ func(time.Duration) int64) {
		sum := all[row.Method]
		for o, n := range row.Outcomes {
			sum[o] += n
		}
		all[row.Method] = sum
	})
	return all
}

// wantOnly fails the test unless all calls of a method ended as o.
func wantOnly(t *testing.T, what string, r *health.Recorder, method string, o health.Outcome) {
	t.Helper()
	var want [len(health.Row{}.Outcomes)]int64
	want[o] = 1
	eventually(t, what+" is counted as "+o.String(), func() bool { return outcomes(r)[method] == want })
}

// Both sides count a refusal by its code's row, whichever side refuses.
func TestRefusalsAreCounted(t *testing.T) {
	for c := range Code(codes) {
		t.Run(c.String(), func(t *testing.T) {
			refuse := &Error{Code: c, Executed: NotExecuted, Err: errors.New("injected")}
			served, called, kept := health.NewRecorder(
				health.Config{},
			), health.NewRecorder(
				health.Config{},
			), health.NewRecorder(
				health.Config{},
			)
			s := serve(t, ServerConfig{Health: served, Interceptors: []ServerInterceptor{
				func(context.Context, *CallInfo, func(context.Context) error) error { return refuse },
			}}, &handler{})
			o := ServiceOptions{Retries: new(int)}
			counted := stub(t, client(t, ClientConfig{Health: called}, s.endpoint()), o)
			if _, err := counted().Who(t.Context()); err == nil {
				t.Error("the call went well")
			}
			wantOnly(t, "by the callee", served, "who", c.Outcome())
			wantOnly(t, "by the caller", called, "who", c.Outcome())
			o.Interceptors = []ClientInterceptor{
				func(context.Context, *Call, func(context.Context) error) error { return refuse },
			}
			intercepted := stub(t, client(t, ClientConfig{Health: kept}, s.endpoint()), o)
			if _, err := intercepted().Who(t.Context()); CodeOf(err) != c {
				t.Errorf("the caller's interceptor: %v", err)
			}
			wantOnly(t, "by the caller's interceptor", kept, "who", c.Outcome())
		})
	}
}

// failing fails on a one-way call.
type failing struct {
	handler
	err error
}

func (f *failing) Note(context.Context, string) error { return f.err }

// A handler's error is a failure, also when no caller receives it.
func TestOneWayErrorsAreFailures(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want health.Outcome
	}{
		"well":           {nil, health.OK},
		"an error":       {errors.New("the queue is gone"), health.Internal},
		"a code":         {&Error{Code: Overloaded, Err: errors.New("below")}, health.Internal},
		"a broken reply": {thrift.NewTProtocolException(errors.New("of another call")), health.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			served := health.NewRecorder(health.Config{})
			s := serveNotes(t, ServerConfig{Health: served}, &failing{err: test.err})
			notes := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
			if err := notes().Note(t.Context(), "x"); err != nil {
				t.Error(err)
			}
			wantOnly(t, name, served, "note", test.want)
		})
	}
	t.Run("arguments that can't be read", func(t *testing.T) {
		served := health.NewRecorder(health.Config{})
		s := serveNotes(t, ServerConfig{Health: served}, &failing{})
		send(
			t,
			s.addr,
			[]byte(
				"\x00\x00\x00\x19\x80\x01\x00\x04\x00\x00\x00\x04note"+
					"\x00\x00\x00\x01\x0f\x00\x01\x77\x00\x00\x00\x01\x00",
			),
		)
		wantOnly(t, "it", served, "note", BadMessage.Outcome())
	})
}

// An interceptor that does nothing gives no answer.
func TestNoAnswerIsAFailure(t *testing.T) {
	served := health.NewRecorder(health.Config{})
	s := serve(t, ServerConfig{Health: served, Interceptors: []ServerInterceptor{
		func(context.Context, *CallInfo, func(context.Context) error) error { return nil },
	}}, &handler{})
	_, err := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})().Who(t.Context())
	wantCode(t, err, HandlerFailed, NotExecuted)
	wantOnly(t, "it", served, "who", health.Internal)
}

// A version counts calls of a method that it lacks, because a stock client counts nothing.
func TestMissingMethodsAreCounted(t *testing.T) {
	served := health.NewRecorder(health.Config{})
	s := serve(t, ServerConfig{Health: served}, &handler{})
	nc := send(t, s.addr, []byte("\x80\x01\x00\x01\x00\x00\x00\x04gone\x00\x00\x00\x01\x00"))
	defer nc.Close()
	wantOnly(t, "it", served, "", health.Refused)
}

func serveNotes(t *testing.T, cfg ServerConfig, h *failing) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveAny(t, cfg, h, l)
}
