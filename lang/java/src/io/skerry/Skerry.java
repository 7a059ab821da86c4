package io.skerry;

import java.lang.reflect.Constructor;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import org.apache.thrift.TProcessor;
import org.apache.thrift.TServiceClient;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolFactory;

/**
 * Makes a Java program a full member of a skerry site, beside {@code skerry proxy} on its host.
 *
 * <pre>{@code
 * Auth.Iface auth = Skerry.connect(Auth.Iface.class, "auth");          // any service by name; for all threads
 * server = new TThreadPoolServer(new Args(socket).processor(Skerry.processor(new Billing.Processor<>(handler))));
 * Skerry.remaining();                                                   // until the request's deadline
 * Skerry.detach();                                                      // from here on calls are no part of it
 * }</pre>
 *
 * A call that the program makes while it serves a request is a part of that request: the proxy gives the request a
 * word, {@link #processor} keeps it in a ThreadLocal, and clients of {@link #connect} send it along. The word stands
 * for the trace, the version token and the deadline, which stay in the proxy.
 *
 * <p>Java 8 and later, libthrift 0.9.3 and later, nothing else. README.md says what the context does not reach.
 */
public final class Skerry {
    static final String VERSION = "java 1.0";

    private Skerry() {}

    /** As {@link #connect(Class, String, Endpoint)}, with the endpoint that the environment names. */
    public static <T> T connect(Class<T> iface, String service) {
        return connect(iface, service, Endpoint.standard());
    }

    /**
     * Returns a client of a service, which is called by its name through the proxy. It may be shared by all threads:
     * each call takes a connection of its own from a pool. Nothing is dialled before the first call.
     *
     * @param iface the generated interface of synchronous calls, {@code Auth.Iface}
     * @throws IllegalArgumentException when iface is another interface
     */
    public static <T> T connect(Class<T> iface, String service, Endpoint endpoint) {
        Constructor<? extends TServiceClient> stock = stockClient(iface);
        Object proxy =
                Proxy.newProxyInstance(
                        iface.getClassLoader(), new Class<?>[] {iface}, new Clients(stock, service, endpoint));
        return iface.cast(proxy);
    }

    private static Constructor<? extends TServiceClient> stockClient(Class<?> iface) {
        Class<?> outer = iface.getEnclosingClass();
        try {
            if (outer != null && iface.getSimpleName().equals("Iface")) {
                return Class.forName(outer.getName() + "$Client", true, iface.getClassLoader())
                        .asSubclass(TServiceClient.class)
                        .getConstructor(TProtocol.class);
            }
        } catch (ReflectiveOperationException | ClassCastException e) {
            throw new IllegalArgumentException(outer.getName() + " has no Client as Thrift generates it", e);
        }
        throw new IllegalArgumentException(
                iface.getName() + " is not the Iface of a generated service; asynchronous clients are not covered");
    }

    /**
     * Returns a processor around inner: a generated one, a TMultiplexedProcessor or an asynchronous one. It must be
     * the outermost. A server with an asynchronous one needs {@link #protocolFactory} too.
     */
    public static TProcessor processor(TProcessor inner) {
        return Processors.around(inner);
    }

    /** Returns the factory of the input protocols of a server whose processor is asynchronous. */
    public static TProtocolFactory protocolFactory(TProtocolFactory inner) {
        return new IncomingProtocol.Factory(inner);
    }

    /** Returns the time until the deadline of the request that is served here, empty without one, never negative. */
    public static Optional<Duration> remaining() {
        Context context = Context.current();
        return context == null || !context.hasDeadline()
                ? Optional.empty()
                : Optional.of(Duration.ofNanos(Math.max(0, context.nanosLeft())));
    }

    /** Ends the request for what follows in this thread: later calls are traces of their own, without deadline. */
    public static void detach() {
        Context.set(null);
    }

    /** Returns task bound to the request that is served here, to be run by another thread, then or later. */
    public static Runnable wrap(Runnable task) {
        Context context = Context.current();
        return () -> {
            Context before = Context.set(context);
            try {
                task.run();
            } finally {
                Context.set(before);
            }
        };
    }

    /** Returns task bound to the request that is served here, to be run by another thread, then or later. */
    public static <T> Callable<T> wrap(Callable<T> task) {
        Context context = Context.current();
        return () -> {
            Context before = Context.set(context);
            try {
                return task.call();
            } finally {
                Context.set(before);
            }
        };
    }

    /** Returns an executor whose tasks belong to the request in which they were handed to it. */
    public static Executor wrap(Executor executor) {
        return task -> executor.execute(wrap(task));
    }

    /** Returns an executor service whose tasks belong to the request in which they were submitted. */
    public static ExecutorService wrap(ExecutorService executor) {
        return new WrappedExecutor(executor);
    }
}
