import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import matrix.Colour;
import matrix.Denied;
import matrix.Everything;
import matrix.Leaf;
import matrix.Matrix;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;
import org.apache.thrift.protocol.TMultiplexedProtocol;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolUtil;
import org.apache.thrift.protocol.TStruct;
import org.apache.thrift.protocol.TType;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;
import org.apache.thrift.transport.layered.TFramedTransport;

/** Calls every service by every protocol with the stock client of Java, over TCP with a token; see client.py. */
final class Client {
    private static String host;
    private static int port;
    private static String token;
    private static byte[] blob;
    private static Everything value;

    private Client() {}

    interface Calls {
        void run(Matrix.Client client) throws Exception;
    }

    interface Job {
        void run() throws Exception;
    }

    /** Runs calls on a connection of its own. */
    private static void connected(String kind, String service, Calls calls) throws Exception {
        TTransport socket = new TSocket(host, port, 30000);
        try (TTransport transport = kind.startsWith("framed") ? new TFramedTransport(socket) : socket) {
            transport.open();
            TProtocol protocol = kind.endsWith("compact") ? new TCompactProtocol(transport) : new TBinaryProtocol(transport);
            login(protocol);
            calls.run(new Matrix.Client(new TMultiplexedProtocol(protocol, service)));
        }
    }

    private static void login(TProtocol protocol) throws TException {
        protocol.writeMessageBegin(new TMessage("skerry.login", TMessageType.CALL, 0));
        protocol.writeStructBegin(new TStruct("login_args"));
        protocol.writeFieldBegin(new TField("token", TType.STRING, (short) 1));
        protocol.writeString(token);
        protocol.writeFieldEnd();
        protocol.writeFieldStop();
        protocol.writeStructEnd();
        protocol.writeMessageEnd();
        protocol.getTransport().flush();
        TMessage reply = protocol.readMessageBegin();
        if (reply.type == TMessageType.EXCEPTION) {
            throw TApplicationException.readFrom(protocol);
        }
        TProtocolUtil.skip(protocol, TType.STRUCT);
        protocol.readMessageEnd();
    }

    private static void equal(Object got, Object want) {
        if (!got.equals(want)) {
            throw new AssertionError("got " + got + ", want " + want);
        }
    }

    private static <T extends Throwable> T thrown(Class<T> kind, Job call) throws Exception {
        try {
            call.run();
        } catch (Exception e) {
            if (kind.isInstance(e)) {
                return kind.cast(e);
            }
            throw e;
        }
        throw new AssertionError("no " + kind.getSimpleName());
    }

    private static void pair(String kind, String service, String marks) throws Exception {
        connected(kind, service, client -> {
            equal(client.name(), service);
            equal(client.mirror(value), value);
            equal(client.table(new HashMap<>()), new HashMap<>());
            Map<String, List<Long>> table = new HashMap<>();
            table.put("empty", Collections.emptyList());
            table.put("full", Arrays.asList(1L, -(1L << 40)));
            equal(client.table(table), table);
            Denied denied = thrown(Denied.class, () -> client.deny("no"));
            equal(denied, new Denied("no", 403));
            thrown(TApplicationException.class, () -> client.fail("as asked for"));
            String text = "java " + kind;
            client.note(text);
            long until = System.nanoTime() + 10_000_000_000L;
            while (!client.noted(text)) {
                equal(System.nanoTime() < until, true);
            }
            if (!marks.contains("~")) {
                equal(client.flags(Arrays.asList(true, false, true)), Arrays.asList(true, false, true));
            }
            if (marks.contains("!")) {
                equal(client.blob(ByteBuffer.wrap(blob)), ByteBuffer.wrap(blob));
            }
        });
        connected(kind, service, client -> equal(client.name(), service));
    }

    private static void threads(String kind, List<String> services) throws Exception {
        ConcurrentLinkedQueue<String> failed = new ConcurrentLinkedQueue<>();
        Thread[] threads = new Thread[16];
        for (int t = 0; t < threads.length; t++) {
            int number = t;
            threads[t] = new Thread(() -> {
                for (int i = 0; i < services.size(); i++) {
                    String service = services.get((number + i) % services.size());
                    try {
                        connected(kind, service, client -> {
                            for (long j = 0; j < 3; j++) {
                                Map<String, List<Long>> table =
                                        Collections.singletonMap(number + " " + j, Arrays.asList((long) number, j));
                                equal(client.table(table), table);
                            }
                        });
                    } catch (Exception | AssertionError e) {
                        failed.add(service + ": " + e);
                        return;
                    }
                }
            });
            threads[t].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        equal(failed.toString(), "[]");
    }

    private static void report(String kind, String what, Job job) {
        try {
            job.run();
            System.out.println("ok " + kind + " " + what);
        } catch (Exception | AssertionError e) {
            String text = e.toString().replace('\n', ' ');
            System.out.println("FAIL " + kind + " " + what + ": " + text.substring(0, Math.min(500, text.length())));
        }
    }

    private static void prepare() {
        blob = new byte[5 << 20];
        new Random(1).nextBytes(blob);
        byte[] bytes = new byte[256];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) i;
        }
        value = new Everything();
        value.setYes(true).setNo(false).setSmall((byte) -5).setNumber(1 << 30).setBig(-(1L << 62)).setReal(-2.5);
        value.setText("gr\u00fc\u00df \u4f60\u597d").setData(bytes).setNumbers(Arrays.asList(0, -1, 70000));
        value.setMiddle((short) -300).setWords(new HashSet<>(Arrays.asList("a", "b"))).setNothing(new HashMap<>());
        Map<String, Long> counts = new HashMap<>();
        counts.put("one", 1L);
        counts.put("many", 1L << 40);
        Map<Integer, List<Leaf>> nested = new HashMap<>();
        nested.put(-1, Collections.emptyList());
        nested.put(5, Arrays.asList(new Leaf("x", 1)));
        value.setCounts(counts).setLeaves(Arrays.asList(new Leaf("", 0), new Leaf("l", -9))).setNested(nested);
        value.setColour(Colour.GREEN).setFar(12);
    }

    public static void main(String[] args) {
        int colon = args[0].lastIndexOf(':');
        host = args[0].substring(0, colon);
        port = Integer.parseInt(args[0].substring(colon + 1));
        token = System.getenv("MATRIX_TOKEN");
        prepare();
        for (String job : Arrays.asList(args).subList(1, args.length)) {
            String kind = job.substring(0, job.indexOf('='));
            String list = job.substring(kind.length() + 1);
            for (String named : list.split(",")) {
                String service = named.replaceAll("[!~]", "");
                report(kind, service, () -> pair(kind, service, named.substring(service.length())));
            }
            List<String> services = Arrays.asList(list.replaceAll("[!~]", "").split(","));
            report(kind, "threads", () -> threads(kind, services));
        }
    }
}
