package io.skerry;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.TAsyncProcessor;
import org.apache.thrift.TException;
import org.apache.thrift.TProcessor;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolUtil;
import org.apache.thrift.protocol.TStruct;
import org.apache.thrift.protocol.TType;
import org.apache.thrift.server.AbstractNonblockingServer.AsyncFrameBuffer;

/**
 * Processors makes processors that serve each message in its context.
 *
 * <p>process returns boolean up to libthrift 0.12 and nothing from 0.13. So that one jar serves both, the processors
 * are dynamic proxies, and what they wrap is called by a method handle.
 */
final class Processors {
    static final String HELPER = "skerry.helper";
    private static final Logger LOG = Logger.getLogger("io.skerry");
    private static final MethodHandle PROCESS = handle(TProcessor.class, TProtocol.class, TProtocol.class);
    private static final MethodHandle PROCESS_FRAME = handle(TAsyncProcessor.class, AsyncFrameBuffer.class);

    private Processors() {}

    /** Finds process of a type, and makes it return nothing. */
    private static MethodHandle handle(Class<?> type, Class<?>... arguments) {
        try {
            Method process = type.getMethod("process", arguments);
            return MethodHandles.publicLookup()
                    .unreflect(process)
                    .asType(MethodType.methodType(void.class, type, arguments));
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("this libthrift has no known " + type.getName() + ".process", e);
        }
    }

    static TProcessor around(TProcessor inner) {
        boolean async = inner instanceof TAsyncProcessor;
        Class<?>[] types =
                async ? new Class<?>[] {TProcessor.class, TAsyncProcessor.class} : new Class<?>[] {TProcessor.class};
        InvocationHandler handler =
                (self, method, arguments) -> {
                    if (!method.getName().equals("process")) {
                        return ofObject(self, inner, method, arguments);
                    }
                    if (arguments.length == 2) {
                        process(inner, (TProtocol) arguments[0], (TProtocol) arguments[1]);
                    } else {
                        process((TAsyncProcessor) inner, (AsyncFrameBuffer) arguments[0]);
                    }
                    return method.getReturnType() == boolean.class ? Boolean.TRUE : null;
                };
        return (TProcessor) Proxy.newProxyInstance(Processors.class.getClassLoader(), types, handler);
    }

    private static Object ofObject(Object self, Object inner, Method method, Object[] arguments) throws Throwable {
        switch (method.getName()) {
            case "equals":
                return self == arguments[0];
            case "hashCode":
                return System.identityHashCode(self);
            default:
                try {
                    return method.invoke(inner, arguments);
                } catch (InvocationTargetException e) {
                    throw e.getCause();
                }
        }
    }

    private static void process(TProcessor inner, TProtocol in, TProtocol out) throws Throwable {
        IncomingProtocol incoming = in instanceof IncomingProtocol ? (IncomingProtocol) in : new IncomingProtocol(in);
        TMessage message = incoming.next();
        if (message.name.equals(HELPER)) {
            introduce(incoming, out, message, true);
            return;
        }
        OutgoingReply reply = new OutgoingReply(out);
        Context before = Context.set(incoming.context);
        try {
            PROCESS.invokeExact(inner, (TProtocol) incoming, (TProtocol) reply);
        } catch (Exception e) {
            if (reply.begun || !incoming.argumentsRead) {
                throw e; // the connection is at fault, or the message: only its end is left
            }
            apologise(out, message, e);
        } finally {
            Context.set(before);
        }
    }

    private static void process(TAsyncProcessor inner, AsyncFrameBuffer frame) throws Throwable {
        if (!(frame.getInputProtocol() instanceof IncomingProtocol)) {
            throw new IllegalStateException(
                    "a server with an asynchronous processor needs Skerry.protocolFactory as inputProtocolFactory");
        }
        IncomingProtocol incoming = (IncomingProtocol) frame.getInputProtocol();
        TMessage message = incoming.next();
        if (message.name.equals(HELPER)) {
            introduce(incoming, frame.getOutputProtocol(), message, false);
            frame.responseReady();
            return;
        }
        Context before = Context.set(incoming.context);
        try {
            PROCESS_FRAME.invokeExact(inner, frame);
        } finally {
            Context.set(before);
        }
    }

    /** Answers the proxy's question; ordered says that a connection's calls end before the next one begins. */
    private static void introduce(TProtocol in, TProtocol out, TMessage message, boolean ordered) throws TException {
        in.readMessageBegin();
        TProtocolUtil.skip(in, TType.STRUCT);
        in.readMessageEnd();
        out.writeMessageBegin(new TMessage(HELPER, TMessageType.REPLY, message.seqid));
        out.writeStructBegin(new TStruct("helper_result"));
        out.writeFieldBegin(new TField("name", TType.STRING, (short) 1));
        out.writeString(Skerry.VERSION);
        out.writeFieldEnd();
        out.writeFieldBegin(new TField("ordered", TType.BOOL, (short) 2));
        out.writeBool(ordered);
        out.writeFieldEnd();
        out.writeFieldStop();
        out.writeStructEnd();
        out.writeMessageEnd();
        out.getTransport().flush();
    }

    /** Answers a call whose handler failed. Stock code would close the connection. */
    private static void apologise(TProtocol out, TMessage message, Exception e) throws TException {
        String method = message.name.substring(message.name.lastIndexOf(':') + 1);
        LOG.log(Level.WARNING, "an exception left the handler of " + method, e);
        if (message.type == TMessageType.ONEWAY) {
            return;
        }
        String text = "Internal error processing " + method + ": " + e;
        out.writeMessageBegin(new TMessage(method, TMessageType.EXCEPTION, message.seqid));
        new TApplicationException(TApplicationException.INTERNAL_ERROR, text.substring(0, Math.min(600, text.length())))
                .write(out);
        out.writeMessageEnd();
        out.getTransport().flush();
    }
}
