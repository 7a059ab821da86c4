package io.skerry;

import java.nio.ByteBuffer;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;

/** OutgoingProtocol names the service and the context in each message of a stock client. */
class OutgoingProtocol extends TBinaryProtocol {
    private final Connection connection;
    private final String prefix;

    OutgoingProtocol(Connection connection, String service) {
        super(connection);
        this.connection = connection;
        this.prefix = service + ":";
    }

    @Override
    public void writeMessageBegin(TMessage message) throws TException {
        Context context = Context.current();
        connection.begin(context, message.type == TMessageType.ONEWAY);
        String name = prefix + message.name;
        if (context != null) {
            name = "ctx=" + context.word + ";" + name;
        }
        super.writeMessageBegin(new TMessage(name, message.type, message.seqid));
    }

    /** Copies: the stock method gives out a part of the connection's buffer, which the next call writes to. */
    @Override
    public ByteBuffer readBinary() throws TException {
        ByteBuffer read = super.readBinary();
        if (!connection.willReuse(read.array())) {
            return read;
        }
        byte[] copy = new byte[read.remaining()];
        read.get(copy);
        return ByteBuffer.wrap(copy);
    }

    @Override
    public void readMessageEnd() throws TException {
        super.readMessageEnd();
        connection.end();
    }
}
