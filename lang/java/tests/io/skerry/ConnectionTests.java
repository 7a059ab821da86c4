package io.skerry;

import static io.skerry.Tests.equal;
import static io.skerry.Tests.isTrue;
import static io.skerry.Tests.thrown;

import billing.Auth;
import billing.Denied;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.transport.TTransportException;

/** ConnectionTests: no connection is used that is broken or half read, and the program outlives its proxy. */
final class ConnectionTests {
    private ConnectionTests() {}

    static void run(Tests tests) {
        tests.run("calls", () -> calls(tests));
        tests.run("one client for all threads", () -> threads(tests));
        tests.run("program starts before its proxy", () -> beforeProxy(tests));
        tests.run("no proxy", () -> noProxy(tests));
        tests.run("proxy restarts", () -> restarts(tests));
        tests.run("call is sent again after a broken pipe", () -> brokenPipe(tests));
        tests.run("end before the reply is told", () -> endBeforeReply(tests));
        tests.run("late reply is never read", () -> lateReply(tests));
        tests.run("deadline bounds a proxy that does not answer", () -> deadline(tests));
        tests.run("one-way call of a request returns when it is passed on", () -> passedOn(tests));
        tests.run("proxy that does not know skerry.sent", () -> unknownSent(tests));
        tests.run("one-way call that is not passed on", () -> notPassedOn(tests));
        tests.run("hand-over behind a one-way call", () -> handOverBehind(tests));
        tests.run("reply that is none", () -> badReply(tests));
        tests.run("login over TCP", () -> login(tests));
        tests.run("interrupt ends the call", () -> interrupt(tests));
        tests.run("interfaces and addresses", ConnectionTests::arguments);
    }

    private static Auth.Iface client(String address) {
        return Skerry.connect(Auth.Iface.class, "auth", Endpoint.of(address));
    }

