// The helper against the stock library: contexts that cross, connections that break.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using SkerrySite;
using Thrift;
using Thrift.Processor;
using Thrift.Protocol;
using Thrift.Protocol.Entities;
using Thrift.Protocol.Utilities;
using Thrift.Server;
using Thrift.Transport;
using Thrift.Transport.Client;
using Thrift.Transport.Server;

static class Tests
{
    static readonly string Dir = Environment.GetEnvironmentVariable("SKERRY_TEST_DIR") ?? Path.GetTempPath();
    static int count;

    static string Fresh() => Path.Combine(Dir, "cs" + Interlocked.Increment(ref count) + ".sock");

    static void Equal<T>(T got, T want)
    {
        if (!Equals(got, want))
        {
            throw new Exception($"got {got}, want {want}");
        }
    }

    static void Holds(bool condition, string what)
    {
        if (!condition)
        {
            throw new Exception("not so: " + what);
        }
    }

    static async Task<E> Throws<E>(Task call) where E : Exception
    {
        try
        {
            await call;
        }
        catch (E err)
        {
            return err;
        }
        throw new Exception("no " + typeof(E).Name);
    }

    static async Task Eventually(Func<bool> condition)
    {
        for (var i = 0; i < 1000 && !condition(); i++)
        {
            await Task.Delay(5);
        }
        Holds(condition(), "within 5 s");
    }

    /// <summary>Stands in for `skerry proxy`: verify returns the word under which it was called.</summary>
    sealed class StandIn : IDisposable
    {
        public readonly List<string> Seen = new List<string>(); // guarded by itself
        readonly Socket listener;
        readonly List<Socket> sockets = new List<Socket>();
        readonly string token;
        public volatile int PassedOn; // one-way calls
        public volatile string OnSent; // how skerry.sent is answered: "unknown", "never" or "end", else as by the proxy

        public StandIn(string path)
        {
            File.Delete(path);
            listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(new UnixEndPoint(path));
            Start();
        }

        public StandIn(int port, string token)
        {
            this.token = token;
            listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            listener.Bind(new IPEndPoint(IPAddress.Loopback, port));
            Start();
        }

        public int Port => ((IPEndPoint)listener.LocalEndPoint).Port;

        void Start()
        {
            listener.Listen(20);
            new Thread(() =>
            {
                try
                {
                    while (true)
                    {
                        var socket = listener.Accept();
                        lock (sockets) sockets.Add(socket);
                        new Thread(() => Serve(socket)) { IsBackground = true }.Start();
                    }
                }
                catch (Exception)
                {
                }
            }) { IsBackground = true }.Start();
        }

        public bool Has(string name)
        {
            lock (Seen) return Seen.Contains(name);
        }

        void Serve(Socket socket)
        {
            try
            {
                while (true)
                {
                    var head = Exactly(socket, 4);
                    var body = Exactly(socket, (head[0] << 24) | (head[1] << 16) | (head[2] << 8) | head[3]);
                    var reply = Answer(socket, body).GetAwaiter().GetResult();
                    if (reply != null)
                    {
                        socket.Send(reply);
                    }
                }
            }
            catch (Exception)
            {
                socket.Dispose();
            }
        }

        async Task<byte[]> Answer(Socket socket, byte[] body)
        {
            var none = CancellationToken.None;
            var input = new TBinaryProtocol(new TStreamTransport(new MemoryStream(body), null, new TConfiguration()));
            var message = await input.ReadMessageBeginAsync(none);
            var text = "";
            while (true)
            {
                var field = await input.ReadFieldBeginAsync(none);
                if (field.Type == TType.Stop) break;
                if (field.Type == TType.String) text = await input.ReadStringAsync(none);
                else await TProtocolUtil.SkipAsync(input, field.Type, none);
            }
            lock (Seen) Seen.Add(message.Name);
            if (text == "HTTP")
            {
                return System.Text.Encoding.ASCII.GetBytes("HTTP/1.1 400 Bad Request\r\n\r\n");
            }
            if (text == "end") throw new IOException();
            if (text == "never") Thread.Sleep(2000);
            if (text == "slow") Thread.Sleep(200);
            if (message.Type == TMessageType.Oneway)
            {
                PassedOn++;
                return null;
            }
            var sent = message.Name.EndsWith(";skerry.sent"); // answered in the order of the connection
            if (sent && OnSent == "never") return null;
            if (sent && OnSent == "end") throw new IOException();
            var end = message.Name.IndexOf(';');
            var word = message.Name.StartsWith("ctx=") ? message.Name.Substring(4, end - 4) : "none";
            var method = sent ? "skerry.sent" : message.Name.Substring(message.Name.LastIndexOf(':') + 1);
            var stream = new MemoryStream();
            var output = new TBinaryProtocol(new TFramedTransport(new TStreamTransport(null, stream, new TConfiguration())));
            var refusal = message.Name == "skerry.login" && text != token ? "the token is another" : text == "overloaded" ? text : sent ? OnSent : null;
            var type = refusal == null ? TMessageType.Reply : TMessageType.Exception;
            await output.WriteMessageBeginAsync(new TMessage(method, type, message.SeqID), none);
            if (refusal != null)
            {
                await new TApplicationException(TApplicationException.ExceptionType.InternalError, refusal).WriteAsync(output, none);
            }
            else
            {
                if (method == "verify")
                {
                    await output.WriteFieldBeginAsync(new TField("success", TType.String, 0), none);
                    await output.WriteStringAsync(text == "large" ? new string('x', 17 << 20) : word, none);
                }
                await output.WriteFieldStopAsync(none);
            }
            await output.Transport.FlushAsync(none);
            return stream.ToArray();
        }

