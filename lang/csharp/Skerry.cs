// Makes a .NET program a full member of a skerry site, beside `skerry proxy` on its host.
//
//   var auth = Skerry.Connect("auth", p => new Auth.Client(p));     // any service by name; one pool for the program
//   await auth.Call(c => c.verify(user));
//   var processor = Skerry.Processor(new Billing.AsyncProcessor(handler));
//   Skerry.Remaining                                                // TimeSpan until the request's deadline, or null
//   Skerry.Detach();                                                // from here on calls are no part of the request
//
// A call that the program makes while it serves a request is a part of that request: the proxy gives the request a
// word, the processor keeps it in an AsyncLocal, and the pool sends it along. The word stands for the trace, the
// version token and the deadline, which stay in the proxy.
//
// netstandard2.0, ApacheThrift 0.14 and later, nothing else. README.md says what the context does not reach by itself.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;
using Thrift;
using Thrift.Processor;
using Thrift.Protocol;
using Thrift.Protocol.Entities;
using Thrift.Protocol.Utilities;
using Thrift.Transport;

namespace SkerrySite
{
    /// <summary>A call or a connection that failed on its way to the proxy.</summary>
    /// <remarks>It is no TTransportException, which generated code takes for the end of the connection that it serves.</remarks>
    public class SkerryException : TException
    {
        public SkerryException(string text, Exception inner = null, bool? executed = null) : base(text, inner)
        {
            Executed = executed;
        }

        /// <summary>false when the call cannot have begun, null when that is not known.</summary>
        public bool? Executed { get; }
    }

    /// <summary>Where the proxy is, and what a call may take.</summary>
    public class SkerryOptions
    {
        /// <summary>/path, unix:/path or host:port; else $SKERRY_PROXY, else /run/skerry/proxy.sock.</summary>
        public string Address { get; set; }

        /// <summary>Of the program, needed over TCP; else the content of the file $SKERRY_PROXY_TOKEN_FILE.</summary>
        public string Token { get; set; }

        /// <summary>For a reply; null: as long as the proxy takes, which ends each call in time.</summary>
        public TimeSpan? Timeout { get; set; }
    }

    /// <summary>The helper. All its members may be used from any thread.</summary>
    public static class Skerry
    {
        internal const string Version = "1.0";

        /// <summary>Returns the time until the deadline of the request that is served here, null without one.</summary>
        public static TimeSpan? Remaining
        {
            get
            {
                var context = Context.Here.Value;
                return context?.Left();
            }
        }

        /// <summary>Ends the request for what follows in this flow: later calls are traces of their own.</summary>
        public static void Detach()
        {
            Context.Here.Value = null;
        }

        /// <summary>Returns run bound to the request that is served here, for a thread, a pool or an event.</summary>
        public static Action Wrap(Action run)
        {
            var context = Context.Here.Value;
            return () =>
            {
                var before = Context.Here.Value;
                Context.Here.Value = context;
                try
                {
                    run();
                }
                finally
                {
                    Context.Here.Value = before;
                }
            };
        }

        /// <summary>Wraps a generated processor, or a TMultiplexedProcessor. It must be the outermost.</summary>
        public static ITAsyncProcessor Processor(ITAsyncProcessor inner)
        {
            return new ContextProcessor(inner);
        }

        /// <summary>Returns a pool of clients of one service, which is called by its name. Nothing is dialled yet.</summary>
        public static SkerryPool<TClient> Connect<TClient>(string service, Func<TProtocol, TClient> client,
            SkerryOptions options = null)
        {
            return new SkerryPool<TClient>(service, client, options ?? new SkerryOptions());
        }
    }

    /// <summary>Connections to one service, taken for a call each and kept.</summary>
    public sealed class SkerryPool<TClient>
    {
        private static readonly TimeSpan IdleFor = TimeSpan.FromSeconds(60);

        private readonly string service;
        private readonly Func<TProtocol, TClient> make;
        private readonly SkerryOptions options;
        private readonly ProxyAddress address;
        private readonly List<Entry> idle = new List<Entry>(); // guarded by itself; the last was used last

