package io.skerry;

import org.apache.thrift.TException;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolDecorator;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.transport.TTransport;

/** IncomingProtocol takes the context off a message's name, before a generated processor reads the name. */
final class IncomingProtocol extends TProtocolDecorator {
    private final TProtocol inner;
    private TMessage ahead; // read by next, not yet by the processor
    Context context;
    boolean argumentsRead;

    IncomingProtocol(TProtocol inner) {
        super(inner);
        this.inner = inner;
    }

    /** Reads the beginning of the next message; readMessageBegin gives it once more. */
    TMessage next() throws TException {
        TMessage message = inner.readMessageBegin();
        Context.Named split = Context.split(message.name);
        context = split.context;
        argumentsRead = false;
        ahead = context == null ? message : new TMessage(split.name, message.type, message.seqid);
        return ahead;
    }

    @Override
    public TMessage readMessageBegin() throws TException {
        TMessage message = ahead == null ? next() : ahead;
        ahead = null;
        return message;
    }

    @Override
    public void readMessageEnd() throws TException {
        inner.readMessageEnd();
        argumentsRead = true;
    }

    @Override
    public void reset() {
        ahead = null;
        inner.reset();
    }

    /** Factory makes the input protocols of servers with an asynchronous processor, which reads the name itself. */
    static final class Factory implements TProtocolFactory {
        private static final long serialVersionUID = 1;
        private final TProtocolFactory inner;

        Factory(TProtocolFactory inner) {
            this.inner = inner;
        }

        @Override
        public TProtocol getProtocol(TTransport transport) {
            return new IncomingProtocol(inner.getProtocol(transport));
        }
    }
}
