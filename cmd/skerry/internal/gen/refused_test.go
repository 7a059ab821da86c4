package gen

// common are the types of the tables below.
const common = `namespace go api
struct Point { 1: required i64 t, 2: double v, 3: optional Point after, 4: list<i64> ts, 5: U u }
struct Range { 1: i64 since, 2: double part, 3: U u, 4: Point p }
struct Endless { 1: required Endless e }
union U { 1: i64 t }
union None {}
exception Gone { 1: string why }
exception Late { 1: string why }
typedef Point Alias
typedef Long Short
typedef Short Long
struct _Hidden {}
struct WithHidden { 1: i64 _t }
`

// refused are methods of a service S that cannot be, with what is said of them.
var refused = map[string]struct{ text, want string }{
	"a stream that is oneway": {
		`oneway void a(1: i64 x) (skerry.stream = "client")`,
		`method a: a oneway method cannot be a client stream, because nothing comes back; remove oneway`},
	"an asynchronous method that is oneway": {
		`oneway void a() (skerry.async = "true")`,
		`method a: a oneway method cannot be an asynchronous method, because nothing comes back; remove oneway`},
	"an unknown kind of stream": {
		`i64 a() (skerry.stream = "both")`,
		`method a: skerry.stream = "both"; write "server", "client" or "bidi"`},
	"an unknown kind of stream of Kitex": {
		`i64 a() (streaming.mode = "bidi")`,
		`method a: streaming.mode = "bidi"; write "unary", "server", "client" or "bidirectional"`},
	"two kinds": {
		`i64 a(1: i64 x) (skerry.stream = "server", streaming.mode = "client")`,
		`method a: streaming.mode = "client" contradicts skerry.stream = "server"; keep one`},
	"a stream that is unary": {
		`i64 a(1: i64 x) (skerry.stream = "server", streaming.mode = "unary")`,
		`method a: streaming.mode = "unary" contradicts skerry.stream = "server"; keep one`},
	"an asynchronous stream": {
		`i64 a(1: i64 x) (skerry.async = "true", skerry.stream = "server")`,
		`method a: skerry.stream = "server" contradicts skerry.async = "true"; keep one`},
	"an annotation twice": {
		`i64 a(1: i64 x) (skerry.stream = "server", skerry.stream = "client")`,
		`method a: skerry.stream is written twice, as "server" and as "client"; keep one`},
	"asynchronous or not": {
		`i64 a() (skerry.async = "yes")`, `method a: skerry.async = "yes"; write "true", or remove it`},
	"an unknown annotation": {
		`i64 a() (skerry.streem = "server")`,
		`method a: there is no annotation skerry.streem; did you mean skerry.stream?; there are skerry.stream, ` +
			`skerry.item, skerry.resume, skerry.page, skerry.async`},
	"an annotation of an argument": {
		`i64 a(1: i64 x (skerry.item = "true")) (skerry.stream = "client")`,
		`skerry.item is an annotation of methods; write it after the arguments and exceptions of one`},
	"an item that is no argument": {
		`i64 a(1: i64 point, 2: i64 y) (skerry.stream = "client", skerry.item = "pont")`,
		`method a: skerry.item = "pont" names no argument; did you mean point?; the arguments are point, y`},
	"no item": {
		`i64 a() (skerry.stream = "bidi")`,
		`method a: a bidi stream needs an argument: its type is that of the items which the caller sends`},
	"several items": {
		`i64 a(1: i64 x, 2: i64 y) (skerry.stream = "client")`,
		`method a: there are several arguments; name that of the items: skerry.item = "y"`},
	"an item of a server stream": {
		`i64 a(1: i64 x) (skerry.stream = "server", skerry.item = "x")`,
		`method a: skerry.item names the item of a client or bidi stream, and this is a server stream; remove it`},
	"an item without a name": {
		`i64 a(1: i64 x) (skerry.stream = "client", skerry.item = " ")`,
		`method a: skerry.item has no value`},
	"a server stream of nothing": {
		`void a() (skerry.stream = "server")`,
		`method a: the result type is the type of the items of a server stream, and it is void; name the items' type`},
	"a bidi stream of nothing": {
		`void a(1: i64 x) (skerry.stream = "bidi")`,
		`method a: the result type is the type of the items of a bidi stream, and it is void; name the items' type`},

	"items that are exceptions": {
		`Gone a() (skerry.stream = "server")`,
		`method a: the result type Gone is an exception, which would be thrown; make it a struct`},

	"a cursor of a client stream": {
		`i64 a(1: i64 x) (skerry.stream = "client", skerry.resume = "x")`,
		`method a: skerry.resume is for server streams, and this is a client stream; remove it`},
	"a cursor in no argument": {
		`Point a(1: Range r) (skerry.stream = "server", skerry.resume = "q.since = t")`,
		`method a: skerry.resume = "q.since = t": "q" is no argument; the arguments are r`},
	"a cursor in no field": {
		`Point a(1: Range r) (skerry.stream = "server", skerry.resume = "r.sinc = t")`,
		`method a: skerry.resume = "r.sinc = t": Range has no field "sinc"; did you mean since?; ` +
			`it has since, part, u, p`},
	"a cursor of no field of the item": {
		`Point a(1: Range r) (skerry.stream = "server", skerry.resume = "r.since = time")`,
		`method a: skerry.resume = "r.since = time": Point has no field "time"; it has t, v, after, ts, u`},
	"a short cursor of no field of the item": {
		`Point a(1: Range r) (skerry.stream = "server", skerry.resume = "r.since")`,
		`method a: skerry.resume = "r.since": Point has no field "since"; it has t, v, after, ts, u|` +
			`method a: skerry.resume = "r.since": name the field of the item: "r.since = FIELD"`},
	"a cursor of another type": {
		`Point a(1: Range r) (skerry.stream = "server", skerry.resume = "r.since = v")`,
		`method a: skerry.resume = "r.since = v": the argument's side is of the type i64 and the item's of the ` +
			`type double; give them one type`},
	"a cursor of a field in a number": {
		`Point a(1: i64 x) (skerry.stream = "server", skerry.resume = "x.y = t")`,
		`method a: skerry.resume = "x.y = t": i64 has no fields, so there is no "y" in it`},
	"a cursor of a list": {
		`Point a(1: list<i64> x) (skerry.stream = "server", skerry.resume = "x = ts")`,
		`method a: skerry.resume = "x = ts": a cursor is a number, a text, binary, an enum or a struct, and x is a ` +
			`list<i64>`},
	"a cursor in a union": {
		`Point a(1: Range r) (skerry.stream = "server", skerry.resume = "r.u.t = t")`,
		`method a: skerry.resume = "r.u.t = t": u is a union, of which another field may be set; put the cursor ` +
			`beside it`},
	"a cursor in a union below another struct": {
		`Point a(1: Range r) (skerry.stream = "server", skerry.resume = "r.p.u.t = t")`,
		`method a: skerry.resume = "r.p.u.t = t": u is a union, of which another field may be set; put the cursor ` +
			`beside it`},
	"a cursor in a union that is the argument": {
		`Point a(1: U u) (skerry.stream = "server", skerry.resume = "u.t = t")`,
		`method a: skerry.resume = "u.t = t": u is a union, of which another field may be set; put the cursor ` +
			`beside it`},
	"a cursor of an item without fields": {
		`i64 a(1: i64 x) (skerry.stream = "server", skerry.resume = "x = t")`,
		`method a: skerry.resume = "x = t": the items are of the type i64 and have no fields; write the left side ` +
			`alone`},
	"a cursor without a name in Go": {
		`i64 a(1: WithHidden h) (skerry.stream = "server", skerry.resume = "h._t")`,
		`method a: skerry.resume = "h._t": the stock compiler makes an unexported Go name of "_t"; let its name ` +
			`begin with a letter`},

	"a page of nothing": {
		`i64 watch() (skerry.stream = "server") list<i64> a(1: i32 max, 2: i32 waitMs) (skerry.page = "wach")`,
		`method a: skerry.page = "wach": service S declares no server stream of that name; did you mean watch?`},
	"a page of a client stream": {
		`i64 watch(1: i64 x) (skerry.stream = "client") list<i64> a(1: i32 max, 2: i32 waitMs) (skerry.page = "watch")`,
		`method a: skerry.page = "watch": service S declares no server stream of that name`},
	"a page that is no list": {
		`i64 watch() (skerry.stream = "server") i64 a(1: i32 max, 2: i32 waitMs) (skerry.page = "watch")`,
		`method a: skerry.page = "watch": the result is i64; make it list<i64>`},
	"a page without a result": {
		`i64 watch() (skerry.stream = "server") void a(1: i32 max, 2: i32 waitMs) (skerry.page = "watch")`,
		`method a: skerry.page = "watch": the result is void; make it list<ITEM>, with the items of the stream`},
	"a page with other arguments": {
		`i64 watch(1: i64 x) (skerry.stream = "server") list<i64> a(1: i32 max, 2: i32 waitMs) (skerry.page = "watch")`,
		`method a: skerry.page = "watch": the arguments are (i32 max, i32 waitMs); make them those of the stream, ` +
			`(i64 x), and max and waitMs, whole numbers`},
	"a page without a wait": {
		`i64 watch() (skerry.stream = "server") list<i64> a(1: i32 max, 2: double waitMs) (skerry.page = "watch")`,
		`method a: skerry.page = "watch": the last arguments are (i32 max, double waitMs); make them max and ` +
			`waitMs, whole numbers`},
	"a page with the numbers exchanged": {
		`i64 watch() (skerry.stream = "server") list<i64> a(1: i32 waitMs, 2: i32 max) (skerry.page = "watch")`,
		`method a: skerry.page = "watch": the last arguments are (i32 waitMs, i32 max); make them max and waitMs, ` +
			`whole numbers`},
	"a page without an exception": {
		`i64 watch() throws (1: Gone g, 2: Late l) (skerry.stream = "server")
		list<i64> a(1: i32 max, 2: i32 waitMs) throws (1: Gone g) (skerry.page = "watch")`,
		`method a: skerry.page = "watch": the stream throws Late; declare it here, too`},
	"two pages": {
		`i64 watch() (skerry.stream = "server") list<i64> a(1: i32 max, 2: i32 waitMs) (skerry.page = "watch")
		list<i64> b(1: i32 max, 2: i32 waitMs) (skerry.page = "watch")`,
		`method b: skerry.page = "watch": a is a page of it already; keep one`},

	"no such type": {
		`Pont a() (skerry.stream = "server")`, `there is no type Pont; did you mean Point?`},
	"no such file": {
		`other.Point a() (skerry.stream = "server")`, `type other.Point: no file other.thrift is included`},
	"a typedef of a struct": {
		`list<Alias> a() (skerry.stream = "server")`,
		`typedef Alias means the struct Point: the stock compiler makes Go code of it that does not compile; use ` +
			`Point itself`},
	"typedefs in a circle": {
		`Long a() (skerry.stream = "server")`,
		`the type nests, or its typedefs refer to each other, more than 64 times`},
	"a type without a name in Go": {
		`_Hidden a() (skerry.stream = "server")`,
		`type _Hidden: the stock compiler makes an unexported Go name of it; let its name begin with a letter`},
	"a key that is no key": {
		`map<list<i64>, i64> a() (skerry.stream = "server")`,
		`a map has keys of the type list<i64>, which is no key of a Go map, so the stock compiler refuses it; ` +
			`take another key`},
	"an argument without an empty value": {
		`i64 a(1: i64 x, 2: Endless e) (skerry.stream = "client", skerry.item = "x")`,
		`method a: argument e: items are sent without it, and there is no small empty Endless to send in its ` +
			`place; make a field optional`},
	"a union without an empty value": {
		`i64 a(1: i64 x, 2: None n) (skerry.stream = "client", skerry.item = "x")`,
		`method a: argument n: items are sent without it, and the union None has no field that could be sent ` +
			`empty; put it into a struct`},

	"two methods of one name": {
		`i64 get_it() (skerry.async = "true") i64 GetIt()`,
		`method GetIt of S and method get_it of S have one name in Go, GetIt; rename one`},
	"two arguments of one name": {
		`i64 a(1: i64 user_id, 2: i64 User_id) (skerry.async = "true")`,
		`arguments user_id and User_id have one name in Go, UserID; rename one`},
	"a method without a name in Go": {
		`i64 _a() (skerry.async = "true")`,
		`method _a: the stock compiler makes an unexported Go name of it; let its name begin with a letter`},
	"a name with dots": {
		`i64 a.b() (skerry.async = "true")`,
		`method a.b: the stock compiler makes no Go name of a name with dots; take another name`},
	"the name of a method that opens a stream": {
		`i64 watch() (skerry.stream = "server") i64 openWatch()`,
		`method openWatch has the name of the one that opens the server stream watch, OpenWatch; rename one`},
	"the name of the client": {
		`i64 SClient() (skerry.async = "true")`,
		`method SClient has the name of the stubs' client, SClient; rename it`},
	"the name of a cursor": {
		`i64 watch(1: i64 since) (skerry.stream = "server", skerry.resume = "since") }
		service SWatchResume { i64 a() (skerry.async = "true")`,
		`method S.watch and service SWatchResume have one name in the stubs, SWatchResume; rename one`},
	"the name of a page": {
		`i64 watch(1: i64 t) (skerry.stream = "server", skerry.resume = "t") ` +
			`list<i64> page(1: i64 t, 2: i32 max, 3: i32 waitMs) (skerry.page = "watch") }
		service SWatchPage { i64 a() (skerry.async = "true")`,
		`method S.watch and service SWatchPage have one name in the stubs, SWatchPage; rename one`},
	"the name of another service's client": {
		`i64 a() (skerry.async = "true") } service SClient { i64 a() (skerry.async = "true")`,
		`service S and service SClient have one name in the stubs, SClient; rename one`},
	"two services of one name in Go": {
		`i64 a() (skerry.async = "true") } service s { i64 a() (skerry.async = "true")`,
		`service S and service s have one name in the stubs, S; rename one`},
	"a service twice": {
		`i64 a() (skerry.async = "true") } service S { i64 a() (skerry.async = "true")`,
		`service S is declared twice`},
	"a parent that is not there": {
		`i64 a() (skerry.async = "true") } service T extends Q { i64 b() (skerry.async = "true")`,
		`service T extends Q, which is neither in this file nor in an included one`},
	"a parent that is not included": {
		`i64 a() (skerry.async = "true") } service T extends q.Q { i64 b() (skerry.async = "true")`,
		`service T extends q.Q, which is neither in this file nor in an included one`},
	"a service that extends itself": {
		`i64 a() (skerry.async = "true") } service T extends T { i64 b() (skerry.async = "true")`,
		`service T extends itself`},
	"a method of the parent again": {
		`i64 a() (skerry.async = "true") } service T extends S { i64 a() (skerry.async = "true")`,
		`method a of T and method a of S have one name in Go, A; rename one`},
	"nothing to write": {
		`i64 a()`,
		`no method has an annotation of skerry, such as (skerry.stream = "server"), so there is nothing to write`},
}