    private static void calls(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Auth.Iface auth = client("unix:" + proxy.address);
            equal("auth", auth.name());
            thrown(Denied.class, () -> auth.verify("denied"));
            for (int size : new int[] {0, 1, 4000, 65531, 65533, 5 << 20}) {
                byte[] data = new byte[size];
                new Random(size).nextBytes(data);
                equal(ByteBuffer.wrap(data), auth.echo(ByteBuffer.wrap(data)));
            }
            ByteBuffer first = auth.echo(ByteBuffer.wrap(new byte[] {1, 2, 3}));
            auth.echo(ByteBuffer.wrap(new byte[] {4, 5, 6}));
            equal(ByteBuffer.wrap(new byte[] {1, 2, 3}), first);
            auth.note("one way");
            equal("none one way", proxy.notes.poll(5, TimeUnit.SECONDS));
            equal("none", auth.verify("behind it"));
            equal(1, proxy.accepted);
            isTrue(proxy.names.contains("auth:verify"), proxy.names);
            isTrue(auth.toString().contains("auth"), auth);
            equal(true, auth.equals(auth));
            Auth.Iface other = Skerry.connect(Auth.Iface.class, "other", Endpoint.of(proxy.address));
            thrown(TApplicationException.class, other::name);
        }
    }

    private static void threads(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Auth.Iface auth = client(proxy.address);
            Tests.Body calls =
                    () -> {
                        for (int i = 0; i < 200; i++) {
                            String text = Thread.currentThread().getName() + i;
                            ByteBuffer data = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
                            equal(data.duplicate(), auth.echo(data));
                        }
                    };
            Tests.together(Collections.nCopies(16, calls));
            isTrue(proxy.accepted <= 16, proxy.accepted);
        }
    }

    private static void beforeProxy(Tests tests) throws Exception {
        Path path = tests.folder.resolve("later.sock");
        List<StandIn> started = new ArrayList<>();
        Thread starter =
                new Thread(
                        () -> {
                            try {
                                TimeUnit.MILLISECONDS.sleep(500);
                                started.add(new StandIn(path, null));
                            } catch (Exception e) {
                                throw new IllegalStateException(e);
                            }
                        });
        starter.start();
        equal("auth", client(path.toString()).name());
        starter.join();
        started.get(0).close();
    }

    private static void noProxy(Tests tests) throws Exception {
        Auth.Iface auth = client(tests.folder.resolve("none.sock").toString());
        long began = System.nanoTime();
        TTransportException e = thrown(TTransportException.class, auth::name);
        long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
        equal(TTransportException.NOT_OPEN, e.getType());
        isTrue(e.getMessage().contains("none.sock"), e);
        isTrue(took > 1500 && took < 4000, took);
        Context before = Context.set(Context.of("W.1"));
        began = System.nanoTime();
        thrown(TTransportException.class, auth::name);
        Context.set(before);
        isTrue(System.nanoTime() - began < TimeUnit.MILLISECONDS.toNanos(1500), "the deadline ends the dialling");
    }

    private static void restarts(Tests tests) throws Exception {
        StandIn proxy = tests.proxy();
        Auth.Iface auth = client(proxy.address);
        for (int i = 0; i < 5; i++) {
            equal("auth", auth.name());
            proxy.close();
            proxy = tests.proxy();
        }
        proxy.close();
    }

    /** Hooked is a client that runs something between the look at the socket and the sending. */
    private static Auth.Client hooked(Connection connection, Runnable[] hook) {
        return new Auth.Client(
                new OutgoingProtocol(connection, "auth") {
                    @Override
                    public void writeMessageBegin(TMessage message) throws TException {
                        super.writeMessageBegin(message);
                        Runnable run = hook[0];
                        hook[0] = null;
                        if (run != null) {
                            run.run();
                        }
                    }
                });
    }

    private static void brokenPipe(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Runnable[] hook = new Runnable[1];
            Connection connection = new Connection(Endpoint.of(proxy.address));
            Auth.Client auth = hooked(connection, hook);
            equal("auth", auth.name());
            ByteBuffer data = ByteBuffer.wrap(new byte[300_000]);
            hook[0] = () -> proxy.endConnections(true);
            equal(data.duplicate(), auth.echo(data));
            hook[0] = () -> proxy.endConnections(true);
            auth.note("once");
            equal("none once", proxy.notes.poll(5, TimeUnit.SECONDS));
            equal("auth", auth.name());
            equal(null, proxy.notes.poll());
            equal(3, proxy.accepted);
            connection.close();
        }
    }

    private static void endBeforeReply(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Auth.Iface auth = client(proxy.address);
            equal("auth", auth.name());
            Thread ender =
                    new Thread(
                            () -> {
                                try {
                                    TimeUnit.MILLISECONDS.sleep(300);
                                } catch (InterruptedException e) {
                                    return;
                                }
                                proxy.endConnections(false);
                            });
            ender.start();
            TTransportException e = thrown(TTransportException.class, () -> auth.verify("slow"));
            equal(TTransportException.END_OF_FILE, e.getType());
            equal(1, Collections.frequency(proxy.names, "auth:verify"));
            equal("auth", auth.name());
            ender.join();
        }
    }

    private static void lateReply(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Endpoint endpoint = Endpoint.of(proxy.address).withTimeout(Duration.ofMillis(200));
            Auth.Iface auth = Skerry.connect(Auth.Iface.class, "auth", endpoint);
            TTransportException e = thrown(TTransportException.class, () -> auth.verify("slow"));
            equal(TTransportException.TIMED_OUT, e.getType());
            equal("auth", auth.name());
            equal(2, proxy.accepted);
        }
    }

    private static void passedOn(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            proxy.noteMillis = 200;
            Auth.Iface auth = client(proxy.address);
            auth.note("of none");
            equal(0, proxy.notes.size()); // a call of no request waits for nothing
            equal("none of none", proxy.notes.poll(5, TimeUnit.SECONDS));
            Context before = Context.set(Context.of("W.5000"));
            for (String text : new String[] {"first", "second"}) {
                auth.note(text);
                equal("W " + text, proxy.notes.poll());
            }
            equal("W", auth.verify("behind them"));
            Context.set(before);
            equal(1, proxy.accepted);
            equal(
                    "[auth:note, ctx=W;auth:note, ctx=W;skerry.sent, ctx=W;auth:note, ctx=W;skerry.sent,"
                            + " ctx=W;auth:verify]",
                    proxy.names.toString());
        }
    }

    private static void unknownSent(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            proxy.onSent = (message, reply) -> StandIn.refuse(reply, message, "unknown");
            Auth.Iface auth = client(proxy.address);
            Context before = Context.set(Context.of("W"));
            auth.note("x");
            equal("W", auth.verify("behind it"));
            Context.set(before);
            equal(1, proxy.accepted);
        }
    }

    private static void notPassedOn(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Auth.Iface auth = client(proxy.address);
            proxy.onSent = (message, reply) -> {}; // no answer
            Context before = Context.set(Context.of("W.100"));
            long began = System.nanoTime();
            TTransportException late = thrown(TTransportException.class, () -> auth.note("x"));
            Context.set(Context.of("W"));
            equal(TTransportException.TIMED_OUT, late.getType());
            long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
            isTrue(took > 1000 && took < 3000, took);
            proxy.onSent = (message, reply) -> proxy.endConnections(false);
            TTransportException ended = thrown(TTransportException.class, () -> auth.note("x"));
            equal(TTransportException.END_OF_FILE, ended.getType());
            equal("W", auth.verify("the next"));
            Context.set(before);
        }
    }

    /** The proxy has read the call and reads no more: it closes when the call is passed on, which is not sent again. */
    private static void handOverBehind(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            proxy.noteMillis = 300;
            Runnable[] hook = new Runnable[1];
            Connection connection =
                    new Connection(Endpoint.of(proxy.address)) {
                        @Override
                        void awaitSent() throws TTransportException {
                            while (proxy.names.isEmpty()) {
                                Thread.onSpinWait();
                            }
                            proxy.endConnections(true);
                            super.awaitSent();
                        }
                    };
            Auth.Client auth = hooked(connection, hook);
            Context before = Context.set(Context.of("W.5000"));
            auth.note("once");
            Context.set(before);
            equal("W once", proxy.notes.poll());
            equal("auth", auth.name());
            equal(0, proxy.notes.size());
            equal(2, proxy.accepted);
            connection.close();
        }
    }

    private static void deadline(Tests tests) throws Exception {
        Path path = tests.folder.resolve("mute.sock");
        try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            listener.bind(UnixDomainSocketAddress.of(path));
            Context before = Context.set(Context.of("W.100"));
            long began = System.nanoTime();
            TTransportException e = thrown(TTransportException.class, client(path.toString())::name);
            Context.set(before);
            equal(TTransportException.TIMED_OUT, e.getType());
            isTrue(System.nanoTime() - began < TimeUnit.SECONDS.toNanos(3), "deadline and one second");
        }
        Files.delete(path);
    }

    /** HTTP, a negative size, and more than a frame: told, and another connection for the next call. */
    private static void badReply(Tests tests) throws Exception {
        String[] replies = {"HTTP/1.1 400 Bad\r\n\r\n", "\u00ff\u00ff\u00ff\u00fb", "\0\0\0\1xy", "\0\0\0\2ab"};
        for (String bad : replies) {
            Path path = tests.folder.resolve("bad.sock");
            Auth.Iface auth = client(path.toString());
            try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
                listener.bind(UnixDomainSocketAddress.of(path));
                Thread answer =
                        new Thread(
                                () -> {
                                    try (SocketChannel connection = listener.accept()) {
                                        connection.read(ByteBuffer.allocate(1000));
                                        connection.write(ByteBuffer.wrap(bad.getBytes(StandardCharsets.ISO_8859_1)));
                                    } catch (Exception e) {
                                        throw new IllegalStateException(e);
                                    }
                                });
                answer.start();
                thrown(TException.class, auth::name);
                answer.join();
            }
            try (StandIn proxy = new StandIn(path, null)) {
                equal("auth", auth.name());
            }
        }
    }

    private static void login(Tests tests) throws Exception {
        try (StandIn proxy = new StandIn(null, "secret")) {
            Endpoint endpoint = Endpoint.of(proxy.address);
            Auth.Iface auth = Skerry.connect(Auth.Iface.class, "auth", endpoint.withToken("secret"));
            equal("auth", auth.name());
            equal("none", auth.verify("t"));
            equal(1, proxy.logins);
            Path file = tests.folder.resolve("token");
            Files.write(file, "secret\n".getBytes(StandardCharsets.UTF_8));
            equal("auth", Skerry.connect(Auth.Iface.class, "auth", endpoint.withTokenFile(file.toString())).name());
            Auth.Iface wrong = Skerry.connect(Auth.Iface.class, "auth", endpoint.withToken("guess"));
            TTransportException e = thrown(TTransportException.class, wrong::name);
            isTrue(e.getMessage().contains("wrong token"), e);
            equal(3, proxy.logins);
        }
    }

    private static void interrupt(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Auth.Iface auth = client(proxy.address);
            Thread caller = Thread.currentThread();
            Thread interrupter =
                    new Thread(
                            () -> {
                                try {
                                    TimeUnit.MILLISECONDS.sleep(200);
                                } catch (InterruptedException e) {
                                    return;
                                }
                                caller.interrupt();
                            });
            interrupter.start();
            thrown(TTransportException.class, () -> auth.verify("slow"));
            isTrue(Thread.interrupted(), "the flag stays");
            equal("auth", auth.name());
        }
    }

    private static void arguments() {
        thrown(IllegalArgumentException.class, () -> Skerry.connect(Auth.AsyncIface.class, "auth"));
        thrown(IllegalArgumentException.class, () -> Skerry.connect(Runnable.class, "auth"));
        for (String address : new String[] {"", "proxy", "proxy:http", ":"}) {
            thrown(IllegalArgumentException.class, () -> Endpoint.of(address));
        }
        equal("/run/p.sock", Endpoint.of("unix:/run/p.sock").toString());
        equal("127.0.0.1:7760", Endpoint.of("127.0.0.1:7760").toString());
        equal("::1:7760", Endpoint.of("[::1]:7760").toString());
    }
}
