package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/rpc"
)

// chain is a site of a caller, the program billing, and the service auth. The program
// calls auth while it serves a call.
type chain struct {
	caller *skerry.Node
	client thrift.TClient
	path   string // of the program's socket
	auth   chan rpc.CallInfo
}

// newChain starts a chain with a program of the given methods.
func newChain(t *testing.T, strict bool, methods func(c *chain) map[string]func(word, text string) (string,
	error), edits ...func(*foreignProgram)) *chain {
	t.Helper()
	cfg := site(t)
	if strict {
		cfg.Rollout.Orphans = config.OrphansStrict
	}
	c := &chain{path: socketPath(t), auth: make(chan rpc.CallInfo, 100)}
	offer(t, cfg, "auth", "v1", echoing("auth ", func(_ context.Context, info *rpc.CallInfo) { c.auth <- *info }))
	program := &foreignProgram{helper: true, methods: methods(c)}
	for _, edit := range edits {
		edit(program)
	}
	startProgram(t, "127.0.0.1:0", 8, program)
	start(t, cfg, map[string]config.Program{
		"billing": {Listen: "unix:" + c.path,
			Provides: []config.Provide{{Service: "billing", Version: "v3", Addr: program.addr}}},
		"other": {Listen: "unix:" + c.path + "2"},
	})
	c.caller = open(t, cfg)
	c.client = c.caller.Client("billing")
	return c
}

// charge calls the program within a trace.
func (c *chain) charge(ctx context.Context, method, text string) (string, error) {
	ctx, end := c.caller.Begin(ctx, "test")
	defer end()
	var result textResult
	_, err := c.client.Call(ctx, method, &textArgument{text}, &result)
	return result.text, err
}

// A program's call with a word belongs to the trace of the served call. It has the
// deadline of that call and ends with it.
func TestTheTraceGoesOnThroughAProgram(t *testing.T) {
	var mu sync.Mutex
	words := map[string]string{}
	c := newChain(t, true, func(c *chain) map[string]func(word, text string) (string, error) {
		return map[string]func(word, text string) (string, error){
			"charge": func(word, text string) (string, error) {
				word, left, _ := strings.Cut(word, ".")
				mu.Lock()
				words[text] = word
				mu.Unlock()
				if left == "" {
					return "", errors.New("no deadline")
				}
				return dialCaller(t, "unix", c.path).call(context.Background(), "ctx="+word+";auth:verify", text)
			},
		}
	})
	var callers sync.WaitGroup
	for _, text := range []string{"a", "b", "c", "d"} {
		callers.Go(func() {
			if got, err := c.charge(t.Context(), "charge", text); err != nil || got != "auth verify" {
				t.Errorf("%s: %q, %v", text, got, err)
			}
		})
	}
	callers.Wait()
	traces := map[string]bool{}
	for range 4 {
		info := <-c.auth
		traces[info.Trace[:35]] = true
		if info.Deadline.IsZero() || info.Caller != "billing" {
			t.Errorf("deadline %v, caller %q", info.Deadline, info.Caller)
		}
	}
	if len(traces) != 4 {
		t.Errorf("4 requests were %d traces", len(traces))
	}
	p := dialCaller(t, "unix", c.path)
	for _, name := range []string{"auth:verify", "ctx=" + words["a"] + ";auth:verify", "ctx=unknown-word;auth:verify",
		"ctx=???;auth:verify"} {
		var x thrift.TApplicationException
		if _, err := p.call(t.Context(), name, ""); !errors.As(err, &x) || !strings.HasPrefix(x.Error(), "orphan: ") {
			t.Errorf("%s outside of any call: %v", name, err)
		}
	}
}

// A program can't use the word of another program's call.
func TestAWordBelongsToOneProgram(t *testing.T) {
	c := newChain(t, true, func(c *chain) map[string]func(word, text string) (string, error) {
		return map[string]func(word, text string) (string, error){
			"charge": func(word, text string) (string, error) {
				word, _, _ = strings.Cut(word, ".")
				return dialCaller(t, "unix", c.path+"2").call(context.Background(), "ctx="+word+";auth:verify", text)
			},
		}
	})
	if _, err := c.charge(t.Context(), "charge", "a"); err == nil || !strings.Contains(err.Error(), "orphan") {
		t.Errorf("%v", err)
	}
}

