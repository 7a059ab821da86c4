package io.skerry;

import org.apache.thrift.TException;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolDecorator;

/** OutgoingReply remembers whether a processor has begun its answer. */
final class OutgoingReply extends TProtocolDecorator {
    boolean begun;

    OutgoingReply(TProtocol inner) {
        super(inner);
    }

    @Override
    public void writeMessageBegin(TMessage message) throws TException {
        begun = true;
        super.writeMessageBegin(message);
    }
}
