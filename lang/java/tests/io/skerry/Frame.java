package io.skerry;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.transport.TIOStreamTransport;

/** Frame is a message that is written to memory first. */
final class Frame {
    final TProtocol protocol;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    Frame() throws Exception {
        protocol = new TBinaryProtocol(new TIOStreamTransport(bytes));
    }

    int size() {
        return bytes.size();
    }

    void send(SocketChannel connection) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(4 + size()).putInt(size()).put(bytes.toByteArray());
        frame.flip();
        while (frame.hasRemaining()) {
            connection.write(frame);
        }
    }
}
