package io.skerry;

import java.net.ServerSocket;
import org.apache.thrift.TProcessor;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.server.THsHaServer;
import org.apache.thrift.server.TNonblockingServer;
import org.apache.thrift.server.TServer;
import org.apache.thrift.server.TSimpleServer;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.server.TThreadedSelectorServer;
import org.apache.thrift.transport.TNonblockingServerSocket;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TTransport;
import org.apache.thrift.transport.TTransportFactory;

/** Stock builds servers and transports of the stock library, whichever version is there. */
final class Stock {
    static final String[] SERVERS = {"simple", "pool", "nonblocking", "hsha", "selector"};

    private Stock() {}

    /** Server is a running server of the library. */
    static final class Server implements AutoCloseable {
        final int port;
        private final TServer server;
        private final Thread thread;

        Server(TServer server, int port) {
            this.server = server;
            this.port = port;
            thread = new Thread(server::serve, "server");
            thread.setDaemon(true);
            thread.start();
            while (!server.isServing()) {
                Thread.onSpinWait();
            }
        }

        @Override
        public void close() throws Exception {
            server.stop();
            thread.join(5000);
        }
    }

    static boolean isNonblocking(String server) {
        return !server.equals("simple") && !server.equals("pool");
    }

    static TProtocolFactory protocol(String kind) {
        return kind.endsWith("compact") ? new TCompactProtocol.Factory() : new TBinaryProtocol.Factory();
    }

    static Server serve(String server, String kind, TProcessor processor) throws Exception {
        return serve(server, kind, processor, protocol(kind));
    }

    static Server serve(String server, String kind, TProcessor processor, TProtocolFactory in) throws Exception {
        int port = freePort();
        if (isNonblocking(server)) {
            return new Server(nonblocking(server, kind, processor, in, port), port);
        }
        TServerSocket socket = new TServerSocket(port);
        TTransportFactory framing = kind.startsWith("framed") ? framedFactory() : new TTransportFactory();
        if (server.equals("simple")) {
            TServer.Args args = new TServer.Args(socket).processor(processor).transportFactory(framing);
            args.inputProtocolFactory(in).outputProtocolFactory(protocol(kind));
            return new Server(new TSimpleServer(args), port);
        }
        TThreadPoolServer.Args args = new TThreadPoolServer.Args(socket).processor(processor).transportFactory(framing);
        args.inputProtocolFactory(in).outputProtocolFactory(protocol(kind));
        return new Server(new TThreadPoolServer(args), port);
    }

    private static TServer nonblocking(String server, String kind, TProcessor processor, TProtocolFactory in, int port)
            throws Exception {
        TNonblockingServerSocket socket = new TNonblockingServerSocket(port);
        switch (server) {
            case "nonblocking":
                TNonblockingServer.Args one = new TNonblockingServer.Args(socket).processor(processor);
                return new TNonblockingServer(one.inputProtocolFactory(in).outputProtocolFactory(protocol(kind)));
            case "hsha":
                THsHaServer.Args half = new THsHaServer.Args(socket).processor(processor);
                return new THsHaServer(half.inputProtocolFactory(in).outputProtocolFactory(protocol(kind)));
            default:
                TThreadedSelectorServer.Args many = new TThreadedSelectorServer.Args(socket).processor(processor);
                return new TThreadedSelectorServer(
                        many.workerThreads(5).inputProtocolFactory(in).outputProtocolFactory(protocol(kind)));
        }
    }

    private static int freePort() throws Exception {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    /** The framed transport moved to another package with libthrift 0.14. */
    private static Class<?> framed(String inner) throws ClassNotFoundException {
        try {
            return Class.forName("org.apache.thrift.transport.layered.TFramedTransport" + inner);
        } catch (ClassNotFoundException e) {
            return Class.forName("org.apache.thrift.transport.TFramedTransport" + inner);
        }
    }

    static TTransport framed(TTransport socket) throws Exception {
        return (TTransport) framed("").getConstructor(TTransport.class).newInstance(socket);
    }

    static TTransportFactory framedFactory() throws Exception {
        return (TTransportFactory) framed("$Factory").getConstructor().newInstance();
    }
}