        internal SkerryPool(string service, Func<TProtocol, TClient> make, SkerryOptions options)
        {
            this.service = service;
            this.make = make;
            this.options = options;
            address = new ProxyAddress(options.Address);
        }

        /// <summary>Runs call with a client and returns what it returns. The client must not be kept.</summary>
        public async Task<T> Call<T>(Func<TClient, Task<T>> call)
        {
            var entry = Take();
            try
            {
                return await call(entry.Client).ConfigureAwait(false);
            }
            catch (TTransportException err)
            {
                throw new SkerryException(err.Message, err, entry.Link.Sent ? (bool?)null : false);
            }
            finally
            {
                Give(entry);
            }
        }

        /// <summary>Runs call with a client. The client must not be kept.</summary>
        public Task Call(Func<TClient, Task> call)
        {
            return Call(async client =>
            {
                await call(client).ConfigureAwait(false);
                return true;
            });
        }

        private Entry Take()
        {
            lock (idle)
            {
                if (idle.Count > 0)
                {
                    var last = idle[idle.Count - 1];
                    idle.RemoveAt(idle.Count - 1);
                    return last;
                }
            }
            var link = new Link(address, options.Token);
            var protocol = new NamedProtocol(link, service, options.Timeout);
            return new Entry { Link = link, Client = make(protocol) };
        }

        private void Give(Entry entry)
        {
            entry.Link.Release();
            if (entry.Link.Busy)
            {
                entry.Link.Close(); // something of a call is left on it
                return;
            }
            var old = new List<Entry>();
            entry.Since = Stopwatch.GetTimestamp();
            lock (idle)
            {
                while (idle.Count > 0 && Clock.Since(idle[0].Since) > IdleFor)
                {
                    old.Add(idle[0]);
                    idle.RemoveAt(0);
                }
                idle.Add(entry);
            }
            foreach (var each in old)
            {
                each.Link.Close();
            }
        }

        private sealed class Entry
        {
            public Link Link;
            public TClient Client;
            public long Since;
        }
    }

    internal static class Clock
    {
        public static TimeSpan Since(long timestamp)
        {
            return TimeSpan.FromSeconds((Stopwatch.GetTimestamp() - timestamp) / (double)Stopwatch.Frequency);
        }
    }

    /// <summary>The request that is served: its word and its deadline.</summary>
    internal sealed class Context
    {
        public static readonly AsyncLocal<Context> Here = new AsyncLocal<Context>();

        private static readonly Regex Form = new Regex("^([A-Za-z0-9_-]{1,24})(?:\\.([0-9]{1,15}))?$");

        private readonly long began = Stopwatch.GetTimestamp();
        private readonly TimeSpan? limit;
        private readonly object gate = new object();
        private int open; // guarded by gate: one-way calls that the proxy has not passed on yet
        private TaskCompletionSource<bool> allSent; // guarded by gate: null when it is not awaited

        private Context(string word, TimeSpan? limit)
        {
            Word = word;
            this.limit = limit;
        }

        public string Word { get; }

        public TimeSpan? Left()
        {
            if (limit == null)
            {
                return null;
            }
            var left = limit.Value - Clock.Since(began);
            return left < TimeSpan.Zero ? TimeSpan.Zero : left;
        }

        /// <summary>A one-way call of the request begins.</summary>
        public void Open()
        {
            lock (gate)
            {
                open++;
            }
        }

        /// <summary>A one-way call of the request is passed on, or has failed.</summary>
        public void Sent()
        {
            TaskCompletionSource<bool> done = null;
            lock (gate)
            {
                open--;
                if (open == 0)
                {
                    done = allSent;
                    allSent = null;
                }
            }
            done?.TrySetResult(true);
        }

        /// <summary>Waits for the one-way calls of the request: the reply ends the request's word.</summary>
        public Task AllSent()
        {
            lock (gate)
            {
                if (open == 0)
                {
                    return Task.CompletedTask;
                }
                allSent = allSent ?? new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
                return allSent.Task;
            }
        }