        static byte[] Exactly(Socket socket, int size)
        {
            var data = new byte[size];
            for (var have = 0; have < size;)
            {
                var got = socket.Receive(data, have, size - have, SocketFlags.None);
                if (got == 0) throw new IOException();
                have += got;
            }
            return data;
        }

        public void Dispose()
        {
            listener.Dispose();
            lock (sockets) sockets.ForEach(each => each.Dispose());
        }
    }

    /// <summary>Calls Auth by the carrier that is asked for.</summary>
    sealed class Handler : Billing.IAsync
    {
        readonly SkerryPool<Auth.Client> auth;

        public Handler(string address)
        {
            auth = Skerry.Connect("auth", p => new Auth.Client(p), new SkerryOptions { Address = address });
        }

        Task<string> Verify(string token) => auth.Call(c => c.verify(token));

        public async Task<string> charge(string carrier, string token, CancellationToken cancellation = default)
        {
            await Task.Delay(5);
            switch (carrier)
            {
                case "await":
                    await Task.Yield();
                    return await Verify(token);
                case "task":
                    return await Task.Run(() => Verify(token));
                case "configured":
                    await Task.Delay(5).ConfigureAwait(false);
                    return await Verify(token).ConfigureAwait(false);
                case "timer":
                {
                    var done = new TaskCompletionSource<string>();
                    // Mono's timers carry no context by themselves; those of .NET do.
                    var run = Skerry.Wrap(() => done.SetResult(Verify(token).Result));
                    using (new Timer(_ => run(), null, 5, -1)) return await done.Task;
                }
                case "thread":
                {
                    var done = new TaskCompletionSource<string>();
                    new Thread(() => done.SetResult(Verify(token).Result)).Start();
                    return await done.Task;
                }
                case "wrapped":
                {
                    var done = new TaskCompletionSource<string>();
                    var run = Skerry.Wrap(() => done.SetResult(Verify(token).Result));
                    ThreadPool.UnsafeQueueUserWorkItem(_ => run(), null);
                    return await done.Task;
                }
                case "suppressed":
                {
                    var done = new TaskCompletionSource<string>();
                    ThreadPool.UnsafeQueueUserWorkItem(_ => done.SetResult(Verify(token).Result), null);
                    return await done.Task;
                }
                case "note":
                    await auth.Call(c => c.note(token));
                    return token;
                case "forgotten note":
                    _ = auth.Call(c => c.note(token));
                    return token;
                case "note and fail":
                    _ = auth.Call(c => c.note(token));
                    throw new Denied { Reason = "behind a one-way call" };
                case "detached":
                    Skerry.Detach();
                    return await Verify(token);
                default:
                    throw new Denied { Reason = "no carrier " + carrier };
            }
        }

        public Task<string> name(CancellationToken cancellation = default) => Task.FromResult("billing");

        public Task<long> remaining(CancellationToken cancellation = default)
        {
            return Task.FromResult((long)(Skerry.Remaining?.TotalMilliseconds ?? -1));
        }

        public async Task later(string token, CancellationToken cancellation = default)
        {
            await Task.Delay(200);
            await auth.Call(c => c.note(token));
        }

