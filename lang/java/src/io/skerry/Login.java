package io.skerry;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Login is the first call of a connection that needs a token, in the strict binary protocol. */
final class Login {
    private static final int CALL = 0x80010001;
    private static final int REPLY = 2;
    private static final String NAME = "skerry.login";
    private static final int HEAD = 12; // version and type, length of the name, sequence number

    private Login() {}

    /** Returns the frame of skerry.login {1: token}. */
    static ByteBuffer message(String token) {
        byte[] name = NAME.getBytes(StandardCharsets.US_ASCII);
        byte[] text = token.getBytes(StandardCharsets.UTF_8);
        int size = HEAD + name.length + 7 + text.length + 1;
        ByteBuffer frame = ByteBuffer.allocate(4 + size);
        frame.putInt(size).putInt(CALL).putInt(name.length).put(name).putInt(0);
        frame.put((byte) 11).putShort((short) 1).putInt(text.length).put(text); // a string, field 1
        frame.put((byte) 0).flip();
        return frame;
    }

    /** Returns null for a reply that takes the login, else the text of the exception. */
    static String refusal(ByteBuffer reply) throws IOException {
        try {
            int type = reply.getInt() & 0xff;
            reply.position(reply.position() + 4 + reply.getInt(reply.position()));
            reply.getInt();
            if (type == REPLY) {
                return null;
            }
            boolean hasText = reply.get() == 11 && reply.getShort() == 1;
            int length = hasText ? reply.getInt() : 0;
            byte[] text = new byte[Math.max(0, Math.min(length, reply.remaining()))];
            reply.get(text);
            return hasText ? new String(text, StandardCharsets.UTF_8) : "without a text";
        } catch (RuntimeException e) {
            throw new IOException("the reply to the login is no message", e);
        }
    }
}
