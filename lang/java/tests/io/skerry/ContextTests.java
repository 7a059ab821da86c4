package io.skerry;

import static io.skerry.Tests.equal;

import billing.Billing;
import java.util.ArrayList;
import java.util.List;
import org.apache.thrift.TProcessor;
import org.apache.thrift.protocol.TProtocolFactory;

/** ContextTests: each carrier brings the context of its own request, while another request crosses it. */
final class ContextTests {
    private static final String KIND = "framed-binary";

    private ContextTests() {}

    static void run(Tests tests) {
        for (String server : new String[] {"pool", "hsha", "selector"}) {
            tests.run("requests that cross in " + server, () -> cross(tests, server, false));
        }
        tests.run("requests that cross in an asynchronous processor", () -> cross(tests, "selector", true));
        tests.run("what carries nothing", () -> carriesNothing(tests));
    }

    private static void cross(Tests tests, String server, boolean async) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            Endpoint endpoint = Endpoint.of(proxy.address);
            TProcessor inner =
                    async
                            ? new Billing.AsyncProcessor<Billing.AsyncIface>(new AsyncProgram(endpoint))
                            : new Billing.Processor<Billing.Iface>(new Program(endpoint));
            TProtocolFactory in = Stock.protocol(KIND);
            in = async ? Skerry.protocolFactory(in) : in;
            try (Stock.Server program = Stock.serve(server, KIND, Skerry.processor(inner), in)) {
                for (String carrier : Program.CARRIERS) {
                    List<Tests.Body> callers = new ArrayList<>();
                    for (String word : new String[] {"first", "second"}) {
                        callers.add(() -> calls(program.port, carrier, word));
                    }
                    Tests.together(callers);
                }
            }
        }
    }

    private static void calls(int port, String carrier, String word) throws Exception {
        try (Caller caller = new Caller(port, KIND, "")) {
            for (int i = 0; i < 10; i++) {
                String got = caller.under(word + i, 9000).charge(carrier, "cross");
                equal(word + i + " by " + carrier, got + " by " + carrier);
            }
        }
    }

    /** Pools that are not wrapped, and what follows a detach, are no part of the request. */
    private static void carriesNothing(Tests tests) throws Exception {
        try (StandIn proxy = tests.proxy()) {
            TProcessor inner = new Billing.Processor<Billing.Iface>(new Program(Endpoint.of(proxy.address)));
            try (Stock.Server program = Stock.serve("pool", KIND, Skerry.processor(inner));
                    Caller caller = new Caller(program.port, KIND, "")) {
                for (String carrier : new String[] {"nothing", "common", "detached"}) {
                    equal("none", caller.under("W1").charge(carrier, "t"));
                }
                equal("W2", caller.under("W2").charge("thread", "t"));
                equal("none", caller.under("").charge("thread", "t"));
            }
        }
    }
}
