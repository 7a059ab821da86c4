package io.skerry;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * Sent is the call behind a one-way call of a request, in the strict binary protocol. The proxy answers it when it has
 * passed the one-way call on. The request may end then.
 */
final class Sent {
    private static final int CALL = 0x80010001;

    private Sent() {}

    /** Returns the frame of the call. */
    static ByteBuffer message(String word) {
        byte[] name = ("ctx=" + word + ";skerry.sent").getBytes(StandardCharsets.US_ASCII);
        int size = 12 + name.length + 1;
        ByteBuffer frame = ByteBuffer.allocate(4 + size);
        frame.putInt(size).putInt(CALL).putInt(name.length).put(name).putInt(0);
        frame.put((byte) 0).flip(); // no arguments
        return frame;
    }
}
