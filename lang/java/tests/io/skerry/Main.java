package io.skerry;

import billing.Billing;
import org.apache.thrift.TProcessor;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;

/** Main serves Billing at a port, for the tests beside a real proxy. It ends with its standard input. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        TProcessor processor = new Billing.Processor<Billing.Iface>(new Program(Endpoint.standard()));
        TThreadPoolServer.Args args =
                new TThreadPoolServer.Args(new TServerSocket(Integer.parseInt(arguments[0])))
                        .processor(Skerry.processor(processor))
                        .transportFactory(Stock.framedFactory())
                        .protocolFactory(new TBinaryProtocol.Factory());
        Thread server = new Thread(new TThreadPoolServer(args)::serve, "server");
        server.setDaemon(true);
        server.start();
        System.in.read();
    }
}