        public async Task<string> fail(string how, CancellationToken cancellation = default)
        {
            if (how == "call") return await Verify("end"); // an outgoing call whose connection ends
            throw new InvalidOperationException(how);
        }
    }

    sealed class Provider : IDisposable
    {
        public readonly int Port;
        readonly TServer server;
        readonly CancellationTokenSource stop = new CancellationTokenSource();

        public Provider(string kind, string address)
        {
            ITAsyncProcessor inner = new Billing.AsyncProcessor(new Handler(address));
            if (kind == "multiplexed")
            {
                var all = new TMultiplexedProcessor();
                all.RegisterProcessor("billing", inner);
                inner = all;
            }
            var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            Port = ((IPEndPoint)listener.LocalEndpoint).Port;
            var transport = new TServerSocketTransport(listener, new TConfiguration());
            var factory = new TSingletonProcessorFactory(Skerry.Processor(inner));
            TTransportFactory frames = new TFramedTransport.Factory();
            if (kind == "unframed") frames = new TBufferedTransport.Factory();
            var protocols = new TBinaryProtocol.Factory();
            Microsoft.Extensions.Logging.ILogger logger = null;
            server = kind == "simple"
                ? new TSimpleAsyncServer(factory, transport, frames, frames, protocols, protocols, logger)
                : (TServer)new TThreadPoolAsyncServer(factory, transport, frames, frames, protocols, protocols,
                    new TThreadPoolAsyncServer.Configuration(20, 100), logger);
            new Thread(() => server.ServeAsync(stop.Token).Wait()) { IsBackground = true }.Start();
        }

        public void Dispose()
        {
            stop.Cancel();
            server.Stop();
        }
    }

    sealed class Prefixed : TBinaryProtocol
    {
        public string Prefix = "";

        public Prefixed(TTransport transport) : base(transport)
        {
        }

        public override Task WriteMessageBeginAsync(TMessage message, CancellationToken cancellation)
        {
            return base.WriteMessageBeginAsync(new TMessage(Prefix + message.Name, message.Type, message.SeqID), cancellation);
        }
    }

    /// <summary>Calls a provider as the proxy does.</summary>
    sealed class Caller : IDisposable
    {
        public readonly Billing.Client Client;
        public readonly Prefixed Protocol;

        public Caller(int port, string kind = "pool")
        {
            TTransport socket = new TSocketTransport(IPAddress.Loopback, port, new TConfiguration());
            Protocol = new Prefixed(kind == "unframed" ? new TBufferedTransport(socket) : (TTransport)new TFramedTransport(socket));
            Client = new Billing.Client(Protocol);
            Protocol.Transport.OpenAsync().Wait();
        }

        public Task<string> Charge(string prefix, string carrier, string token = "x")
        {
            Protocol.Prefix = prefix;
            return Client.charge(carrier, token);
        }

        public async Task<string> Helper()
        {
            var none = CancellationToken.None;
            Protocol.Prefix = "";
            await Protocol.WriteMessageBeginAsync(new TMessage("skerry.helper", TMessageType.Call, 3), none);
            await Protocol.WriteFieldStopAsync(none);
            await Protocol.Transport.FlushAsync(none);
            var message = await Protocol.ReadMessageBeginAsync(none);
            Equal(message.Type, TMessageType.Reply);
            Equal(message.SeqID, 3);
            await Protocol.ReadFieldBeginAsync(none);
            var name = await Protocol.ReadStringAsync(none);
            await Protocol.ReadFieldBeginAsync(none);
            var ordered = await Protocol.ReadBoolAsync(none);
            await Protocol.ReadFieldBeginAsync(none);
            return name + " " + ordered;
        }

        public void Dispose() => Protocol.Transport.Close();
    }

    static async Task Servers()
    {
        foreach (var kind in new[] { "pool", "simple", "unframed", "multiplexed" })
        {
            var path = Fresh();
            using (new StandIn(path))
            using (var provider = new Provider(kind, path))
            using (var caller = new Caller(provider.Port, kind))
            {
                var name = kind == "multiplexed" ? "billing:" : "";
                Equal(await caller.Helper(), "dotnet 1.0 True");
                Equal(await caller.Charge("ctx=abc.900;" + name, "await"), "abc");
                Equal(await caller.Charge(name, "await"), "none");
            }
        }
    }

