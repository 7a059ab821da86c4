// Serves Matrix with the stock library of .NET: Server.exe NAME=PORT..., where NAME is such as csharp-framed-binary.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Net;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using Stock;
using Thrift;
using Thrift.Processor;
using Thrift.Protocol;
using Thrift.Server;
using Thrift.Transport;
using Thrift.Transport.Server;

static class Server
{
    sealed class Handler : Matrix.IAsync
    {
        readonly string called;
        readonly ConcurrentDictionary<string, bool> notes = new ConcurrentDictionary<string, bool>();

        public Handler(string called)
        {
            this.called = called;
        }

        public Task<string> name(CancellationToken _) => Task.FromResult(called);

        public Task<Everything> mirror(Everything value, CancellationToken _) => Task.FromResult(value);

        public Task<byte[]> blob(byte[] data, CancellationToken _) => Task.FromResult(data);

        public Task<Dictionary<string, List<long>>> table(Dictionary<string, List<long>> table, CancellationToken _) =>
            Task.FromResult(table);

        public Task<List<bool>> flags(List<bool> flags, CancellationToken _) => Task.FromResult(flags);

        public Task<string> deny(string reason, CancellationToken _) => throw new Denied { Reason = reason, Code = 403 };

        public Task<string> fail(string text, CancellationToken _) => throw new InvalidOperationException(text);

        public Task note(string text, CancellationToken _)
        {
            notes[text] = true;
            return Task.CompletedTask;
        }

        public Task<bool> noted(string text, CancellationToken _) => Task.FromResult(notes.ContainsKey(text));
    }

    static void Main(string[] args)
    {
        foreach (var pair in args)
        {
            var at = pair.IndexOf('=');
            var name = pair.Substring(0, at);
            var port = int.Parse(pair.Substring(at + 1));
            var processors = new TSingletonProcessorFactory(new Matrix.AsyncProcessor(new Handler(name)));
            TTransportFactory transports = new TBufferedTransport.Factory();
            if (name.Contains("-framed"))
            {
                transports = new TFramedTransport.Factory();
            }
            var protocols = new TBinaryProtocol.Factory();
            Microsoft.Extensions.Logging.ILogger logger = null;
            var socket = new TServerSocketTransport(new TcpListener(IPAddress.Loopback, port), new TConfiguration());
            var server = new TThreadPoolAsyncServer(processors, socket, transports, transports, protocols, protocols,
                new TThreadPoolAsyncServer.Configuration(200, 400), logger);
            new Thread(() => server.ServeAsync(CancellationToken.None).Wait()) { IsBackground = true }.Start();
        }
        Console.In.Read();
        Environment.Exit(0);
    }
}
