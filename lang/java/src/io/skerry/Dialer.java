package io.skerry;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.nio.channels.SocketChannel;

/** Dialer opens channels to the proxy. Unix sockets are there from Java 16 on, and are reached by reflection. */
final class Dialer {
    private Dialer() {}

    static SocketChannel open(Endpoint endpoint) throws IOException {
        SocketChannel channel = endpoint.path == null ? SocketChannel.open() : openUnix();
        try {
            if (endpoint.path == null) {
                channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
                channel.connect(new InetSocketAddress(endpoint.host, endpoint.port));
            } else {
                channel.connect(unixAddress(endpoint.path));
            }
            return channel;
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e instanceof IOException ? (IOException) e : new IOException("cannot connect: " + e, e);
        }
    }

    private static SocketChannel openUnix() throws IOException {
        try {
            ProtocolFamily unix = StandardProtocolFamily.valueOf("UNIX");
            return (SocketChannel) SocketChannel.class.getMethod("open", ProtocolFamily.class).invoke(null, unix);
        } catch (ReflectiveOperationException | IllegalArgumentException e) {
            throw unsupported(e);
        }
    }

    private static SocketAddress unixAddress(String path) {
        try {
            Class<?> type = Class.forName("java.net.UnixDomainSocketAddress");
            return (SocketAddress) type.getMethod("of", String.class).invoke(null, path);
        } catch (ReflectiveOperationException e) {
            throw unsupported(e);
        }
    }

    private static UnsupportedOperationException unsupported(Exception e) {
        Throwable cause = e instanceof InvocationTargetException ? e.getCause() : e;
        return new UnsupportedOperationException(
                "Unix sockets need Java 16; before it give SKERRY_PROXY=host:port and SKERRY_PROXY_TOKEN_FILE", cause);
    }
}
