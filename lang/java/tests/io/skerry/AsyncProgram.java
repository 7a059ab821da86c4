package io.skerry;

import billing.Billing;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.thrift.async.AsyncMethodCallback;

/** AsyncProgram is the program under test with an asynchronous handler, which answers from another thread. */
final class AsyncProgram implements Billing.AsyncIface {
    private final Program program;
    private final ExecutorService pool =
            Skerry.wrap(
                    Executors.newFixedThreadPool(
                            4,
                            task -> {
                                Thread thread = new Thread(task);
                                thread.setDaemon(true);
                                return thread;
                            }));

    AsyncProgram(Endpoint proxy) {
        program = new Program(proxy);
    }

    private <T> void answer(AsyncMethodCallback<T> callback, Callable<T> call) {
        pool.execute(
                () -> {
                    try {
                        callback.onComplete(call.call());
                    } catch (Exception e) {
                        callback.onError(e);
                    }
                });
    }

    @Override
    public void name(AsyncMethodCallback<String> callback) {
        answer(callback, program::name);
    }

    @Override
    public void charge(String carrier, String token, AsyncMethodCallback<String> callback) {
        answer(callback, () -> program.charge(carrier, token));
    }

    @Override
    public void remaining(AsyncMethodCallback<Long> callback) {
        answer(callback, program::remaining);
    }

    @Override
    public void later(String token, AsyncMethodCallback<Void> callback) {
        answer(
                callback,
                () -> {
                    program.later(token);
                    return null;
                });
    }

    @Override
    public void fail(String how, AsyncMethodCallback<String> callback) {
        answer(callback, () -> program.fail(how));
    }
}
