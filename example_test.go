package skerry_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/examples/historian/apistream"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/examples/portal/gen/portalapi"
	"github.com/skerry/skerry/rpc"
)

// program is the program of the README; a test keeps them equal.
func program(ctx context.Context, impl portalapi.Portal) {
	node, err := skerry.OpenFile(ctx, "skerry.yaml")
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	auth := skerry.Stub(node, "auth", authapi.NewAuthClient) // consumer: call by name
	token, err := auth().GetToken(ctx, "alice", "s3cret")
	log.Println(token, err)

	err = node.Serve(ctx, "portal", portalapi.NewPortalProcessor(impl)) // provider: until ctx ends
	log.Println(err)
}

// guard is the Auth service of the examples.
type guard struct{}

func (guard) GetToken(_ context.Context, user, secret string) (*authapi.Token, error) {
	if secret != "s3cret" {
		return nil, &authapi.Denied{Reason: "wrong secret"}
	}
	return &authapi.Token{Value: "token of " + user, User: user}, nil
}

func (guard) Verify(_ context.Context, token string) (string, error) {
	var user string
	_, err := fmt.Sscanf(token, "token of %s", &user)
	return user, err
}

// bench is a configuration for this machine only.
func bench(cluster string) skerry.Config {
	return skerry.Config{
		Cluster: "example-" + cluster,
		Mode:    config.ModeBroadcast,
		LAN: config.LAN{Interfaces: []string{"127.0.0.0/8"},
			Key: "sk1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypxurjq"},
		Service:  config.Service{Name: "auth", Version: "v1"},
		StateDir: "none",
		Stop:     config.Stop{Grace: time.Millisecond},
		Log:      config.Log{Level: "error"},
	}
}

// openAuth opens a node that offers the service auth.
func openAuth(ctx context.Context, c skerry.Config, opts ...skerry.Option) *skerry.Node {
	node, err := skerry.Open(ctx, c, opts...)
	if err == nil {
		err = node.Handle(ctx, "auth", authapi.NewAuthProcessor(guard{}))
	}
	if err != nil {
		log.Fatal(err)
	}
	return node
}

// A provider and a consumer on one LAN, without a database.
func Example() {
	ctx := context.Background()
	provider := openAuth(ctx, bench("first"))
	defer provider.Close()

	c := bench("first")
	c.Service = config.Service{}
	consumer, err := skerry.Open(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close()

	auth := authapi.NewAuthClient(consumer.Client("auth"))
	token, err := auth.GetToken(ctx, "alice", "s3cret")
	fmt.Println(token.GetValue(), err)
	// Output: token of alice <nil>
}

// Serve runs until the context ends. A program usually uses signal.NotifyContext(ctx, os.Interrupt,
// syscall.SIGTERM).
func ExampleNode_Serve() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	node, err := skerry.Open(ctx, bench("serve"))
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	fmt.Println(node.Serve(ctx, "auth", authapi.NewAuthProcessor(guard{})))
	// Output: <nil>
}

// A declared exception is an answer; every other failure is an *rpc.Error, which says whether the
// call was executed.
func ExampleNode_Client() {
	ctx := context.Background()
	node := openAuth(ctx, bench("client"))
	defer node.Close()

	_, err := authapi.NewAuthClient(node.Client("auth")).GetToken(ctx, "alice", "guess")
	var denied *authapi.Denied
	fmt.Println(errors.As(err, &denied), err)

	_, err = authapi.NewAuthClient(node.Client("nobody")).GetToken(ctx, "alice", "s3cret")
	fmt.Println(rpc.CodeOf(err), rpc.SafeToRetry(err))
	// Output:
	// true Denied({Reason:wrong secret})
	// no_instance true
}

// A fallback answers when the service can't.
func ExampleNode_Client_fallback() {
	ctx := context.Background()
	node := openAuth(ctx, bench("fallback"))
	defer node.Close()

	client := node.Client("nobody", func(o *rpc.ServiceOptions) {
		o.Fallback = func(_ context.Context, call *rpc.Call, err error) error {
			user := "anonymous"
			call.Result.(*authapi.AuthVerifyResult).Success = &user
			return nil
		}
	})
	fmt.Println(authapi.NewAuthClient(client).Verify(ctx, "?"))
	// Output: anonymous <nil>
}

// Generated clients must not be shared; a stub makes one for each call.
func ExampleStub() {
	ctx := context.Background()
	node := openAuth(ctx, bench("stub"))
	defer node.Close()

	auth := skerry.Stub(node, "auth", authapi.NewAuthClient)
	var group sync.WaitGroup
	users := make([]string, 3)
	for i := range users {
		group.Go(func() { users[i], _ = auth().Verify(ctx, fmt.Sprintf("token of user-%d", i)) })
	}
	group.Wait()
	fmt.Println(users)
	// Output: [user-0 user-1 user-2]
}

