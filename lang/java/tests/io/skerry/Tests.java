package io.skerry;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;

/** Tests runs the helper's tests on the library of the class path, and prints how many passed. */
public final class Tests {

    private int passed;
    private int failed;
    final Path folder;

    private Tests(Path folder) {
        this.folder = folder;
    }

    /** Body is a test. */
    interface Body {
        void run() throws Exception;
    }

    void run(String name, Body body) {
        try {
            body.run();
            passed++;
        } catch (Exception | AssertionError e) {
            failed++;
            System.err.println("FAILED " + name);
            e.printStackTrace();
        }
    }

    static void equal(Object expected, Object got) {
        if (!Objects.equals(expected, got)) {
            throw new AssertionError("expected <" + expected + ">, got <" + got + ">");
        }
    }

    static void isTrue(boolean condition, Object about) {
        if (!condition) {
            throw new AssertionError(about);
        }
    }

    /** Runs body, which must throw type, and returns the exception. */
    static <E extends Exception> E thrown(Class<E> type, Body body) {
        try {
            body.run();
        } catch (Exception e) {
            if (type.isInstance(e)) {
                return type.cast(e);
            }
            throw new AssertionError("expected a " + type.getName(), e);
        }
        throw new AssertionError("expected a " + type.getName() + ", nothing was thrown");
    }

    StandIn proxy() throws Exception {
        return new StandIn(folder.resolve("proxy.sock"), null);
    }

    /** Runs tasks side by side, and throws the first failure. */
    static void together(List<Body> tasks) throws Exception {
        List<Throwable> failures = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (Body task : tasks) {
            Thread thread =
                    new Thread(
                            () -> {
                                try {
                                    task.run();
                                } catch (Throwable e) {
                                    synchronized (failures) {
                                        failures.add(e);
                                    }
                                }
                            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join(60_000);
        }
        if (!failures.isEmpty()) {
            throw new AssertionError(failures.size() + " failed, the first with", failures.get(0));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createTempDirectory("skerry-java-");
        Tests tests = new Tests(folder);
        try {
            ServerTests.run(tests);
            ContextTests.run(tests);
            ConnectionTests.run(tests);
        } finally {
            try (var files = Files.walk(folder)) {
                files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
        System.out.println(tests.passed + " passed, " + tests.failed + " failed");
        System.exit(tests.failed == 0 ? 0 : 1);
    }
}
