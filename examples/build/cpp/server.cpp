// A Thrift service that greets: hello PORT.
#include <cstdlib>
#include <memory>
#include <string>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>

#include "Hello.h"

using namespace apache::thrift;

class Greeter : public hello::HelloIf {
  void greet(std::string& answer, const std::string& name) override { answer = "hello " + name; }
};

int main(int, char** argv) {
  server::TThreadedServer(std::make_shared<hello::HelloProcessor>(std::make_shared<Greeter>()),
                          std::make_shared<transport::TServerSocket>(std::atoi(argv[1])),
                          std::make_shared<transport::TFramedTransportFactory>(),
                          std::make_shared<protocol::TBinaryProtocolFactory>())
      .serve();
}
