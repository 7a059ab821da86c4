// DB, in C++: keeps records, and lets Auth verify who reads them. db NAME VERSION PORT.
#include <skerry.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>

#include "Auth.h"
#include "DB.h"

using namespace apache::thrift;
using namespace polyglot;

struct Handler : DBIf {
  skerry::Pool<AuthClient> auth{"auth"};
  Met self;

  void fullName(Answer& answer, const std::string& request, const std::string& user) override {
    begin(request, "fullName");
    answer.text = user == "alice" ? "Alice Smith" : user;
    answer.met.push_back(self);
  }

  void read(Answer& answer, const std::string& request, const std::string& token, const std::string& key) override {
    begin(request, "read");
    auth.call([&](AuthClient& client) { client.verify(answer, request, token); });
    answer.text = key == "pump-1" ? "pressure 4.1 bar, valve open" : "nothing";
    answer.met.insert(answer.met.begin(), self);
  }

  static void begin(const std::string& request, const char* method) {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    long long millis = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    std::printf("%lld %s %s\n", millis, request.c_str(), method);
  }
};

int main(int, char** args) {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  auto handler = std::make_shared<Handler>();
  handler->self.callee = "db";
  handler->self.program = args[1];
  handler->self.version = args[2];
  std::shared_ptr<TProcessor> processor = std::make_shared<DBProcessor>(handler);
  if (!std::getenv("WITHOUT_HELPER")) processor = skerry::processor(processor);
  server::TThreadedServer(processor, std::make_shared<transport::TServerSocket>("127.0.0.1", std::atoi(args[3])),
                          std::make_shared<transport::TFramedTransportFactory>(),
                          std::make_shared<protocol::TCompactProtocolFactory>()).serve();
}
