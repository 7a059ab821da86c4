package foreign

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// silent starts a server that answers nothing, like a process that hangs with its port open.
func silent(t *testing.T) registry.Instance {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return at(l.Addr())
}

func at(addr net.Addr) registry.Instance {
	a := addr.(*net.TCPAddr)
	return registry.Instance{Service: "s", Host: a.IP.String(), Port: a.Port}
}

// serve starts the stock Thrift server with the transports of a protocol and
// one method, ping.
func serve(t *testing.T, p registry.Protocol) registry.Instance {
	transports := map[registry.Protocol]thrift.TTransportFactory{
		registry.ProtocolFramedBinary:    thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		registry.ProtocolFramedCompact:   thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		registry.ProtocolUnframedBinary:  thrift.NewTBufferedTransportFactory(4096),
		registry.ProtocolUnframedCompact: thrift.NewTBufferedTransportFactory(4096),
		// the first call is THeader's
		registry.ProtocolSkerry: thrift.NewTHeaderTransportFactoryConf(nil, nil),
		registry.ProtocolHeader: thrift.NewTHeaderTransportFactoryConf(nil, nil),
	}
	var protocols thrift.TProtocolFactory = thrift.NewTBinaryProtocolFactoryConf(nil)
	switch p {
	case registry.ProtocolFramedCompact, registry.ProtocolUnframedCompact:
		protocols = thrift.NewTCompactProtocolFactoryConf(nil)
	case registry.ProtocolHeader, registry.ProtocolSkerry:
		protocols = thrift.NewTHeaderProtocolFactoryConf(nil)
	}
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Listen(); err != nil {
		t.Fatal(err)
	}
	server := thrift.NewTSimpleServer4(processor{}, socket, transports[p], protocols)
	server.SetLogContext(t.Context())
	g := run.NewGroup(context.Background())
	g.Go(func(context.Context) error { return server.Serve() })
	t.Cleanup(func() { server.Stop(); g.Wait() })
	in := at(socket.Addr())
	in.Protocol = p
	return in
}

// processor answers ping and no other method.
type processor struct{}

func (processor) ProcessorMap() map[string]thrift.TProcessorFunction  { return nil }
func (processor) AddToProcessorMap(string, thrift.TProcessorFunction) {}
func (processor) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, _, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	err = errors.Join(thrift.SkipDefaultDepth(ctx, in, thrift.STRUCT), in.ReadMessageEnd(ctx))
	if name == "ping" {
		err = errors.Join(err, out.WriteMessageBegin(ctx, name, thrift.REPLY, seq), nothing{}.Write(ctx, out))
	} else {
		x := thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "no method "+name)
		err = errors.Join(err, out.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq), x.Write(ctx, out))
	}
	if err = errors.Join(err, out.WriteMessageEnd(ctx), out.Flush(ctx)); err != nil {
		return false, thrift.WrapTException(err)
	}
	return true, nil
}

func try(t *testing.T, spec string, conf *tls.Config, in registry.Instance) error {
	t.Helper()
	check, err := ParseCheck(spec, func() *tls.Config { return conf })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	return check(ctx, in)
}

func TestThriftCheckSpeaksEveryProtocol(t *testing.T) {
	for _, p := range registry.Protocols() {
		if !p.Thrift() {
			continue
		}
		t.Run(string(p), func(t *testing.T) {
			in := serve(t, p)
			for _, spec := range []string{"tcp", "thrift", "thrift:ping"} {
				if err := try(t, spec, nil, in); err != nil {
					t.Errorf("%s: %v", spec, err)
				}
			}
			if err := try(t, "thrift:pong", nil, in); err == nil || !strings.Contains(err.Error(), "no method pong") {
				t.Errorf("thrift:pong: %v", err)
			}
		})
	}
}

func TestChecksFail(t *testing.T) {
	hung := silent(t)
	if err := try(t, "tcp", nil, hung); err != nil {
		t.Errorf("tcp of a hung server: %v", err)
	}
	begin := time.Now()
	if err := try(t, "thrift", nil, hung); err == nil {
		t.Error("a server that answers nothing passes the thrift check")
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("gave up after %v", d)
	}
	gone := hung
	gone.Port = 1
	for _, spec := range []string{"tcp", "thrift", "thrift:ping"} {
		if try(t, spec, nil, gone) == nil {
			t.Errorf("%s passes where nothing listens", spec)
		}
	}
}

func TestCheckThroughTLS(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	in := at(server.Listener.Addr())
	in.TLS = true
	conf := server.Client().Transport.(*http.Transport).TLSClientConfig
	if err := try(t, "tcp", conf, in); err != nil {
		t.Error(err)
	}
	if err := try(t, "tcp", nil, in); err == nil {
		t.Error("a certificate of an unknown authority passes")
	}
}

func TestParseCheck(t *testing.T) {
	for _, s := range []string{"", "udp", "tcp:1", "thrift:", "http"} {
		if _, err := ParseCheck(s, nil); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}

func TestEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "providers.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`
- service: billing
  version: v2
  addr: 10.0.0.5:9090
  check: thrift:ping
  every: 2s
  tags: {rack: a}
- {service: mail, addr: ":25", protocol: unframed-compact}
`)
	entries, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	host := func() (string, error) { return "10.0.0.9", nil }
	for i, want := range []string{
		"billing/v2@10.0.0.5:9090#0 framed-binary 2s", "mail@10.0.0.9:25#0 unframed-compact 0s",
	} {
		p, err := entries[i].Provider(host, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Instance.ID().String() + " " + string(p.Instance.Protocol) + " " + p.Every.String(); got != want {
			t.Errorf("have %s, want %s", got, want)
		}
	}
	write("\ufeff- &web {service: web, version: 1.10, addr: \":1\", tags: {n: 1.50}}\n- {version: 2.0, <<: *web}\n" +
		"- {version: 007, <<: *web}\n")
	versions, err := ReadFile(path)
	if err != nil || versions[0].Version != "1.10" || versions[1].Version != "2.0" || versions[2].Version != "007" ||
		versions[2].Tags["n"] != "1.50" {
		t.Errorf("versions: %+v, %v", versions, err)
	}
	write("- {service: web, addr: \":1\", weight: 0}\n")
	if _, err := ReadFile(path); err == nil ||
		!strings.Contains(err.Error(), ":1: [0].weight: 0 is not possible here") {
		t.Errorf("weight 0: %v", err)
	}
	write("- service: a\n  adr: x\n")
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "adr") ||
		!strings.Contains(err.Error(), "2") {
		t.Errorf("unknown key: %v", err)
	}
	for _, c := range []struct {
		entry Entry
		want  string
	}{
		{Entry{Service: "a", Addr: "x"}, "want host:port"},
		{Entry{Service: "a", Addr: "x:http"}, `port "http" is no number`},
		{Entry{Service: "a b", Addr: "x:1"}, `character ' '`},
		{Entry{Service: "a", Addr: "x:1", Protocol: "soap"}, `protocol "soap"`},
		{Entry{Service: "a", Addr: "x:1", Check: "ftp"}, `check "ftp"`},
		{Entry{Service: "a", Addr: "x:1", Every: time.Second, Timeout: 2 * time.Second},
			"longer than the time between checks"},
		{Entry{Service: "a", Addr: "x:" + strconv.Itoa(1<<17)}, "not in 1..65535"},
	} {
		if _, err := c.entry.Provider(host, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.entry, err, c.want)
		}
	}
}
