// Plain is a service of the application without skerry: Apache Thrift's own server and clients. Its
// callees stand in a file of addresses, or are those that a Eureka server lists.
//
// The linker sets its name and version. The file is read again for each call, so that a changed
// address needs no restart.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/bench/deploy/stepapi"
	"github.com/skerry/skerry/bench/deploy/steps"
)

var service, version string

const (
	dialTime = time.Second
	callTime = 2 * time.Second
	maxFile  = 64 << 10
)

func main() {
	path := flag.String("config", "/etc/site/site.conf", "file with lines NAME ADDRESS")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *path); err != nil {
		fmt.Fprintln(os.Stderr, service+":", err)
		os.Exit(1)
	}
}

// run serves until the context ends. A file with a line "eureka URL" makes it a client of that server;
// a line "listen ADDRESS" of its own service is where it serves.
func run(ctx context.Context, path string) error {
	lines, err := read(path)
	if err != nil {
		return err
	}
	port := lines["port."+service]
	if len(port) != 1 {
		return fmt.Errorf("%s: one line port.%s is missing", path, service)
	}
	find := func(name string) ([]string, error) {
		lines, err := read(path)
		return lines[name], err
	}
	leave := func() {}
	if urls := lines["eureka"]; len(urls) > 0 {
		e, err := newEureka(urls[0], service, port[0])
		if err != nil {
			return err
		}
		go e.run(ctx)
		find, leave = e.find, e.leave
	}
	handler, err := steps.New(service, version, caller(find))
	if err != nil {
		return err
	}
	return serve(ctx, ":"+port[0], handler, leave)
}

// read reads the file of addresses: words by their first word.
func read(path string) (map[string][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string][]string{}
	for s := bufio.NewScanner(f); s.Scan() && len(out) < maxFile; {
		if name, value, ok := strings.Cut(strings.TrimSpace(s.Text()), " "); ok {
			out[name] = append(out[name], value)
		}
	}
	return out, nil
}

func serve(ctx context.Context, address string, handler stepapi.Step, leave func()) error {
	socket, err := thrift.NewTServerSocket(address)
	if err != nil {
		return err
	}
	server := thrift.NewTSimpleServer4(stepapi.NewStepProcessor(handler), socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		thrift.NewTBinaryProtocolFactoryConf(nil))
	context.AfterFunc(ctx, func() {
		leave()
		_ = server.Stop() // the process ends anyway
	})
	return server.Serve()
}

// caller calls one of the addresses, and the next one where it can't be reached.
func caller(find func(string) ([]string, error)) steps.Caller {
	return func(ctx context.Context, name, request string) (string, error) {
		addresses, err := find(name)
		if err != nil {
			return "", err
		}
		err = errors.New("no address")
		for i, first := 0, rand.IntN(max(len(addresses), 1)); i < len(addresses); i++ {
			var answer string
			if answer, err = call(ctx, addresses[(first+i)%len(addresses)], request); err == nil {
				return answer, nil
			}
			var unreached *net.OpError
			if !errors.As(err, &unreached) || unreached.Op != "dial" {
				return "", err // it may have been executed
			}
		}
		return "", err
	}
}

func call(ctx context.Context, address, request string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, dialTime)
	if err != nil {
		return "", err
	}
	settings := &thrift.TConfiguration{SocketTimeout: callTime}
	framed := thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(conn, settings), settings)
	defer framed.Close()
	protocol := thrift.NewTBinaryProtocolConf(framed, settings)
	return stepapi.NewStepClient(thrift.NewTStandardClient(protocol, protocol)).Run(ctx, request)
}
