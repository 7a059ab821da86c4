package callpath

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/bench/benchthrift"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/proxy"
)

// stockPeer is a client of the stock library that names the service, as a program of another
// language does. Its server is never started.
func stockPeer() peer {
	return peer{name: "stock", about: "Apache Thrift with a multiplexed name, over TCP or a Unix socket",
		dial: stockDial}
}

func stockDial(_ context.Context, addr string) (func() (call, error), error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	conf := &thrift.TConfiguration{}
	return func() (call, error) {
		nc, err := net.Dial(network, addr)
		for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond) // a node opens its port a little later
			nc, err = net.Dial(network, addr)
		}
		if err != nil {
			return nil, err
		}
		buffered := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(nc, conf), 64<<10)
		protocol := thrift.NewTBinaryProtocolConf(thrift.NewTFramedTransportConf(buffered, conf), conf)
		stub := benchthrift.NewEchoClientProtocol(nil, protocol, thrift.NewTMultiplexedProtocol(protocol, "echo"))
		return func(ctx context.Context, id int64) error {
			m, err := thriftCall(ctx, stub, id)
			if err != nil {
				return err
			}
			return check(m.ID, m.Msg, m.Tags, id)
		}, nil
	}, nil
}

// hopFlags are what the processes between client and server are told.
type hopFlags struct{ scene, to, socket string }

func parseHop(name string, args []string) (h hopFlags, err error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&h.scene, "scene", "out", "out: a stock client is served; in: a stock server is called")
	flags.StringVar(&h.to, "to", "", "address of the server")
	flags.StringVar(&h.socket, "socket", "", "path of the Unix socket")
	return h, flags.Parse(args)
}

// HopForwarder is a process that copies bytes between two connections.
func HopForwarder(_ context.Context, args []string) error {
	h, err := parseHop("hop-forwarder", args)
	if err != nil {
		return err
	}
	network, addr := "unix", h.socket
	if h.scene == "in" {
		network, addr = "tcp", "127.0.0.1:0"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go forward(nc, h.to)
		}
	}()
	fmt.Println(l.Addr())
	return reportUsage()
}

func forward(from net.Conn, addr string) {
	defer from.Close()
	to, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(from, to)
		from.Close()
	}()
	_, _ = io.Copy(to, from)
}

// HopProxy is a process that does what `skerry proxy` does.
func HopProxy(ctx context.Context, args []string) error {
	h, err := parseHop("hop-proxy", args)
	if err != nil {
		return err
	}
	cfg, err := nodeConfig(h.to)
	if err != nil {
		return err
	}
	program := config.Program{Listen: "unix:" + h.socket}
	answer := h.socket
	if h.scene == "in" {
		program.Provides = []config.Provide{{Service: "echo", Version: "v1", Addr: h.to, Concurrency: 256}}
		answer = h.to // names the cluster, in which the caller finds the service
	} else {
		program.Calls = []string{"echo"}
	}
	cfg.Proxy.Programs = map[string]config.Program{"bench": program}
	x, err := proxy.New(cfg, nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	for {
		s, err := proxy.Ask(ctx, program)
		if err == nil && s.State == "serving" {
			break
		}
		select {
		case err := <-done:
			stop()
			return err
		default:
		}
	}
	fmt.Println(answer)
	err = reportUsage()
	stop()
	<-done
	return err
}

// reportUsage prints this process's usage for every line that it reads.
func reportUsage() error {
	out := json.NewEncoder(os.Stdout)
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		if err := out.Encode(usageNow()); err != nil {
			return err
		}
	}
	return nil
}
