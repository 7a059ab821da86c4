package io.skerry;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Context is the word of a request, and its deadline on the clock of System.nanoTime. */
final class Context {
    private static final ThreadLocal<Context> CURRENT = new ThreadLocal<>();
    private static final Pattern NAME = Pattern.compile("ctx=([A-Za-z0-9_-]{1,24})(?:\\.([0-9]{1,12}))?;");
    private static final long NONE = Long.MIN_VALUE;

    final String word;
    private final long deadline;

    private Context(String word, long deadline) {
        this.word = word;
        this.deadline = deadline;
    }

    static Context current() {
        return CURRENT.get();
    }

    /** Makes context the thread's, and returns the one before. A pool's thread keeps nothing of a request. */
    static Context set(Context context) {
        Context before = CURRENT.get();
        if (context == null) {
            CURRENT.remove();
        } else {
            CURRENT.set(context);
        }
        return before;
    }

    boolean hasDeadline() {
        return deadline != NONE;
    }

    long nanosLeft() {
        return deadline - System.nanoTime();
    }

    /** Named is a message's name without the context that stood before it. */
    static final class Named {
        final Context context;
        final String name;

        Named(Context context, String name) {
            this.context = context;
            this.name = name;
        }
    }

    /** Splits ctx=WORD.MS;method into the context and the method. Other names stay as they are. */
    static Named split(String name) {
        if (!name.startsWith("ctx=")) {
            return new Named(null, name);
        }
        Matcher found = NAME.matcher(name);
        if (!found.lookingAt()) {
            return new Named(null, name);
        }
        String left = found.group(2);
        long deadline = left == null ? NONE : System.nanoTime() + 1_000_000L * Long.parseLong(left);
        return new Named(new Context(found.group(1), deadline), name.substring(found.end()));
    }

    /** For tests: a context as a message's name brings it. */
    static Context of(String text) {
        return split("ctx=" + text + ";").context;
    }
}
