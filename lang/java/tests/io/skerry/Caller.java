package io.skerry;

import billing.Billing;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolDecorator;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;

/** Caller is a stock client of a program, as the proxy is one. */
final class Caller implements AutoCloseable {
    final TProtocol bare;
    private final TTransport transport;
    private final Billing.Client client;
    String context = "";

    Caller(int port, String kind, String prefix) throws Exception {
        TSocket socket = new TSocket("127.0.0.1", port, 15_000);
        transport = kind.startsWith("framed") ? Stock.framed(socket) : socket;
        bare = Stock.protocol(kind).getProtocol(transport);
        transport.open();
        client =
                new Billing.Client(
                        new TProtocolDecorator(bare) {
                            @Override
                            public void writeMessageBegin(TMessage message) throws TException {
                                String name = context + prefix + message.name;
                                bare.writeMessageBegin(new TMessage(name, message.type, message.seqid));
                            }
                        });
    }

    /** The client whose next messages bear word, with the milliseconds left unless negative; "" is no word. */
    Billing.Client under(String word, int left) {
        context = word.isEmpty() ? "" : "ctx=" + word + (left < 0 ? "" : "." + left) + ";";
        return client;
    }

    Billing.Client under(String word) {
        return under(word, -1);
    }

    @Override
    public void close() {
        transport.close();
    }
}