// The entries of a program are methods by name, though the proxy does not know which ones there are.
func TestAMethodOfAProgramIsAnEntry(t *testing.T) {
	cfg := site(t)
	cfg.Rollout.Orphans = config.OrphansStrict
	do := func(_, text string) (string, error) { return text, nil }
	program := startProgram(t, "127.0.0.1:0", 2, &foreignProgram{
		methods: map[string]func(string, string) (string, error){"charge": do, "refund": do}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	start(t, cfg, map[string]config.Program{
		"billing": {Listen: "unix:" + socketPath(t), Provides: []config.Provide{
			{Service: "billing", Version: "v3", Addr: program.addr, Listen: listen, Entry: []string{"charge"}}}},
	})
	eventually(t, "the service is listed", func() bool {
		nc, err := net.Dial("tcp", listen)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	p := dialCaller(t, "tcp", listen) // a plain client, which brings no token
	eventually(t, "the entry takes calls without a token", func() bool {
		got, err := p.call(t.Context(), "billing:charge", "x")
		return err == nil && got == "x"
	})
	if _, err := p.call(t.Context(), "billing:refund", "x"); err == nil || !strings.HasPrefix(err.Error(), "orphan: ") {
		t.Errorf("a method that is no entry: %v", err)
	}
}

// A program that waits for skerry.sent behind its one-way calls may end the served call: they belong
// to it, also where calls of a connection run side by side.
func TestOneWayCallsAreSentBeforeTheServedCallEnds(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		c := newChain(t, true, func(c *chain) map[string]func(word, text string) (string, error) {
			return map[string]func(word, text string) (string, error){
				"charge": func(word, _ string) (string, error) {
					word, _, _ = strings.Cut(word, ".")
					return "", noteAndWait(c.path, word, unordered)
				},
			}
		})
		for range 50 {
			if _, err := c.charge(t.Context(), "charge", "x"); err != nil {
				t.Fatalf("unordered %v: %v", unordered, err)
			}
			select {
			case <-c.auth: // auth runs its handler after it has accepted the call
			case <-time.After(5 * time.Second):
				t.Fatalf("unordered %v: auth refused a one-way call", unordered)
			}
		}
	}
}

// noteAndWait makes a one-way call on a new connection as helpers do.
func noteAndWait(path, word string, unordered bool) error {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	if unordered {
		login := framed(1, "skerry.login")
		login = append(login[:len(login)-1], 2, 0, 2, 1, 0) // {2: true}
		login[3] += 4
		if _, err := nc.Write(login); err != nil {
			return err
		}
		if err := readReply(nc, "skerry.login"); err != nil {
			return err
		}
	}
	calls := framed(4, "ctx="+word+";auth:note")
	calls[len(calls)-2] = 2 // its number
	calls = append(calls, framed(1, "ctx="+word+";skerry.sent")...)
	if _, err := nc.Write(calls); err != nil {
		return err
	}
	return readReply(nc, "skerry.sent")
}

// readReply reads an empty reply.
func readReply(nc net.Conn, name string) error {
	got := make([]byte, len(framed(2, name)))
	if _, err := io.ReadFull(nc, got); err != nil {
		return err
	}
	if !bytes.Equal(got[:8], framed(2, name)[:8]) || !bytes.Contains(got, []byte(name)) {
		return fmt.Errorf("the reply is %q", got)
	}
	return nil
}

// The handler of a one-way call may call others after the caller has gone. Its word
// is unknown after the handler has ended.
func TestAOneWayCallHoldsItsWordUntilItsHandlerHasEnded(t *testing.T) {
	begun, goOn, ended := make(chan string, 1), make(chan bool), make(chan error, 1)
	c := newChain(t, true, func(c *chain) map[string]func(word, text string) (string, error) {
		return map[string]func(word, text string) (string, error){
			"note": func(word, text string) (string, error) {
				word, _, _ = strings.Cut(word, ".")
				begun <- word
				<-goOn
				_, err := dialCaller(t, "unix", c.path).call(context.Background(), "ctx="+word+";auth:verify", text)
				ended <- err
				return "", nil
			},
		}
	})
	ctx, end := c.caller.Begin(t.Context(), "test")
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := c.client.Call(limited, "note", &textArgument{"x"}, nil); err != nil {
		t.Fatal(err)
	}
	end()
	word := <-begun
	close(goOn)
	if err := <-ended; err != nil {
		t.Errorf("the handler's call: %v", err)
	}
	<-c.auth
	p := dialCaller(t, "unix", c.path)
	eventually(t, "the word is over", func() bool {
		_, err := p.call(t.Context(), "ctx="+word+";auth:verify", "")
		return err != nil && strings.HasPrefix(err.Error(), "orphan: ")
	})
}