        /// <summary>Takes ctx=WORD.MS; off a message name; null when there is none.</summary>
        public static Context Split(ref string name)
        {
            if (!name.StartsWith("ctx=", StringComparison.Ordinal))
            {
                return null;
            }
            var end = name.IndexOf(';');
            var found = end < 0 ? Match.Empty : Form.Match(name.Substring(4, end - 4));
            if (!found.Success)
            {
                return null;
            }
            name = name.Substring(end + 1);
            TimeSpan? limit = null;
            if (found.Groups[2].Success)
            {
                var year = 365L * 86400000;
                limit = TimeSpan.FromMilliseconds(Math.Min(long.Parse(found.Groups[2].Value), year));
            }
            return new Context(found.Groups[1].Value, limit);
        }
    }

    // Incoming calls.

    internal sealed class ContextProcessor : ITAsyncProcessor
    {
        private readonly ITAsyncProcessor inner;

        public ContextProcessor(ITAsyncProcessor inner)
        {
            this.inner = inner ?? throw new ArgumentNullException(nameof(inner));
        }

        public Task<bool> ProcessAsync(TProtocol input, TProtocol output)
        {
            return ProcessAsync(input, output, CancellationToken.None);
        }

        public async Task<bool> ProcessAsync(TProtocol input, TProtocol output, CancellationToken cancellation = default)
        {
            TMessage message;
            try
            {
                message = await input.ReadMessageBeginAsync(cancellation).ConfigureAwait(false);
            }
            catch (IOException)
            {
                return false; // as generated processors do
            }
            if (message.Name == "skerry.helper")
            {
                await Introduce(input, output, message.SeqID, cancellation).ConfigureAwait(false);
                return true;
            }
            var name = message.Name;
            var context = Context.Split(ref name);
            Context.Here.Value = context; // ends with this method
            output = context == null ? output : new Reply(output, context);
            var rest = new TMessage(name, message.Type, message.SeqID);
            return await inner.ProcessAsync(new Once(input, rest), output, cancellation).ConfigureAwait(false);
        }

        private static async Task Introduce(TProtocol input, TProtocol output, int number, CancellationToken cancellation)
        {
            await TProtocolUtil.SkipAsync(input, TType.Struct, cancellation).ConfigureAwait(false);
            await input.ReadMessageEndAsync(cancellation).ConfigureAwait(false);
            var reply = new TMessage("skerry.helper", TMessageType.Reply, number);
            await output.WriteMessageBeginAsync(reply, cancellation).ConfigureAwait(false);
            await output.WriteStructBeginAsync(new TStruct("helper_result"), cancellation).ConfigureAwait(false);
            await output.WriteFieldBeginAsync(new TField("name", TType.String, 1), cancellation).ConfigureAwait(false);
            await output.WriteStringAsync("dotnet " + Skerry.Version, cancellation).ConfigureAwait(false);
            await output.WriteFieldEndAsync(cancellation).ConfigureAwait(false);
            // The stock servers await each call of a connection before they read the next.
            await output.WriteFieldBeginAsync(new TField("ordered", TType.Bool, 2), cancellation).ConfigureAwait(false);
            await output.WriteBoolAsync(true, cancellation).ConfigureAwait(false);
            await output.WriteFieldEndAsync(cancellation).ConfigureAwait(false);
            await output.WriteFieldStopAsync(cancellation).ConfigureAwait(false);
            await output.WriteStructEndAsync(cancellation).ConfigureAwait(false);
            await output.WriteMessageEndAsync(cancellation).ConfigureAwait(false);
            await output.Transport.FlushAsync(cancellation).ConfigureAwait(false);
        }

        /// <summary>Writes a reply behind the one-way calls of its request, which the handler may not have awaited.</summary>
        private sealed class Reply : TProtocolDecorator
        {
            private readonly Context context;

            public Reply(TProtocol inner, Context context) : base(inner)
            {
                this.context = context;
            }

            public override async Task WriteMessageBeginAsync(TMessage message, CancellationToken cancellation)
            {
                await context.AllSent().ConfigureAwait(false);
                await base.WriteMessageBeginAsync(message, cancellation).ConfigureAwait(false);
            }
        }