    static async Task ContextsThatCross()
    {
        var path = Fresh();
        using (new StandIn(path))
        using (var provider = new Provider("pool", path))
        using (var first = new Caller(provider.Port))
        using (var second = new Caller(provider.Port))
        {
            foreach (var carrier in new[] { "await", "task", "configured", "timer", "thread", "wrapped" })
            {
                for (var i = 0; i < 5; i++)
                {
                    var both = await Task.WhenAll(first.Charge("ctx=one.5000;", carrier), second.Charge("ctx=two.5000;", carrier));
                    Equal(carrier + ": " + string.Join(" ", both), carrier + ": one two");
                    Equal(await first.Charge("", carrier), "none");
                }
            }
            Equal(await first.Charge("ctx=one;", "suppressed"), "none");
            Equal(await first.Charge("ctx=one;", "detached"), "none");
            Equal(await first.Charge("ctx=one;", "await"), "one");
        }
    }

    static async Task DeadlinesAndOneWay()
    {
        var path = Fresh();
        using (var proxy = new StandIn(path))
        using (var provider = new Provider("pool", path))
        using (var caller = new Caller(provider.Port))
        {
            caller.Protocol.Prefix = "ctx=one.1500;";
            var left = await caller.Client.remaining();
            Holds(left > 500 && left <= 1500, "left " + left);
            caller.Protocol.Prefix = "ctx=one;";
            Equal(await caller.Client.remaining(), -1L);
            Equal(Skerry.Remaining, (TimeSpan?)null);
            caller.Protocol.Prefix = "ctx=away;";
            await caller.Client.later("x");
            await Eventually(() => proxy.Has("ctx=away;auth:note"));
        }
    }

    static void Under(string prefix)
    {
        Context.Here.Value = Context.Split(ref prefix);
    }

    /// <summary>A one-way call of a request ends when the proxy has passed it on, and the request's reply behind it.</summary>
    static async Task OneWayIsPassedOn()
    {
        var path = Fresh();
        using (var proxy = new StandIn(path))
        using (var provider = new Provider("pool", path))
        using (var caller = new Caller(provider.Port))
        {
            var auth = Pool(path);
            await auth.Call(c => c.note("slow"));
            Equal(proxy.PassedOn, 0); // a call of no request waits for nothing
            await Eventually(() => proxy.PassedOn == 1);
            var count = 1;
            foreach (var carrier in new[] { "note", "forgotten note" })
            {
                Equal(await caller.Charge("ctx=one.5000;", carrier, "slow"), "slow");
                Equal(proxy.PassedOn, ++count);
            }
            await Throws<Denied>(caller.Charge("ctx=one.5000;", "note and fail", "slow"));
            Equal(proxy.PassedOn, ++count);
            proxy.OnSent = "unknown";
            Equal(await caller.Charge("ctx=one.5000;", "note"), "x");
            Under("ctx=two.5000;");
            await auth.Call(c => c.note("x"));
            Equal(await auth.Call(c => c.verify("x")), "two");
            lock (proxy.Seen) Equal(string.Join(" ", proxy.Seen.Skip(proxy.Seen.Count - 3)), "ctx=two;auth:note ctx=two;skerry.sent ctx=two;auth:verify");
        }
    }

    static async Task OneWayIsNotPassedOn()
    {
        var path = Fresh();
        using (var proxy = new StandIn(path))
        {
            var auth = Pool(path);
            Under("ctx=one.100;");
            proxy.OnSent = "never";
            var began = Stopwatch.GetTimestamp();
            var late = await Throws<SkerryException>(auth.Call(c => c.note("x")));
            Holds(late.Message.Contains("in time"), late.Message);
            var took = Clock.Since(began).TotalMilliseconds;
            Holds(took > 1000 && took < 3000, "took " + took);
            Under("ctx=one;");
            proxy.OnSent = "end";
            Equal((await Throws<SkerryException>(auth.Call(c => c.note("x")))).Executed, null);
            Equal(await auth.Call(c => c.verify("x")), "one");
        }
    }

    /// <summary>A proxy that hands its place over has read the one-way call, not what is behind it.</summary>
    static async Task OneWayBeforeTheProxyReadsNoMore()
    {
        var path = Fresh();
        using (var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            listener.Bind(new UnixEndPoint(path));
            listener.Listen(1);
            var name = "ctx=one.5000;";
            var link = new Link(new ProxyAddress(path), null);
            await link.Begin(null, true, Context.Split(ref name), CancellationToken.None);
            var proxy = listener.Accept();
            proxy.Shutdown(SocketShutdown.Receive);
            var waiting = link.AwaitSent();
            await Task.Delay(100);
            Holds(!waiting.IsCompleted, "the call ended before the proxy");
            proxy.Dispose();
            await waiting;
        }
    }

