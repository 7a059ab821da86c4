import io.skerry.Skerry;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.thrift.TException;
import org.apache.thrift.TProcessor;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import polyglot.Answer;
import polyglot.Auth;
import polyglot.DB;
import polyglot.Denied;
import polyglot.Met;

/** Auth, in Java: gives tokens that only its own version takes. AuthProgram NAME VERSION PORT. */
public final class AuthProgram implements Auth.Iface {
    private final DB.Iface db = Skerry.connect(DB.Iface.class, "db");
    private final String name;
    private final String version;

    private AuthProgram(String name, String version) {
        this.name = name;
        this.version = version;
    }

    @Override
    public Answer getToken(String request, String user) throws TException {
        begin(request, "getToken");
        Answer known = db.fullName(request, user);
        return answer(known.text + " by Auth " + version, known.met);
    }

    @Override
    public Answer verify(String request, String token) throws Denied {
        begin(request, "verify");
        if (!token.endsWith(" by Auth " + version)) {
            throw new Denied("Auth " + version + " takes no token of another version: " + token);
        }
        return answer(token, Collections.emptyList());
    }

    private static void begin(String request, String method) {
        System.out.println(System.currentTimeMillis() + " " + request + " " + method);
    }

    private Answer answer(String text, List<Met> met) {
        List<Met> all = new ArrayList<>();
        all.add(new Met("auth", version, name));
        all.addAll(met);
        return new Answer(text, all);
    }

    public static void main(String[] args) throws TException {
        TProcessor stock = new Auth.Processor<>(new AuthProgram(args[0], args[1]));
        TProcessor processor = System.getenv("WITHOUT_HELPER") == null ? Skerry.processor(stock) : stock;
        new TThreadPoolServer(new TThreadPoolServer.Args(new TServerSocket(Integer.parseInt(args[2])))
                .maxWorkerThreads(32).processor(processor)).serve();
    }
}
