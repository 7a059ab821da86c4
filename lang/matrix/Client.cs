// Calls every service by every protocol with the stock client of .NET, over TCP with a token; see client.py.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using Stock;
using Thrift;
using Thrift.Collections;
using Thrift.Protocol;
using Thrift.Protocol.Entities;
using Thrift.Protocol.Utilities;
using Thrift.Transport;
using Thrift.Transport.Client;

static class Client
{
    static readonly CancellationToken none = CancellationToken.None;
    static readonly byte[] large = new byte[5 << 20];
    static string host, token;
    static int port;

    static Everything Value()
    {
        return new Everything
        {
            Yes = true, No = false, Small = -5, Middle = -300, Number = 1 << 30, Big = -(1L << 62), Real = -2.5,
            Text = "gr\u00fc\u00df \u4f60\u597d", Data = Enumerable.Range(0, 256).Select(i => (byte)i).ToArray(),
            Numbers = new List<int> { 0, -1, 70000 }, Words = new THashSet<string> { "a", "b" },
            Counts = new Dictionary<string, long> { { "one", 1 }, { "many", 1L << 40 } },
            Nothing = new Dictionary<string, string>(),
            Leaves = new List<Leaf> { new Leaf { Name = "", Weight = 0 }, new Leaf { Name = "l", Weight = -9 } },
            Colour = Colour.GREEN,
            Nested = new Dictionary<int, List<Leaf>>
            {
                { -1, new List<Leaf>() }, { 5, new List<Leaf> { new Leaf { Name = "x", Weight = 1 } } },
            },
            Far = 12,
        };
    }

    /// <summary>The library compares maps and sets in the order of their entries.</summary>
    static Everything Sorted(Everything value)
    {
        value.Counts = value.Counts.OrderBy(entry => entry.Key).ToDictionary(entry => entry.Key, entry => entry.Value);
        value.Nested = value.Nested.OrderBy(entry => entry.Key).ToDictionary(entry => entry.Key, entry => entry.Value);
        var words = value.Words.OrderBy(word => word).ToList();
        value.Words = new THashSet<string>();
        words.ForEach(word => value.Words.Add(word));
        return value;
    }

    static void Hold(bool condition, string what)
    {
        if (!condition)
        {
            throw new Exception("not so: " + what);
        }
    }

    static async Task Connected(string kind, string service, Func<Matrix.Client, Task> run)
    {
        using (var socket = new TcpClient())
        {
            await socket.ConnectAsync(host, port);
            socket.NoDelay = true;
            TTransport transport = new TSocketTransport(socket, new TConfiguration());
            transport = kind.StartsWith("framed") ? new TFramedTransport(transport) : (TTransport)new TBufferedTransport(transport);
            using (transport)
            {
                var protocol = new TBinaryProtocol(transport);
                await Login(protocol);
                await run(new Matrix.Client(new TMultiplexedProtocol(protocol, service)));
            }
        }
    }

    static async Task Login(TProtocol protocol)
    {
        await protocol.WriteMessageBeginAsync(new TMessage("skerry.login", TMessageType.Call, 0), none);
        await protocol.WriteStructBeginAsync(new TStruct("login_args"), none);
        await protocol.WriteFieldBeginAsync(new TField("token", TType.String, 1), none);
        await protocol.WriteStringAsync(token, none);
        await protocol.WriteFieldEndAsync(none);
        await protocol.WriteFieldStopAsync(none);
        await protocol.WriteStructEndAsync(none);
        await protocol.WriteMessageEndAsync(none);
        await protocol.Transport.FlushAsync(none);
        var reply = await protocol.ReadMessageBeginAsync(none);
        if (reply.Type == TMessageType.Exception)
        {
            throw await TApplicationException.ReadAsync(protocol, none);
        }
        await TProtocolUtil.SkipAsync(protocol, TType.Struct, none);
        await protocol.ReadMessageEndAsync(none);
    }

