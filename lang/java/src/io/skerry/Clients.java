package io.skerry;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.TimeUnit;
import org.apache.thrift.TServiceClient;

/** Clients is the pool of stock clients behind one client for all threads. Each call has one of them to itself. */
final class Clients implements InvocationHandler {
    private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(60);

    private final Constructor<? extends TServiceClient> constructor;
    private final String service;
    private final Endpoint endpoint;
    private final ConcurrentLinkedDeque<Client> idle = new ConcurrentLinkedDeque<>(); // the last used first

    /** Client is a stock client with its connection. */
    private static final class Client {
        final Connection connection;
        final TServiceClient stock;
        long idleSince;

        Client(Connection connection, TServiceClient stock) {
            this.connection = connection;
            this.stock = stock;
        }
    }

    Clients(Constructor<? extends TServiceClient> constructor, String service, Endpoint endpoint) {
        this.constructor = constructor;
        this.service = service;
        this.endpoint = endpoint;
    }

    @Override
    public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
        if (method.getDeclaringClass() == Object.class) {
            return ofObject(self, method, arguments);
        }
        Client client = idle.pollFirst();
        if (client == null) {
            Connection connection = new Connection(endpoint);
            client = new Client(connection, constructor.newInstance(new OutgoingProtocol(connection, service)));
        }
        try {
            return method.invoke(client.stock, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        } finally {
            giveBack(client);
        }
    }

    private void giveBack(Client client) {
        if (!client.connection.isUsable()) {
            client.connection.close();
            return;
        }
        client.idleSince = System.nanoTime();
        idle.addFirst(client);
        Client oldest = idle.peekLast();
        if (oldest != null && client.idleSince - oldest.idleSince > IDLE_NANOS && idle.removeLastOccurrence(oldest)) {
            oldest.connection.close();
        }
    }

    private Object ofObject(Object self, Method method, Object[] arguments) {
        switch (method.getName()) {
            case "equals":
                return self == arguments[0];
            case "hashCode":
                return System.identityHashCode(self);
            default:
                return "client of " + service + " through the skerry proxy at " + endpoint;
        }
    }
}
