package io.skerry;

import java.io.EOFException;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.concurrent.TimeUnit;
import org.apache.thrift.TConfiguration;
import org.apache.thrift.transport.TTransport;
import org.apache.thrift.transport.TTransportException;

/**
 * Connection is a transport to the proxy with one call at a time, in frames. A call that did not end closes it: what
 * could still be read there is the reply of another call.
 */
class Connection extends TTransport {
    static final long DIAL_NANOS = TimeUnit.SECONDS.toNanos(2); // for a proxy that starts or restarts
    static final long GRACE_NANOS = TimeUnit.SECONDS.toNanos(1); // the proxy answers that the deadline has passed
    private static final int MAX_FRAME = 64 << 20;
    private static final int KEPT = 1 << 20; // bytes of a buffer that outlives its call

    private final Endpoint endpoint;
    private SocketChannel channel;
    private Selector selector;
    private SelectionKey key;
    private boolean busy;
    private boolean oneway;
    private ByteBuffer behind; // what is sent behind a one-way call of a request, else null
    private long limit; // of System.nanoTime for the call, meaningful when limited
    private boolean limited;
    private ByteBuffer out = ByteBuffer.allocate(512);
    private ByteBuffer in = ByteBuffer.allocate(4096); // what was received: position to limit is not yet read

    Connection(Endpoint endpoint) {
        this.endpoint = endpoint;
        in.flip();
    }

    /** Readies the connection for a call: dials where there is none that can be used. */
    void begin(Context context, boolean oneway) throws TTransportException {
        long now = System.nanoTime();
        if (channel != null && (busy || hasEnded())) {
            close();
        }
        long nanos = endpoint.timeoutNanos == 0 ? Long.MAX_VALUE : endpoint.timeoutNanos;
        if (context != null && context.hasDeadline()) {
            nanos = Math.min(nanos, Math.max(0, context.nanosLeft()) + GRACE_NANOS);
        }
        limited = nanos != Long.MAX_VALUE;
        limit = now + (limited ? nanos : 0);
        reset();
        this.oneway = oneway;
        behind = oneway && context != null ? Sent.message(context.word) : null;
        if (channel == null) {
            dial(now + Math.min(nanos, DIAL_NANOS));
        }
        busy = true;
    }

    void end() {
        busy = false;
    }

    boolean isUsable() {
        return channel != null && !busy;
    }

    /** Between two calls only the end of a connection can be read, or a reply that came too late. */
    private boolean hasEnded() {
        try {
            return in.hasRemaining() || channel.read(empty(in)) != 0;
        } catch (IOException e) {
            return true;
        } finally {
            in.flip();
        }
    }

    boolean willReuse(byte[] buffer) {
        return buffer == in.array() && in.capacity() <= KEPT;
    }

    private void reset() {
        out = out.capacity() > KEPT ? ByteBuffer.allocate(512) : out;
        in = in.capacity() > KEPT ? ByteBuffer.allocate(4096) : in;
        out.clear();
        out.putInt(0); // the frame's size, set by flush
        empty(in).flip();
    }

    private static ByteBuffer empty(ByteBuffer buffer) {
        buffer.clear();
        return buffer;
    }

    @Override
    public void flush() throws TTransportException {
        out.putInt(0, out.position() - 4);
        out.flip();
        long until = 0;
        while (true) {
            try {
                send(out);
                break;
            } catch (SocketTimeoutException e) {
                throw failed(TTransportException.TIMED_OUT, "the call could not be sent in time", e);
            } catch (IOException e) {
                // On a Unix socket an error says that not all of the frame arrived: nothing was executed.
                TTransportException failed = failed(TTransportException.NOT_OPEN, "sending failed", e);
                long now = System.nanoTime();
                until = until == 0 ? now + DIAL_NANOS : until;
                if (endpoint.path == null || now - until >= 0 || Thread.currentThread().isInterrupted()) {
                    throw failed;
                }
                dial(until);
                out.rewind();
            }
        }
        if (behind != null) {
            awaitSent();
        }
        if (oneway) {
            end();
        }
    }

    /** Waits until the proxy has passed the one-way call on. */
    void awaitSent() throws TTransportException {
        try {
            send(behind);
        } catch (SocketTimeoutException e) {
            throw failed(TTransportException.TIMED_OUT, "the one-way call was not passed on in time", e);
        } catch (IOException e) {
            awaitEnd(e);
            return;
        }
        readFrame();
        empty(in).flip();
    }

    /** A proxy that hands its place over reads no more. It closes when what it read before is passed on. */
    private void awaitEnd(IOException why) throws TTransportException {
        if (Thread.currentThread().isInterrupted()) {
            throw failed(TTransportException.UNKNOWN, "sending failed", why);
        }
        try {
            while (channel.read(empty(in)) >= 0) {
                await(SelectionKey.OP_READ);
            }
        } catch (SocketTimeoutException e) {
            throw failed(TTransportException.TIMED_OUT, "the one-way call was not passed on in time", e);
        } catch (IOException e) {
            // the end as well
        }
        close();
    }

    private void send(ByteBuffer data) throws IOException {
        while (data.hasRemaining()) {
            if (channel.write(data) == 0) {
                await(SelectionKey.OP_WRITE);
            }
        }
    }

