package io.skerry;

import billing.Auth;
import billing.Billing;
import billing.Denied;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.TException;

/** Program is the program under test. It calls Auth by each carrier of a context. */
final class Program implements Billing.Iface {
    static final String[] CARRIERS = {
        "thread", "pool", "callable", "runnable", "timer", "future", "futures", "invokeAll"
    };

    private final Auth.Iface auth;
    private final ExecutorService plain = Executors.newFixedThreadPool(2, Program::daemon);
    private final ExecutorService pool = Skerry.wrap(Executors.newSingleThreadExecutor(Program::daemon));
    private final ScheduledExecutorService timer = Executors.newScheduledThreadPool(1, Program::daemon);
    private final CyclicBarrier crossing = new CyclicBarrier(2);

    Program(Endpoint proxy) {
        auth = Skerry.connect(Auth.Iface.class, "auth", proxy);
    }

    private static Thread daemon(Runnable task) {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    }

    @Override
    public String name() {
        return "billing";
    }

    @Override
    public String charge(String carrier, String token) throws Denied, TException {
        try {
            if (token.equals("cross")) {
                crossing.await(10, TimeUnit.SECONDS);
            }
            if (carrier.equals("note")) {
                auth.note(token);
                return token;
            }
            boolean slow = carrier.startsWith("slow_");
            if (slow) {
                TimeUnit.MILLISECONDS.sleep(500);
            }
            return by(slow ? carrier.substring(5) : carrier, () -> auth.verify(token));
        } catch (java.util.concurrent.ExecutionException e) {
            throw new IllegalStateException(e.getCause());
        } catch (TException | RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private String by(String carrier, Callable<String> call) throws Exception {
        switch (carrier) {
            case "thread":
                return call.call();
            case "detached":
                Skerry.detach();
                return call.call();
            case "nothing":
                return plain.submit(call).get();
            case "common":
                return CompletableFuture.supplyAsync(() -> called(call)).get();
            case "pool":
                return pool.submit(call).get();
            case "invokeAll":
                return pool.invokeAll(java.util.Arrays.asList(call)).get(0).get();
            case "callable":
                return plain.submit(Skerry.wrap(call)).get();
            case "runnable":
                FutureTask<String> task = new FutureTask<>(call);
                new Thread(Skerry.wrap((Runnable) task)).start();
                return task.get();
            case "timer":
                return timer.schedule(Skerry.wrap(call), 20, TimeUnit.MILLISECONDS).get();
            case "future":
                return CompletableFuture.supplyAsync(() -> called(call), pool).get();
            case "futures":
                return CompletableFuture.supplyAsync(() -> called(call), pool) // a stage hands on what its thread has
                        .thenApplyAsync(first -> called(call), pool)
                        .get();
            default:
                throw new IllegalArgumentException(carrier);
        }
    }

    private static <T> T called(Callable<T> call) {
        try {
            return call.call();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public long remaining() {
        return Skerry.remaining().map(java.time.Duration::toMillis).orElse(-1L);
    }

    @Override
    public void later(String token) throws TException {
        try {
            TimeUnit.MILLISECONDS.sleep(200);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        auth.note(token);
    }

    @Override
    public String fail(String how) throws TException {
        switch (how) {
            case "unreachable":
                Endpoint nowhere = Endpoint.of("127.0.0.1:1").withTimeout(java.time.Duration.ofMillis(50));
                return Skerry.connect(Auth.Iface.class, "auth", nowhere).verify("");
            case "application":
                throw new TApplicationException(TApplicationException.INTERNAL_ERROR, "said by the handler");
            default:
                throw new IllegalStateException("said by the handler");
        }
    }
}