        /// <summary>Gives back a message head that was read already.</summary>
        private sealed class Once : TProtocolDecorator
        {
            private readonly TMessage message;

            public Once(TProtocol inner, TMessage message) : base(inner)
            {
                this.message = message;
            }

            public override ValueTask<TMessage> ReadMessageBeginAsync(CancellationToken cancellation)
            {
                return new ValueTask<TMessage>(message);
            }
        }
    }

    // Outgoing calls.

    /// <summary>The binary protocol, with the service and the request's word before the name of the method.</summary>
    internal sealed class NamedProtocol : TBinaryProtocol
    {
        private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1); // in which the proxy answers that time is over

        private readonly Link link;
        private readonly string service;
        private readonly TimeSpan? timeout;

        public NamedProtocol(Link link, string service, TimeSpan? timeout) : base(link)
        {
            this.link = link;
            this.service = service;
            this.timeout = timeout;
        }

        public override async Task WriteMessageBeginAsync(TMessage message, CancellationToken cancellation)
        {
            var context = Context.Here.Value;
            var left = context?.Left() + Grace;
            var limit = left == null || timeout < left ? timeout : left;
            var oneway = message.Type == TMessageType.Oneway;
            await link.Begin(limit, oneway, oneway ? context : null, cancellation).ConfigureAwait(false);
            var name = service + ":" + message.Name;
            if (context != null)
            {
                name = "ctx=" + context.Word + ";" + name;
            }
            var full = new TMessage(name, message.Type, message.SeqID);
            await base.WriteMessageBeginAsync(full, cancellation).ConfigureAwait(false);
        }