    /** Waits until the channel can be read or written, as long as the call may take. */
    private void await(int what) throws IOException {
        if (selector == null) {
            selector = Selector.open();
            key = channel.register(selector, what);
        } else if (key.interestOps() != what) {
            key.interestOps(what);
        }
        long millis = 0;
        if (limited) {
            millis = TimeUnit.NANOSECONDS.toMillis(limit - System.nanoTime());
            if (millis <= 0) {
                throw new SocketTimeoutException("the call's time is over");
            }
        }
        selector.select(millis);
        selector.selectedKeys().clear();
        if (Thread.currentThread().isInterrupted()) {
            throw new IOException("the thread was interrupted");
        }
    }

    private void dial(long until) throws TTransportException {
        long pause = 5;
        while (true) {
            try {
                channel = Dialer.open(endpoint);
                channel.configureBlocking(false);
                login();
                return;
            } catch (IOException e) {
                close();
                long left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
                if (left <= pause || Thread.currentThread().isInterrupted()) {
                    throw new TTransportException(TTransportException.NOT_OPEN, "no skerry proxy at " + endpoint, e);
                }
            }
            try {
                Thread.sleep(pause);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            pause = Math.min(2 * pause, 100);
        }
    }

    private void login() throws IOException, TTransportException {
        String token = endpoint.token();
        if (token == null) {
            return;
        }
        send(Login.message(token));
        try {
            readFrame();
        } catch (TTransportException e) {
            throw new IOException("the connection ended in the login", e);
        }
        String refused = Login.refusal(in);
        if (refused != null) {
            throw failed(TTransportException.NOT_OPEN, "login refused: " + refused, null);
        }
        empty(in).flip();
    }

    /** Reads one frame, and nothing behind it: a connection has one reply at a time. */
    private void readFrame() throws TTransportException {
        in.clear();
        receive(4);
        int size = in.getInt(0);
        if (size < 0 || size > MAX_FRAME || in.position() > 4 + size) {
            throw failed(TTransportException.CORRUPTED_DATA, "the reply is no frame, or too large", null);
        }
        receive(4 + size);
        in.flip();
        in.position(4);
    }

    /** Receives until in holds count bytes; memory grows with what arrives. */
    private void receive(int count) throws TTransportException {
        try {
            while (in.position() < count) {
                if (!in.hasRemaining()) {
                    in = grown(in, Math.min(count, 2 * in.capacity()));
                }
                int received = channel == null ? -1 : channel.read(in);
                if (received < 0) {
                    throw new EOFException("the connection ended before the reply");
                }
                if (received == 0) {
                    await(SelectionKey.OP_READ);
                }
            }
        } catch (SocketTimeoutException e) {
            throw failed(TTransportException.TIMED_OUT, "no reply in time", e);
        } catch (EOFException e) {
            throw failed(TTransportException.END_OF_FILE, e.getMessage(), e);
        } catch (IOException e) {
            throw failed(TTransportException.UNKNOWN, "reading failed", e);
        }
    }

    private static ByteBuffer grown(ByteBuffer buffer, int capacity) {
        buffer.flip();
        return ByteBuffer.allocate(capacity).put(buffer);
    }

    private TTransportException failed(int kind, String what, Exception cause) {
        close();
        String why = cause == null ? "" : " (" + cause.getMessage() + ")";
        return new TTransportException(kind, "skerry proxy at " + endpoint + ": " + what + why, cause);
    }

    // What stock protocols and clients use of a transport.

    @Override
    public boolean isOpen() {
        return true; // the next call dials
    }

    @Override
    public void open() {}

    @Override
    public void close() {
        empty(in).flip();
        try {
            if (selector != null) {
                selector.close();
            }
            if (channel != null) {
                channel.close();
            }
        } catch (IOException e) {
            // It can't be used again either way.
        }
        channel = null;
        selector = null;
        key = null;
    }

    @Override
    public int read(byte[] target, int offset, int length) throws TTransportException {
        if (!in.hasRemaining() && length > 0) {
            readFrame();
        }
        int count = Math.min(length, in.remaining());
        in.get(target, offset, count);
        return count;
    }

    @Override
    public void write(byte[] data, int offset, int length) {
        if (out.remaining() < length) {
            out = grown(out, Math.max(2 * out.capacity(), out.position() + length));
        }
        out.put(data, offset, length);
    }

    @Override
    public byte[] getBuffer() {
        return in.array();
    }

    @Override
    public int getBufferPosition() {
        return in.position();
    }

    @Override
    public int getBytesRemainingInBuffer() {
        return in.remaining();
    }

    @Override
    public void consumeBuffer(int length) {
        in.position(in.position() + length);
    }

    // From libthrift 0.14 on.

    @Override
    public TConfiguration getConfiguration() {
        return Limits.CONFIGURATION;
    }

    @Override
    public void updateKnownMessageSize(long size) {}

    @Override
    public void checkReadBytesAvailable(long count) throws TTransportException {
        if (count > MAX_FRAME) {
            throw failed(TTransportException.CORRUPTED_DATA, "a size in the reply is over the limit", null);
        }
    }

    /** Limits is loaded only by a libthrift that has a TConfiguration. */
    private static final class Limits {
        static final TConfiguration CONFIGURATION = new TConfiguration(MAX_FRAME, MAX_FRAME, 64);
    }
}