// Several services of one process share one port.
func ExampleNode_Handle() {
	ctx := context.Background()
	c := bench("handle")
	c.Service = config.Service{}
	c.Services = []config.Service{{Name: "auth", Version: "v1"}, {Name: "auth-next", Version: "v2"}}
	node := openAuth(ctx, c)
	defer node.Close()
	if err := node.Handle(ctx, "auth-next", authapi.NewAuthProcessor(guard{})); err != nil {
		log.Fatal(err)
	}
	for _, service := range []string{"auth", "auth-next"} {
		user, err := authapi.NewAuthClient(node.Client(service)).Verify(ctx, "token of alice")
		fmt.Println(service, user, err)
	}
	// Output:
	// auth alice <nil>
	// auth-next alice <nil>
}

// Interceptors see every call. Here the server reads the caller's name.
func ExampleWithServerInterceptors() {
	ctx := context.Background()
	node := openAuth(ctx, bench("interceptor"), skerry.WithServerInterceptors(
		func(ctx context.Context, call *rpc.CallInfo, next func(context.Context) error) error {
			fmt.Printf("%s calls %s.%s of version %s\n", call.Caller, call.Service, call.Method, call.Version)
			return next(ctx)
		}))
	defer node.Close()
	fmt.Println(authapi.NewAuthClient(node.Client("auth")).Verify(ctx, "token of alice"))
	// Output:
	// auth calls auth.verify of version v1
	// alice <nil>
}

// A client's interceptor is around all attempts of a call.
func ExampleWithClientInterceptors() {
	ctx := context.Background()
	node := openAuth(ctx, bench("around"), skerry.WithClientInterceptors(
		func(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
			err := next(ctx)
			fmt.Println(call.Method, err)
			return err
		}))
	defer node.Close()
	var client thrift.TClient = node.Client("auth")
	_, _ = authapi.NewAuthClient(client).Verify(ctx, "token of alice")
	// Output: verify <nil>
}

// Explain shows the instances of a service, and the reasons for their states.
func ExampleNode_Explain() {
	ctx := context.Background()
	node := openAuth(ctx, bench("explain"))
	defer node.Close()
	_, _ = authapi.NewAuthClient(node.Client("auth")).Verify(ctx, "token of alice")
	for _, e := range node.Explain("auth") {
		fmt.Println(e.Service, e.Version, e.Sources[0].Name)
	}
	// Output: auth v1 lan
}

// All errors of a configuration are reported at once.
func ExampleConfig_Validate() {
	c := skerry.Config{Mode: "broadcats", LAN: config.LAN{Port: 70000}}
	fmt.Println(c.Validate())
	// Output:
	// mode: "broadcats" is none of auto, database, broadcast; did you mean broadcast?
	// lan.port: 70000 is not in 1..65535
}

// historian keeps a value for each second. Tests and examples need no other method of it.
type historian struct{ apistream.Historian }

func (historian) Watch(ctx context.Context, r *api.Range, out rpc.Sender[*api.Point]) error {
	for t := r.Since + 1; ; t++ {
		if err := out.Send(ctx, &api.Point{Tag: "level", T: t}); err != nil {
			return err
		}
	}
}

// A subscription goes on where it left off when its provider stops and another one starts.
func ExampleFollow() {
	ctx := context.Background()
	provide := func() *skerry.Node {
		c := bench("follow")
		c.Service = config.Service{Name: "historian", Version: "v1"}
		node, err := skerry.Open(ctx, c)
		if err == nil {
			err = node.Handle(ctx, "historian", apistream.NewHistorianProcessor(historian{}))
		}
		if err != nil {
			log.Fatal(err)
		}
		return node
	}
	provider := provide()
	c := bench("follow")
	c.Service = config.Service{}
	consumer, err := skerry.Open(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close()

	args := &api.HistorianWatchArgs{R: &api.Range{Tags: []string{"level"}}}
	sub := skerry.Follow(ctx, consumer, "historian", "watch", args, api.NewHistorianWatchResult,
		apistream.HistorianWatchResume)
	for p, err := range sub.All(ctx) {
		switch {
		case err != nil:
			log.Fatal(err)
		case p.T == 3:
			next := provide()
			defer next.Close()
			provider.Close()
		case p.T == 5:
			fmt.Println("5 points")
			return
		}
	}
	// Output: 5 points
}
