package idl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/cmd/skerry/internal/gen/internal/idl/common/base"
	api "github.com/skerry/skerry/cmd/skerry/internal/gen/internal/idl/wide/rpc"
	stubs "github.com/skerry/skerry/cmd/skerry/internal/gen/internal/idl/wide/rpcstream"
	"github.com/skerry/skerry/rpc"
)

// twoOf fails the test unless a stream sends an item twice and ends.
func twoOf[T any](t *testing.T, stream iter.Seq2[T, error], want T) {
	t.Helper()
	var have []T
	for item, err := range stream {
		if err != nil {
			t.Errorf("want %v twice: %v", want, err)
			return
		}
		have = append(have, item)
	}
	if !reflect.DeepEqual(have, []T{want, want}) {
		t.Errorf("have %v, want %v twice", have, want)
	}
}

// TestItems: items of every type arrive as they were sent, in streams of the service and of its parent.
func TestItems(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := stubs.NewWideClient(serve(t, stubs.NewWideProcessor(wide{})))
	v, at, text := 2.5, api.Serial(8), "text"
	twoOf(t, c.Last(ctx, 5), &base.Value{T: 5})
	twoOf(t, c.Bools(ctx, true), true)
	twoOf(t, c.Bools(ctx, false), false)
	twoOf(t, c.Doubles(ctx, v), v)
	twoOf(t, c.Blobs(ctx, []byte{0, 255}), []byte{0, 255})
	twoOf(t, c.Kinds(ctx, api.Kind_B), api.Kind_B)
	twoOf(t, c.Lists(ctx, []*base.Value{{T: 1, V: &v}, {T: 2}}), []*base.Value{{T: 1, V: &v}, {T: 2}})
	twoOf(t, c.Lists(ctx, []*base.Value{}), []*base.Value{})
	twoOf(t, c.Sets(ctx, []int32{3, 1}), []int32{3, 1})
	m := map[api.Kind]api.Kinds{api.Kind_A: {api.Kind_B}, api.Kind_B: {}}
	twoOf(t, c.Maps(ctx, m), m)
	twoOf(t, c.KindLists(ctx, api.Kinds{api.Kind_A}), api.Kinds{api.Kind_A})
	twoOf(t, c.Unions(ctx, &base.Choice{Text: &text, Number: 5}), &base.Choice{Text: &text, Number: 5})
	url := &api.GetURL{UserID: 1, SomeResult_: &at, Head: &api.Head{At: &at}, Raw: []byte{1}}
	twoOf(t, c.Urls(ctx, url), url)
	var numbers []api.Serial
	for n, err := range c.Numbers(ctx, 96) {
		if err != nil {
			t.Error(err)
		}
		numbers = append(numbers, n)
	}
	if !slices.Equal(numbers, []api.Serial{97, 98, 99}) {
		t.Errorf("have numbers %v", numbers)
	}
}

// TestExceptions: each declared exception ends a stream after its items, as it is.
func TestExceptions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := stubs.NewWideClient(serve(t, stubs.NewWideProcessor(wide{})))
	for tag, want := range map[string]error{"": nil, "bad": &api.BadArgs_{Why: "bad"}, "new": &api.NewError_{UserID: 7},
		"gone": &base.Gone{Why: "gone"}} {
		s, err := c.OpenTexts(ctx, 1, tag, 2)
		if err != nil {
			t.Fatal(err)
		}
		if item, err := s.Recv(ctx); err != nil || item != fmt.Sprint(int32(1), tag, int32(2)) {
			t.Errorf("%s: have %q, %v", tag, item, err)
		}
		if want == nil {
			want = io.EOF
		}
		if _, err := s.Recv(ctx); !reflect.DeepEqual(err, want) {
			t.Errorf("%s: have %v, want %v", tag, err, want)
		}
	}
}

// TestSending: items of the caller arrive, also when the other arguments are unions and structs with required fields.
func TestSending(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := stubs.NewWideClient(serve(t, stubs.NewWideProcessor(wide{})))
	text := "four"
	uses := &api.Uses{N: 1, C: &base.Choice{SomeValue: &base.Value{T: 10}, Number: 5}, V: &base.Value{}}
	up, err := c.PutAll(ctx, uses, &api.GetURL{UserID: 100}, &base.Choice{Text: &text, Number: 5})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(up.Send(ctx, []int64{1000, 2000}), up.Send(ctx, nil), up.Send(ctx,
		[]int64{4000})); err != nil {
		t.Fatal(err)
	}
	if sum, err := up.End(ctx); err != nil || sum != 7115 {
		t.Errorf("have %d, %v", sum, err)
	}
	for last, want := range map[int64]error{1: nil, -1: &base.Gone{Why: "-1"}} {
		put, err := c.Put(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := put.Send(ctx, last); err != nil {
			t.Error(err)
		}
		if _, err := put.End(ctx); !reflect.DeepEqual(err, want) {
			t.Errorf("have %v, want %v", err, want)
		}
	}
	talk, err := c.Talk(ctx, api.Kinds{api.Kind_B})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a", "", "ü"} {
		if err := talk.Send(ctx, text); err != nil {
			t.Fatal(err)
		}
		if answer, err := talk.Recv(ctx); err != nil || answer != text+"[B]" {
			t.Errorf("have %q, %v", answer, err)
		}
	}
	if err := talk.Send(ctx, "stop"); err != nil {
		t.Error(err)
	}
	if _, err := talk.Recv(ctx); !reflect.DeepEqual(err, &base.Gone{Why: "stop"}) {
		t.Errorf("have %v", err)
	}
}

