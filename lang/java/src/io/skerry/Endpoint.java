package io.skerry;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.time.Duration;

/** Endpoint says where the proxy listens, and how the program calls it. It does not change: with… returns another. */
public final class Endpoint {
    static final String DEFAULT = "/run/skerry/proxy.sock";

    final String path; // of a Unix socket, or null
    final String host;
    final int port;
    final long timeoutNanos; // 0: none
    private final String token;
    private final String tokenFile;

    private Endpoint(String path, String host, int port, String token, String tokenFile, long timeoutNanos) {
        this.path = path;
        this.host = host;
        this.port = port;
        this.token = token;
        this.tokenFile = tokenFile;
        this.timeoutNanos = timeoutNanos;
    }

    /** Returns the endpoint at {@code /path}, {@code unix:/path} (from Java 16 on) or {@code host:port}. */
    public static Endpoint of(String address) {
        String path = address.startsWith("unix:") ? address.substring(5) : address;
        int colon = address.lastIndexOf(':');
        if (path.indexOf('/') >= 0 || path.length() < address.length()) {
            return new Endpoint(path, null, 0, null, null, 0);
        }
        try {
            String host = address.substring(0, colon).replaceAll("^\\[|\\]$", "");
            return new Endpoint(null, host, Integer.parseInt(address.substring(colon + 1)), null, null, 0);
        } catch (IndexOutOfBoundsException | NumberFormatException e) {
            throw new IllegalArgumentException(
                    "address of the skerry proxy: '" + address + "' is neither /path, unix:/path nor host:port");
        }
    }

    /**
     * Returns the endpoint that the system property {@code skerry.proxy} or the variable {@code SKERRY_PROXY} names,
     * else {@code /run/skerry/proxy.sock}, with the token in the file of {@code skerry.proxy.token.file} or
     * {@code SKERRY_PROXY_TOKEN_FILE}, if there is one.
     */
    public static Endpoint standard() {
        Endpoint endpoint = of(setting("skerry.proxy", "SKERRY_PROXY", DEFAULT));
        String file = setting("skerry.proxy.token.file", "SKERRY_PROXY_TOKEN_FILE", null);
        return file == null ? endpoint : endpoint.withTokenFile(file);
    }

    private static String setting(String property, String variable, String otherwise) {
        String value = System.getProperty(property, System.getenv(variable));
        return value == null || value.isEmpty() ? otherwise : value;
    }

    /** Returns the endpoint with the program's token, which a proxy's TCP port asks for. */
    public Endpoint withToken(String token) {
        return new Endpoint(path, host, port, token, null, timeoutNanos);
    }

    /** Returns the endpoint with the program's token in a file, which is read for each connection. */
    public Endpoint withTokenFile(String file) {
        return new Endpoint(path, host, port, null, file, timeoutNanos);
    }

    /** Returns the endpoint with a limit for each call. Without one the proxy's answer is waited for. */
    public Endpoint withTimeout(Duration timeout) {
        return new Endpoint(path, host, port, token, tokenFile, Math.max(1, timeout.toNanos()));
    }

    String token() throws IOException {
        if (tokenFile == null) {
            return token;
        }
        return new String(Files.readAllBytes(Paths.get(tokenFile)), StandardCharsets.UTF_8).trim();
    }

    @Override
    public String toString() {
        return path != null ? path : host + ":" + port;
    }
}