    static async Task FailuresOfHandlers()
    {
        var path = Fresh();
        using (new StandIn(path))
        using (var provider = new Provider("pool", path))
        using (var caller = new Caller(provider.Port))
        {
            caller.Protocol.Prefix = "ctx=one;";
            await Throws<TApplicationException>(caller.Client.fail("x"));
            await Throws<TApplicationException>(caller.Client.fail("call")); // answered, not the end of the connection
            Equal((await Throws<Denied>(caller.Charge("ctx=one;", "pigeon"))).Reason, "no carrier pigeon");
            var unknown = await Throws<TApplicationException>(caller.Charge("ctx=;", "await"));
            Equal(unknown.Type, TApplicationException.ExceptionType.UnknownMethod);
        }
    }

    static SkerryPool<Auth.Client> Pool(string address, TimeSpan? timeout = null, string token = null)
    {
        var options = new SkerryOptions { Address = address, Timeout = timeout, Token = token };
        return Skerry.Connect("auth", p => new Auth.Client(p), options);
    }

    static async Task Connections()
    {
        var path = Fresh();
        var auth = Pool(path);
        var early = auth.Call(c => c.verify("early"));
        await Task.Delay(500);
        using (new StandIn(path)) Equal(await early, "none"); // the program starts first
        for (var i = 0; i < 2; i++)
        {
            using (new StandIn(path)) Equal(await auth.Call(c => c.verify("x")), "none"); // the proxy starts again
        }
        using (new StandIn(path))
        {
            Equal((await auth.Call(c => c.verify("large"))).Length, 17 << 20);
            await Throws<TApplicationException>(auth.Call(c => c.verify("overloaded")));
            var lost = await Throws<SkerryException>(auth.Call(c => c.verify("end")));
            Equal(lost.Executed, null);
            await Throws<SkerryException>(auth.Call(c => c.verify("HTTP")));
            var late = await Throws<SkerryException>(Pool(path, TimeSpan.FromMilliseconds(200)).Call(c => c.verify("never")));
            Holds(late.Message.Contains("no reply in time"), late.Message);
            Equal(await auth.Call(c => c.verify("x")), "none");
            await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(async () =>
            {
                for (var i = 0; i < 50; i++) Equal(await auth.Call(c => c.verify("x")), "none");
                return true;
            })));
        }
    }

    static async Task NoProxy()
    {
        var err = await Throws<SkerryException>(Pool(Fresh()).Call(c => c.verify("x")));
        Holds(err.Message.Contains("no skerry proxy at "), err.Message);
        Equal(err.Executed, false);
        try
        {
            Pool("nowhere");
            throw new Exception("no ArgumentException");
        }
        catch (ArgumentException bad)
        {
            Holds(bad.Message.Contains("neither /path, unix:/path nor host:port"), bad.Message);
        }
    }

    static async Task OverTcp()
    {
        using (var proxy = new StandIn(0, "secret"))
        {
            var port = proxy.Port;
            var auth = Pool("127.0.0.1:" + port, null, "secret");
            Equal(await auth.Call(c => c.verify("x")), "none");
            Equal(await auth.Call(c => c.verify("x")), "none");
            Equal(proxy.Seen.Count, 3); // one login
            var err = await Throws<SkerryException>(Pool("127.0.0.1:" + port, null, "wrong").Call(c => c.verify("x")));
            Holds(err.Message.Contains("login refused: the token is another"), err.Message);
        }
    }

    static int Main()
    {
        ThreadPool.SetMinThreads(32, 32);
        var failed = 0;
        foreach (var test in new Func<Task>[] { Servers, ContextsThatCross, DeadlinesAndOneWay, OneWayIsPassedOn, OneWayIsNotPassedOn,
            OneWayBeforeTheProxyReadsNoMore, FailuresOfHandlers, Connections, NoProxy, OverTcp })
        {
            Console.WriteLine(test.Method.Name);
            try
            {
                if (!test().Wait(TimeSpan.FromSeconds(60))) throw new Exception("not within 60 s");
            }
            catch (Exception err)
            {
                Console.WriteLine("FAILED " + test.Method.Name + ": " + (err.InnerException ?? err));
                failed++;
            }
        }
        Console.WriteLine(failed == 0 ? "ok" : failed + " failed");
        return failed == 0 ? 0 : 1;
    }
}