// TestServiceOfMethodName: a service and its method may have one name.
func TestServiceOfMethodName(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	talk, err := stubs.NewEchoClient(serve(t, stubs.NewEchoProcessor(echo{}))).Echo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(talk.Send(ctx, "a"), talk.EndSend()); err != nil {
		t.Fatal(err)
	}
	if text, err := talk.Recv(ctx); err != nil || text != "a" {
		t.Errorf("have %q, %v", text, err)
	}
	if _, err := talk.Recv(ctx); err != io.EOF {
		t.Errorf("have %v", err)
	}
}

// TestAsynchronous: asynchronous methods answer, by promise or error, and unary ones are those of the stock client.
func TestAsynchronous(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := wide{make(chan string, 1), make(chan string, 1)}
	c := stubs.NewWideClient(serve(t, stubs.NewWideProcessor(w)))
	if err := c.Later(ctx, false); err != nil {
		t.Error(err)
	}
	if err := c.Later(ctx, true); !reflect.DeepEqual(err, &base.Gone{Why: "later"}) {
		t.Errorf("have %v", err)
	}
	if list, err := c.NewThingArgs__(ctx, 1, 2, 3, "x"); err != nil || !slices.Equal(list, []string{"x", "1 2 3"}) {
		t.Errorf("have %v, %v", list, err)
	}
	if _, err := c.NewThingArgs__(ctx, 1, 2, 3, ""); rpc.CodeOf(err) != rpc.HandlerFailed {
		t.Errorf("have %v", err)
	}
	if url, err := c.GetURL(ctx, &api.GetURL{UserID: 3}, 0, 0, 0); err != nil || url.UserID != 3 {
		t.Errorf("have %v, %v", url, err)
	}
	if err := errors.Join(c.Ping(ctx), c.Notify(ctx, "n")); err != nil {
		t.Error(err)
	}
	<-w.pinged
	if id := <-w.notified; id != "n" {
		t.Errorf("have %q", id)
	}
}

// TestPages: a page method is served from its stream. Clients without streams are told its name.
func TestPages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	tc, addr := serveAt(t, stubs.NewWideProcessor(wide{}))
	c := stubs.NewWideClient(tc)
	for since, want := range map[api.Serial][]api.Serial{0: {1, 2, 3}, 97: {98, 99}, 99: {}, 101: {}} {
		if page, err := c.NumbersPage(ctx, since, 3, 20); err != nil || !slices.Equal(page, want) {
			t.Errorf("the page after %d is %v, %v; want %v", since, page, err, want)
		}
		var r api.WideNumbersPageResult
		_, err := c.Client_().Call(ctx, "numbers_page", &api.WideNumbersPageArgs{Since: since, Max: 3, WaitMs: 20}, &r)
		if err != nil || !r.IsSetSuccess() {
			t.Errorf("the page after %d is absent in the reply: %v", since, err)
		}
	}
	socket := thrift.NewTFramedTransportConf(thrift.NewTSocketConf(addr, nil), nil)
	if err := socket.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	protocol := thrift.NewTBinaryProtocolConf(socket, nil)
	plain := api.NewWideClient(thrift.NewTStandardClient(protocol, protocol))
	if page, err := plain.NumbersPage(ctx, 97, 3, 20); err != nil || !slices.Equal(page, []api.Serial{98, 99}) {
		t.Errorf("the page for a client without streams is %v, %v", page, err)
	}
	_, err := plain.Numbers(ctx, 1)
	if err == nil || !strings.Contains(err.Error(), "call numbers_page in its place") {
		t.Errorf("a stream says to a client without streams: %v", err)
	}
	uses := &api.Uses{C: &base.Choice{SomeValue: &base.Value{}, Number: 5}, V: &base.Value{}}
	sum, err := plain.PutAll(ctx, uses, &api.GetURL{}, []int64{1, 2}, uses.C)
	if err != nil || sum != 3 {
		t.Errorf("a client stream of one item: %v, %v", sum, err)
	}
}

// TestCursors: the functions of skerry.resume set the argument to the item's value, make structs on the way, and leave
// the argument as it is for an item without a value.
func TestCursors(t *testing.T) {
	t.Parallel()
	at, other := api.Serial(8), api.Serial(9)
	var last base.RootLastArgs
	stubs.WideLastResume(&base.Value{T: 7}, &last)
	var numbers api.WideNumbersArgs
	stubs.WideNumbersResume(8, &numbers)
	var blobs api.WideBlobsArgs
	stubs.WideBlobsResume([]byte{9}, &blobs)
	if last.Since != 7 || numbers.Since != 8 || !bytes.Equal(blobs.After, []byte{9}) {
		t.Errorf("have %v, %v, %v", last, numbers, blobs)
	}
	var urls api.WideUrlsArgs
	stubs.WideUrlsResume(nil, &urls)
	stubs.WideUrlsResume(&api.GetURL{}, &urls)
	if urls.URL != nil {
		t.Errorf("have %v", urls)
	}
	item := &api.GetURL{SomeResult_: &at, Head: &api.Head{At: &other}}
	stubs.WideUrlsResume(item, &urls)
	at = 10 // of the item alone
	if *urls.URL.Head.At != 8 {
		t.Errorf("have %v", urls)
	}
	var heads api.WideHeadsArgs
	stubs.WideHeadsResume(item, &heads)
	stubs.WideHeadsResume(&api.GetURL{Head: &api.Head{}}, &heads)
	stubs.WideHeadsResume(&api.GetURL{}, &heads)
	if heads.Since != 9 {
		t.Errorf("have %v", heads)
	}
	var structs api.WideStructsArgs
	stubs.WideStructsResume(item, &structs)
	if structs.URL.Head != item.Head {
		t.Errorf("have %v", structs)
	}
}