    static async Task<E> Thrown<E>(Func<Task> call) where E : Exception
    {
        try
        {
            await call();
        }
        catch (E err)
        {
            return err;
        }
        throw new Exception("no " + typeof(E).Name);
    }

    static async Task Pair(string kind, string service, string marks)
    {
        await Connected(kind, service, async client =>
        {
            var name = await client.name(none);
            Hold(name == service, "name is " + name);
            var mirrored = Sorted(await client.mirror(Value(), none));
            Hold(mirrored.Equals(Sorted(Value())), "mirrored: " + mirrored);
            Hold((await client.table(new Dictionary<string, List<long>>(), none)).Count == 0, "an empty map stays empty");
            var table = await client.table(new Dictionary<string, List<long>>
            {
                { "empty", new List<long>() }, { "full", new List<long> { 1, -(1L << 40) } },
            }, none);
            Hold(table.Count == 2 && table["empty"].Count == 0 && table["full"].SequenceEqual(new[] { 1, -(1L << 40) }), "the table");
            var denied = await Thrown<Denied>(() => client.deny("no", none));
            Hold(denied.Reason == "no" && denied.Code == 403, "the exception's fields");
            await Thrown<TApplicationException>(() => client.fail("as asked for", none));
            var text = "csharp " + kind;
            await client.note(text, none);
            for (var until = DateTime.UtcNow.AddSeconds(10); !await client.noted(text, none);)
            {
                Hold(DateTime.UtcNow < until, "noted");
            }
            if (!marks.Contains("~"))
            {
                var flags = new List<bool> { true, false, true };
                Hold((await client.flags(flags, none)).SequenceEqual(flags), "the flags");
            }
            if (marks.Contains("!"))
            {
                Hold((await client.blob(large, none)).SequenceEqual(large), "the blob");
            }
        });
        await Connected(kind, service, async client => Hold(await client.name(none) == service, "name on the next connection"));
    }

    static void Threads(string kind, string[] services)
    {
        var failed = new ConcurrentQueue<string>();
        var threads = Enumerable.Range(0, 16).Select(number => new Thread(() =>
        {
            for (var i = 0; i < services.Length; i++)
            {
                var service = services[(number + i) % services.Length];
                try
                {
                    Connected(kind, service, async client =>
                    {
                        for (var j = 0; j < 3; j++)
                        {
                            var sent = new Dictionary<string, List<long>> { { number + " " + j, new List<long> { number, j } } };
                            var table = await client.table(sent, none);
                            Hold(table.Single().Key == number + " " + j, "the answer is that of the call");
                        }
                    }).GetAwaiter().GetResult();
                }
                catch (Exception err)
                {
                    failed.Enqueue(service + ": " + err.Message);
                    return;
                }
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Hold(failed.IsEmpty, string.Join(", ", failed));
    }

    static void Report(string kind, string what, Action run)
    {
        try
        {
            run();
            Console.WriteLine($"ok {kind} {what}");
        }
        catch (Exception err)
        {
            var text = err.ToString().Replace('\n', ' ');
            Console.WriteLine($"FAIL {kind} {what}: {text.Substring(0, Math.Min(500, text.Length))}");
        }
    }

    static void Main(string[] args)
    {
        var colon = args[0].LastIndexOf(':');
        host = args[0].Substring(0, colon);
        port = int.Parse(args[0].Substring(colon + 1));
        token = Environment.GetEnvironmentVariable("MATRIX_TOKEN");
        new Random(1).NextBytes(large);
        foreach (var job in args.Skip(1))
        {
            var kind = job.Substring(0, job.IndexOf('='));
            var list = job.Substring(kind.Length + 1);
            foreach (var named in list.Split(','))
            {
                var service = named.TrimEnd('!', '~');
                Report(kind, service, () => Pair(kind, service, named.Substring(service.Length)).GetAwaiter().GetResult());
            }
            Report(kind, "threads", () => Threads(kind, list.Replace("!", "").Replace("~", "").Split(',')));
        }
    }
}
