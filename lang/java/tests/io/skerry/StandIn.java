package io.skerry;

import billing.Auth;
import billing.Denied;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolUtil;
import org.apache.thrift.protocol.TType;
import org.apache.thrift.transport.TMemoryInputTransport;

/** StandIn stands in for the proxy, at a Unix socket or a TCP port: it reads the names of messages by itself. */
final class StandIn implements AutoCloseable, Auth.Iface {
    private static final Pattern SENT = Pattern.compile("ctx=[A-Za-z0-9_-]{1,24};skerry\\.sent");
    private static final Pattern NAME = Pattern.compile("(?:ctx=([A-Za-z0-9_-]{1,24});)?auth:([a-zA-Z]+)");

    final String address;
    final List<String> names = new CopyOnWriteArrayList<>();
    final LinkedBlockingQueue<String> notes = new LinkedBlockingQueue<>();
    volatile int accepted;
    volatile int logins;
    volatile long noteMillis; // until a note is passed on
    volatile Answer onSent = StandIn::acknowledge;
    private final String token;
    private final Path path;
    private final ServerSocketChannel listener;
    private final List<SocketChannel> connections = new ArrayList<>();
    private final ThreadLocal<String> word = new ThreadLocal<>();
    private final Auth.Processor<Auth.Iface> processor = new Auth.Processor<>(this);

    /** Listens at path, or without one at a port of 127.0.0.1. With a token each connection begins with a login. */
    StandIn(Path path, String token) throws IOException {
        this.path = path;
        this.token = token;
        if (path == null) {
            listener = ServerSocketChannel.open();
            listener.bind(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0));
            address = "127.0.0.1:" + listener.socket().getLocalPort();
        } else {
            Files.deleteIfExists(path);
            listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
            listener.bind(UnixDomainSocketAddress.of(path));
            address = path.toString();
        }
        Thread thread = new Thread(this::accept, "stand-in");
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        while (true) {
            SocketChannel connection;
            try {
                connection = listener.accept();
            } catch (IOException e) {
                return; // closed
            }
            synchronized (this) {
                accepted++;
                connections.add(connection);
            }
            Thread thread = new Thread(() -> serve(connection), "stand-in connection");
            thread.setDaemon(true);
            thread.start();
        }
    }

    private void serve(SocketChannel connection) {
        try (connection) {
            DataInputStream in = new DataInputStream(Channels.newInputStream(connection));
            boolean loggedIn = token == null;
            while (true) {
                byte[] frame = new byte[in.readInt()];
                in.readFully(frame);
                TProtocol call = new TBinaryProtocol(new TMemoryInputTransport(frame));
                Frame reply = new Frame();
                TMessage message = call.readMessageBegin();
                if (message.name.equals("skerry.login")) {
                    loggedIn = login(call, reply.protocol, message);
                } else if (!loggedIn) {
                    return;
                } else {
                    answer(message, call, reply);
                }
                if (reply.size() > 0) {
                    reply.send(connection);
                }
                if (!loggedIn) {
                    return;
                }
            }
        } catch (EOFException e) {
            // the caller closed
        } catch (Exception e) {
            if (connection.isOpen()) {
                System.err.println("stand-in: " + e);
            }
        }
    }

    /** Answer answers skerry.sent. */
    interface Answer {
        void to(TMessage message, TProtocol reply) throws Exception;
    }

    static void acknowledge(TMessage message, TProtocol reply) throws Exception {
        reply.writeMessageBegin(new TMessage(message.name, TMessageType.REPLY, message.seqid));
        reply.writeFieldStop();
        reply.writeMessageEnd();
    }

    private void answer(TMessage message, TProtocol call, Frame reply) throws Exception {
        names.add(message.name);
        if (SENT.matcher(message.name).matches()) { // in the order of the connection, as the proxy does
            onSent.to(new TMessage("skerry.sent", message.type, message.seqid), reply.protocol);
            return;
        }
        Matcher found = NAME.matcher(message.name);
        if (!found.matches()) {
            refuse(reply.protocol, message, "no such name: " + message.name);
            return;
        }
        word.set(found.group(1) == null ? "none" : found.group(1));
        Named stripped = new Named(call, new TMessage(found.group(2), message.type, message.seqid));
        processor.process(stripped, reply.protocol);
    }

    /** Named gives a message another name. */
    private static final class Named extends org.apache.thrift.protocol.TProtocolDecorator {
        private final TMessage message;

        Named(TProtocol inner, TMessage message) {
            super(inner);
            this.message = message;
        }

        @Override
        public TMessage readMessageBegin() {
            return message;
        }
    }

    private boolean login(TProtocol call, TProtocol reply, TMessage message) throws Exception {
        logins++;
        String given = null;
        call.readStructBegin();
        while (true) {
            TField field = call.readFieldBegin();
            if (field.type == TType.STOP) {
                break;
            }
            if (field.id == 1) {
                given = call.readString();
            } else {
                TProtocolUtil.skip(call, field.type);
            }
        }
        if (!given.equals(token)) {
            refuse(reply, message, "wrong token");
            return false;
        }
        acknowledge(message, reply);
        return true;
    }

    static void refuse(TProtocol reply, TMessage message, String text) throws Exception {
        reply.writeMessageBegin(new TMessage(message.name, TMessageType.EXCEPTION, message.seqid));
        new TApplicationException(TApplicationException.UNKNOWN_METHOD, text).write(reply);
        reply.writeMessageEnd();
    }

    /** Ends the connections that are there: whole, or only their reading half. */
    synchronized void endConnections(boolean onlyReading) {
        for (SocketChannel connection : connections) {
            try {
                connection.shutdownInput();
                if (!onlyReading) {
                    connection.shutdownOutput(); // at once; a close waits for the thread that reads
                    connection.close();
                }
            } catch (IOException e) {
                // ended already
            }
        }
        connections.clear();
    }

    @Override
    public void close() throws IOException {
        listener.close();
        endConnections(false);
        if (path != null) {
            Files.deleteIfExists(path);
        }
    }

    @Override
    public String name() {
        return "auth";
    }

    @Override
    public String verify(String text) throws Denied {
        if (text.equals("denied")) {
            throw new Denied("as asked for");
        }
        if (text.equals("slow")) {
            try {
                TimeUnit.SECONDS.sleep(1);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        return word.get();
    }

    @Override
    public ByteBuffer echo(ByteBuffer data) {
        return data;
    }

    @Override
    public void note(String text) {
        try {
            TimeUnit.MILLISECONDS.sleep(noteMillis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        notes.add(word.get() + " " + text);
    }
}
