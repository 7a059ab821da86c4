import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import matrix.Denied;
import matrix.Everything;
import matrix.Matrix;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.server.TServer;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.server.TThreadedSelectorServer;
import org.apache.thrift.transport.TNonblockingServerSocket;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TTransportFactory;
import org.apache.thrift.transport.layered.TFramedTransport;

/** Serves Matrix with the stock library of Java: Server NAME=PORT..., where NAME is such as java-framed-binary. */
final class Server {
    private Server() {}

    private static final class Handler implements Matrix.Iface {
        private final String name;
        private final Set<String> notes = ConcurrentHashMap.newKeySet();

        Handler(String name) {
            this.name = name;
        }

        @Override
        public String name() {
            return name;
        }

        @Override
        public Everything mirror(Everything value) {
            return value;
        }

        @Override
        public ByteBuffer blob(ByteBuffer data) {
            return data;
        }

        @Override
        public Map<String, List<Long>> table(Map<String, List<Long>> table) {
            return table;
        }

        @Override
        public List<Boolean> flags(List<Boolean> flags) {
            return flags;
        }

        @Override
        public String deny(String reason) throws Denied {
            throw new Denied(reason, 403);
        }

        @Override
        public String fail(String text) {
            throw new IllegalStateException(text);
        }

        @Override
        public void note(String text) {
            notes.add(text);
        }

        @Override
        public boolean noted(String text) {
            return notes.contains(text);
        }
    }

    /** Each protocol on another kind of server: non-blocking ones take frames only. */
    private static TServer build(String name, int port) throws Exception {
        Matrix.Processor<Handler> processor = new Matrix.Processor<>(new Handler(name));
        TProtocolFactory protocol = name.endsWith("compact") ? new TCompactProtocol.Factory() : new TBinaryProtocol.Factory();
        InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
        if (name.endsWith("-framed-binary")) {
            return new TThreadedSelectorServer(new TThreadedSelectorServer.Args(new TNonblockingServerSocket(address))
                    .processor(processor).protocolFactory(protocol));
        }
        return new TThreadPoolServer(new TThreadPoolServer.Args(new TServerSocket(address))
                .processor(processor).protocolFactory(protocol)
                .transportFactory(name.contains("-framed") ? new TFramedTransport.Factory() : new TTransportFactory()));
    }

    public static void main(String[] args) throws Exception {
        for (String pair : args) {
            String[] parts = pair.split("=");
            TServer server = build(parts[0], Integer.parseInt(parts[1]));
            Thread thread = new Thread(server::serve, parts[0]);
            thread.setDaemon(true);
            thread.start();
        }
        System.in.read();
        System.exit(0);
    }
}
