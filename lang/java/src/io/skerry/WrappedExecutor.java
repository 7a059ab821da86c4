package io.skerry;

import java.util.List;
import java.util.concurrent.AbstractExecutorService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.TimeUnit;

/** WrappedExecutor hands each task on with the context of the thread that brought it. */
final class WrappedExecutor extends AbstractExecutorService {
    private final ExecutorService inner;

    WrappedExecutor(ExecutorService inner) {
        this.inner = inner;
    }

    @Override
    public void execute(Runnable task) {
        inner.execute(Skerry.wrap(task));
    }

    @Override
    public void shutdown() {
        inner.shutdown();
    }

    @Override
    public List<Runnable> shutdownNow() {
        return inner.shutdownNow();
    }

    @Override
    public boolean isShutdown() {
        return inner.isShutdown();
    }

    @Override
    public boolean isTerminated() {
        return inner.isTerminated();
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) throws InterruptedException {
        return inner.awaitTermination(timeout, unit);
    }
}
