// A Thrift service that greets: server.js PORT.
const thrift = require("thrift");
const Hello = require("./gen/Hello");

const greeter = { greet: async (name) => "hello " + name };
const options = { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol };
thrift.createServer(Hello, greeter, options).listen(Number(process.argv[2]));
