package io.skerry;

import static io.skerry.Tests.equal;
import static io.skerry.Tests.isTrue;
import static io.skerry.Tests.thrown;

import billing.Billing;
import billing.Denied;
import java.util.HashMap;
import java.util.Map;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.TMultiplexedProcessor;
import org.apache.thrift.TProcessor;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TType;

/** ServerTests: the processor in each server, framing and encoding of the stock library. */
final class ServerTests {
    private static final String[] KINDS = {"framed-binary", "framed-compact", "unframed-binary", "unframed-compact"};

    private ServerTests() {}

    static void run(Tests tests) {
        for (String server : Stock.SERVERS) {
            for (String kind : KINDS) {
                if (kind.startsWith("framed") || !Stock.isNonblocking(server)) {
                    tests.run("server " + server + " " + kind, () -> inServer(tests, server, kind));
                }
            }
        }
        for (String server : new String[] {"nonblocking", "hsha", "selector"}) {
            tests.run("asynchronous processor in " + server, () -> async(tests, server));
        }
        tests.run("multiplexed", () -> multiplexed(tests));
        tests.run("without helper", () -> withoutHelper(tests));
        tests.run("names that are no context", () -> noContext(tests));
        tests.run("asynchronous processor without its factory", () -> withoutFactory(tests));
    }

    private static TProcessor billing(StandIn proxy) {
        return new Billing.Processor<Billing.Iface>(new Program(Endpoint.of(proxy.address)));
    }

    private static void inServer(Tests tests, String server, String kind) throws Exception {
        try (StandIn proxy = tests.proxy();
                Stock.Server program = Stock.serve(server, kind, Skerry.processor(billing(proxy)));
                Caller caller = new Caller(program.port, kind, "")) {
            check(proxy, caller, true);
        }
    }

    private static void multiplexed(Tests tests) throws Exception {
        for (String kind : KINDS) {
            try (StandIn proxy = tests.proxy()) {
                TMultiplexedProcessor both = new TMultiplexedProcessor();
                both.registerProcessor("billing", billing(proxy));
                try (Stock.Server program = Stock.serve("pool", kind, Skerry.processor(both));
                        Caller caller = new Caller(program.port, kind, "billing:")) {
                    check(proxy, caller, true);
                }
            }
        }
    }

    private static TProcessor asyncBilling(StandIn proxy) {
        return new Billing.AsyncProcessor<Billing.AsyncIface>(new AsyncProgram(Endpoint.of(proxy.address)));
    }

    private static void async(Tests tests, String server) throws Exception {
        for (String kind : new String[] {"framed-binary", "framed-compact"}) {
            try (StandIn proxy = tests.proxy();
                    Stock.Server program =
                            Stock.serve(
                                    server,
                                    kind,
                                    Skerry.processor(asyncBilling(proxy)),
                                    Skerry.protocolFactory(Stock.protocol(kind)));
                    Caller caller = new Caller(program.port, kind, "")) {
                check(proxy, caller, false);
            }
        }
    }

    /** Calls each method with and without context over one connection. */
    private static void check(StandIn proxy, Caller caller, boolean ordered) throws Exception {
        equal("billing", caller.under("W0").name());
        equal("W-1_", caller.under("W-1_", 5000).charge("thread", "t"));
        equal("none", caller.under("").charge("thread", "t"));
        equal("W2", caller.under("W2").charge("thread", "t"));
        thrown(Denied.class, () -> caller.under("W3").charge("thread", "denied"));
        long left = caller.under("W4", 5000).remaining();
        isTrue(left > 3000 && left <= 5000, left);
        equal(-1L, caller.under("W4").remaining());
        if (ordered) { // the stock asynchronous processor answers failures by itself, or ends the connection
            for (String how : new String[] {"unreachable", "application", "value"}) {
                TApplicationException e =
                        thrown(TApplicationException.class, () -> caller.under("W5").fail(how));
                equal(TApplicationException.INTERNAL_ERROR, e.getType());
            }
        }
        equal("W6", caller.under("W6").charge("thread", "after the failures"));
        oneWay(proxy, caller, ordered);
    }

    /** The question behind a one-way call is answered when its handler has ended, if the server is ordered. */
    private static void oneWay(StandIn proxy, Caller caller, boolean ordered) throws Exception {
        long began = System.nanoTime();
        if (ordered) {
            caller.under("W7").later("noted");
        }
        TProtocol protocol = caller.bare;
        protocol.writeMessageBegin(new TMessage("skerry.helper", TMessageType.CALL, 7));
        protocol.writeFieldStop();
        protocol.writeMessageEnd();
        protocol.getTransport().flush();
        TMessage reply = protocol.readMessageBegin();
        equal("skerry.helper 2 7", reply.name + " " + reply.type + " " + reply.seqid);
        Map<Short, Object> expected = new HashMap<>();
        expected.put((short) 1, "java 1.0");
        expected.put((short) 2, ordered);
        equal(expected, fields(protocol));
        protocol.readMessageEnd();
        if (ordered) {
            isTrue(System.nanoTime() - began > 190_000_000, "answered before the handler ended");
            equal("W7 noted", proxy.notes.poll(5, java.util.concurrent.TimeUnit.SECONDS));
        }
        equal("W9", caller.under("W9").charge("pool", "t"));
    }

    private static Map<Short, Object> fields(TProtocol protocol) throws Exception {
        Map<Short, Object> found = new HashMap<>();
        protocol.readStructBegin();
        while (true) {
            TField field = protocol.readFieldBegin();
            if (field.type == TType.STOP) {
                break;
            }
            found.put(field.id, field.type == TType.STRING ? protocol.readString() : (Object) protocol.readBool());
            protocol.readFieldEnd();
        }
        protocol.readStructEnd();
        return found;
    }

    /** What the proxy finds in a program without the helper: bare names, no word, an unknown method. */
    private static void withoutHelper(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy();
                Stock.Server program = Stock.serve("pool", "framed-binary", billing(proxy));
                Caller caller = new Caller(program.port, "framed-binary", "")) {
            equal("none", caller.under("").charge("thread", "t"));
            TApplicationException e = thrown(TApplicationException.class, () -> caller.under("W1").name());
            equal(TApplicationException.UNKNOWN_METHOD, e.getType());
        }
    }

    private static void noContext(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy();
                Stock.Server program = Stock.serve("pool", "framed-binary", Skerry.processor(billing(proxy)));
                Caller caller = new Caller(program.port, "framed-binary", "")) {
            String tooLong = "ctx=" + "W".repeat(25) + ";";
            String[] contexts = {"ctx=;", "ctx=W", "ctx=W.;", "ctx=W.-1;", "ctx=W 1;", tooLong, ";"};
            Billing.Client client = caller.under("");
            for (String context : contexts) {
                caller.context = context;
                TApplicationException e = thrown(TApplicationException.class, client::name);
                equal(TApplicationException.UNKNOWN_METHOD, e.getType());
            }
            equal("billing", caller.under("W1").name());
        }
    }

    /** It says so in the log, and ends the connection. */
    private static void withoutFactory(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy();
                Stock.Server program = Stock.serve("hsha", "framed-binary", Skerry.processor(asyncBilling(proxy)));
                Caller caller = new Caller(program.port, "framed-binary", "")) {
            thrown(org.apache.thrift.transport.TTransportException.class, () -> caller.under("W1").name());
        }
    }
}