        public override async Task ReadMessageEndAsync(CancellationToken cancellation)
        {
            await base.ReadMessageEndAsync(cancellation).ConfigureAwait(false);
            link.End();
        }
    }

    /// <summary>Where a proxy listens.</summary>
    internal sealed class ProxyAddress
    {
        public ProxyAddress(string text)
        {
            if (string.IsNullOrEmpty(text))
            {
                text = Environment.GetEnvironmentVariable("SKERRY_PROXY");
            }
            Text = string.IsNullOrEmpty(text) ? "/run/skerry/proxy.sock" : text;
            if (Text.StartsWith("unix:", StringComparison.Ordinal))
            {
                Path = Text.Substring(5);
                return;
            }
            if (Text.IndexOf('/') >= 0)
            {
                Path = Text;
                return;
            }
            var colon = Text.LastIndexOf(':');
            if (colon <= 0 || !ushort.TryParse(Text.Substring(colon + 1), out var port))
            {
                throw new ArgumentException(
                    $"address of the skerry proxy: \"{Text}\" is neither /path, unix:/path nor host:port");
            }
            Host = Text.Substring(0, colon).Trim('[', ']');
            Port = port;
        }

        public string Text { get; }
        public string Path { get; }
        public string Host { get; }
        public int Port { get; }
    }

    /// <summary>A Unix socket's path as an end point, which netstandard2.0 does not have.</summary>
    internal sealed class UnixEndPoint : EndPoint
    {
        private readonly byte[] path;

        public UnixEndPoint(string path)
        {
            this.path = Encoding.UTF8.GetBytes(path);
            if (this.path.Length > 107)
            {
                throw new ArgumentException($"the path of the skerry proxy is too long for a socket: {path}");
            }
        }

        public override AddressFamily AddressFamily => AddressFamily.Unix;

        public override EndPoint Create(SocketAddress address)
        {
            return this;
        }

        public override SocketAddress Serialize()
        {
            var address = new SocketAddress(AddressFamily.Unix, 2 + path.Length + 1);
            for (var i = 0; i < path.Length; i++)
            {
                address[2 + i] = path[i];
            }
            address[2 + path.Length] = 0;
            return address;
        }
    }

    /// <summary>A connection to the proxy with one call at a time, in frames, dialled when a call begins.</summary>
    internal sealed class Link : TEndpointTransport
    {
        private const int MaxFrame = 64 << 20; // bytes of one reply; the proxy's own limit is lower
        private static readonly TimeSpan DialFor = TimeSpan.FromSeconds(2);

        private readonly ProxyAddress address;
        private readonly string token;
        private Socket socket;
        private MemoryStream outgoing = new MemoryStream();
        private byte[] frame = new byte[0];
        private int at;
        private long began;
        private TimeSpan? limit;
        private bool oneway;
        private byte[] behind; // what is sent behind a one-way call of a request, else null
        private Context held; // the request of such a call

        public Link(ProxyAddress address, string token) : base(Limits())
        {
            this.address = address;
            this.token = token;
        }

        /// <summary>Something of a call is on the way.</summary>
        public bool Busy { get; private set; }

        /// <summary>The last call was sent as a whole.</summary>
        public bool Sent { get; private set; }

        public override bool IsOpen => true; // the next call dials

        private static TConfiguration Limits()
        {
            return new TConfiguration { MaxFrameSize = MaxFrame, MaxMessageSize = MaxFrame };
        }

        /// <summary>Readies the connection for a call. The proxy passes a one-way call on before its request ends.</summary>
        public async Task Begin(TimeSpan? callLimit, bool isOneway, Context request, CancellationToken cancellation)
        {
            if (request != null && held == null)
            {
                request.Open();
                held = request;
            }
            behind = request == null ? null : SentCall(request.Word);
            began = Stopwatch.GetTimestamp();
            limit = callLimit;
            oneway = isOneway;
            Sent = false;
            outgoing = new MemoryStream();
            // What can be read between two calls is the end of the connection.
            if (socket != null && (Busy || socket.Poll(0, SelectMode.SelectRead)))
            {
                Close();
            }
            Busy = true;
            if (socket == null)
            {
                await Dial(began, callLimit < DialFor ? callLimit.Value : DialFor, cancellation).ConfigureAwait(false);
            }
        }

        public void End()
        {
            Busy = false;
        }

        /// <summary>The one-way calls on this connection are passed on, or have failed.</summary>
        public void Release()
        {
            held?.Sent();
            held = null;
        }

        public override Task WriteAsync(byte[] buffer, int offset, int length, CancellationToken cancellation)
        {
            outgoing.Write(buffer, offset, length);
            return Task.CompletedTask;
        }

        public override async Task FlushAsync(CancellationToken cancellation)
        {
            var whole = Framed(outgoing);
            var from = Stopwatch.GetTimestamp();
            while (true)
            {
                try
                {
                    await Bounded(Send(whole), "the call could not be sent in time").ConfigureAwait(false);
                    break;
                }
                catch (Exception err) when (err is SocketException || err is ObjectDisposedException)
                {
                    // On a Unix socket an error says that not all of the frame arrived: nothing was executed.
                    Close();
                    if (address.Path == null || Clock.Since(from) >= DialFor)
                    {
                        throw Failure(TTransportException.ExceptionType.NotOpen, "sending failed: " + err.Message);
                    }
                    await Dial(from, DialFor, cancellation).ConfigureAwait(false);
                }
            }
            Sent = true;
            if (behind != null)
            {
                await AwaitSent().ConfigureAwait(false);
            }
            if (oneway)
            {
                End();
            }
        }

        /// <summary>Waits until the proxy has passed the one-way call on.</summary>
        public async Task AwaitSent()
        {
            const string late = "the one-way call was not passed on in time";
            try
            {
                await Bounded(Send(behind), late).ConfigureAwait(false);
            }
            catch (Exception err) when (err is SocketException || err is ObjectDisposedException)
            {
                // A proxy that hands its place over reads no more. It closes when what it read before is passed on.
                await Bounded(Ended(), late).ConfigureAwait(false);
                Close();
                return;
            }
            await ReadFrame().ConfigureAwait(false);
            at = frame.Length;
        }

        private async Task<bool> Ended()
        {
            var rest = new ArraySegment<byte>(new byte[256]);
            try
            {
                while (await socket.ReceiveAsync(rest, SocketFlags.None).ConfigureAwait(false) > 0)
                {
                }
            }
            catch (Exception err) when (err is SocketException || err is ObjectDisposedException || err is NullReferenceException)
            {
            }
            return true;
        }

        /// <summary>Returns the frame of the call that the proxy answers when it has passed on the one-way calls before.</summary>
        internal static byte[] SentCall(string word)
        {
            var name = Encoding.ASCII.GetBytes("ctx=" + word + ";skerry.sent");
            var body = new MemoryStream();
            body.Write(new byte[] { 0x80, 1, 0, (byte)TMessageType.Call, 0, 0, 0, (byte)name.Length }, 0, 8);
            body.Write(name, 0, name.Length);
            body.Write(new byte[5], 0, 5); // number, no arguments
            return Framed(body);
        }

        public override async ValueTask<int> ReadAsync(byte[] buffer, int offset, int length, CancellationToken cancellation)
        {
            if (at == frame.Length)
            {
                await ReadFrame().ConfigureAwait(false);
            }
            var size = Math.Min(length, frame.Length - at);
            Buffer.BlockCopy(frame, at, buffer, offset, size);
            at += size;
            return size;
        }

        public override Task OpenAsync(CancellationToken cancellation = default)
        {
            return Task.CompletedTask;
        }

        public override void Close()
        {
            socket?.Dispose();
            socket = null;
            frame = new byte[0];
            at = 0;
        }

        protected override void Dispose(bool disposing)
        {
            Close();
        }

        private static byte[] Framed(MemoryStream body)
        {
            var size = (int)body.Length;
            var whole = new byte[4 + size];
            whole[0] = (byte)(size >> 24);
            whole[1] = (byte)(size >> 16);
            whole[2] = (byte)(size >> 8);
            whole[3] = (byte)size;
            Buffer.BlockCopy(body.GetBuffer(), 0, whole, 4, size);
            return whole;
        }

        private async Task<int> Send(byte[] whole)
        {
            var sent = 0;
            while (sent < whole.Length)
            {
                var rest = new ArraySegment<byte>(whole, sent, whole.Length - sent);
                sent += await socket.SendAsync(rest, SocketFlags.None).ConfigureAwait(false);
            }
            return sent;
        }

        private async Task ReadFrame()
        {
            const string late = "no reply in time";
            var head = await Bounded(Exactly(4), late).ConfigureAwait(false);
            var size = (head[0] << 24) | (head[1] << 16) | (head[2] << 8) | head[3];
            if (size < 0 || size > MaxFrame)
            {
                throw Failure(TTransportException.ExceptionType.Unknown, "what answers sends no frame, or one too large");
            }
            ResetConsumedMessageSize();
            frame = await Bounded(Exactly(size), late).ConfigureAwait(false);
            at = 0;
        }

        private async Task<byte[]> Exactly(int size)
        {
            var data = new byte[Math.Min(size, 1 << 16)];
            var have = 0;
            while (have < size)
            {
                if (have == data.Length)
                {
                    Array.Resize(ref data, Math.Min(size, 2 * data.Length)); // as much as has come, not as is announced
                }
                int got;
                try
                {
                    var rest = new ArraySegment<byte>(data, have, data.Length - have);
                    got = await socket.ReceiveAsync(rest, SocketFlags.None).ConfigureAwait(false);
                }
                catch (Exception err) when (err is SocketException || err is ObjectDisposedException || err is NullReferenceException)
                {
                    throw Failure(TTransportException.ExceptionType.Unknown, "reading failed: " + err.Message);
                }
                if (got == 0)
                {
                    throw Failure(TTransportException.ExceptionType.EndOfFile, "the connection ended before the reply");
                }
                have += got;
            }
            return data;
        }

        /// <summary>Awaits a step of the call; when the call's time is over it closes the connection and throws.</summary>
        private async Task<T> Bounded<T>(Task<T> step, string late)
        {
            if (limit == null)
            {
                return await step.ConfigureAwait(false);
            }
            var left = limit.Value - Clock.Since(began);
            if (left < TimeSpan.Zero)
            {
                left = TimeSpan.Zero;
            }
            using (var timer = new CancellationTokenSource())
            {
                var first = await Task.WhenAny(step, Task.Delay(left, timer.Token)).ConfigureAwait(false);
                timer.Cancel();
                if (first == step)
                {
                    return await step.ConfigureAwait(false);
                }
            }
            var failure = Failure(TTransportException.ExceptionType.TimedOut, late);
            _ = step.ContinueWith(done => done.Exception, TaskContinuationOptions.OnlyOnFaulted); // seen
            throw failure;
        }

        private async Task Dial(long from, TimeSpan span, CancellationToken cancellation)
        {
            var pause = 5;
            while (true)
            {
                string why;
                try
                {
                    await Connect().ConfigureAwait(false);
                    return;
                }
                catch (Exception err) when (err is SocketException || err is TException)
                {
                    Close();
                    why = err.Message;
                }
                if (Clock.Since(from) + TimeSpan.FromMilliseconds(pause) >= span)
                {
                    throw new TTransportException(TTransportException.ExceptionType.NotOpen,
                        $"no skerry proxy at {address.Text}: {why}");
                }
                await Task.Delay(pause, cancellation).ConfigureAwait(false);
                pause = Math.Min(2 * pause, 100);
            }
        }

        private async Task Connect()
        {
            if (address.Path != null)
            {
                socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                socket.Connect(new UnixEndPoint(address.Path)); // answered at once by the kernel
            }
            else
            {
                socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await socket.ConnectAsync(address.Host, address.Port).ConfigureAwait(false);
            }
            var secret = token ?? TokenFile();
            if (secret != null)
            {
                await Login(secret).ConfigureAwait(false);
            }
        }

        private static string TokenFile()
        {
            var path = Environment.GetEnvironmentVariable("SKERRY_PROXY_TOKEN_FILE");
            return string.IsNullOrEmpty(path) ? null : File.ReadAllText(path).Trim();
        }

        private async Task Login(string secret)
        {
            var call = new LoginCall(secret);
            var none = CancellationToken.None;
            var body = await call.Write().ConfigureAwait(false);
            await Send(Framed(body)).ConfigureAwait(false);
            var head = await Exactly(4).ConfigureAwait(false);
            var size = (head[0] << 24) | (head[1] << 16) | (head[2] << 8) | head[3];
            if (size < 0 || size > 1 << 16)
            {
                throw Failure(TTransportException.ExceptionType.Unknown, "what answers the login is no frame");
            }
            frame = await Exactly(size).ConfigureAwait(false);
            at = 0;
            var reply = new TBinaryProtocol(this);
            var message = await reply.ReadMessageBeginAsync(none).ConfigureAwait(false);
            if (message.Type == TMessageType.Exception)
            {
                var refusal = await TApplicationException.ReadAsync(reply, none).ConfigureAwait(false);
                throw new TTransportException(TTransportException.ExceptionType.NotOpen, "login refused: " + refusal.Message);
            }
            at = frame.Length;
        }

        private TTransportException Failure(TTransportException.ExceptionType type, string text)
        {
            Close();
            return new TTransportException(type, $"skerry proxy at {address.Text}: {text}");
        }

        /// <summary>The body of skerry.login.</summary>
        private sealed class LoginCall
        {
            private readonly string secret;

            public LoginCall(string secret)
            {
                this.secret = secret;
            }

            public async Task<MemoryStream> Write()
            {
                var body = new MemoryStream();
                var output = new TBinaryProtocol(new Thrift.Transport.Client.TStreamTransport(null, body, Limits()));
                var none = CancellationToken.None;
                await output.WriteMessageBeginAsync(new TMessage("skerry.login", TMessageType.Call, 0), none)
                    .ConfigureAwait(false);
                await output.WriteFieldBeginAsync(new TField("token", TType.String, 1), none).ConfigureAwait(false);
                await output.WriteStringAsync(secret, none).ConfigureAwait(false);
                await output.WriteFieldStopAsync(none).ConfigureAwait(false);
                return body;
            }
        }
    }
}
