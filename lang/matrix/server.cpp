// Serves Matrix with the stock library of C++: server NAME=PORT..., where NAME is such as cpp-framed-binary.
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include <unistd.h>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>

#include "Matrix.h"

using namespace apache::thrift;
using namespace apache::thrift::protocol;
using namespace apache::thrift::transport;

class Handler : public matrix::MatrixIf {
 public:
  explicit Handler(const std::string& name) : name_(name) {}

  void name(std::string& result) override { result = name_; }
  void mirror(matrix::Everything& result, const matrix::Everything& value) override { result = value; }
  void blob(std::string& result, const std::string& data) override { result = data; }
  void table(std::map<std::string, std::vector<int64_t>>& result,
             const std::map<std::string, std::vector<int64_t>>& table) override {
    result = table;
  }
  void flags(std::vector<bool>& result, const std::vector<bool>& flags) override { result = flags; }
  void deny(std::string&, const std::string& reason) override {
    matrix::Denied denied;
    denied.reason = reason;
    denied.code = 403;
    throw denied;
  }
  void fail(std::string&, const std::string& text) override { throw std::runtime_error(text); }
  void note(const std::string& text) override {
    std::lock_guard<std::mutex> lock(mutex_);
    notes_.insert(text);
  }
  bool noted(const std::string& text) override {
    std::lock_guard<std::mutex> lock(mutex_);
    return notes_.count(text) != 0;
  }

 private:
  const std::string name_;
  std::mutex mutex_;
  std::set<std::string> notes_;
};

static void serve(const std::string& name, int port) {
  auto processor = std::make_shared<matrix::MatrixProcessor>(std::make_shared<Handler>(name));
  auto socket = std::make_shared<TServerSocket>("127.0.0.1", port);
  const std::string kind = name.substr(name.find('-') + 1);
  std::shared_ptr<TTransportFactory> transports = std::make_shared<TBufferedTransportFactory>();
  if (kind.find("framed") == 0) {
    transports = std::make_shared<TFramedTransportFactory>();
  }
  std::shared_ptr<TProtocolFactory> protocols = std::make_shared<TBinaryProtocolFactory>();
  if (kind == "header") {
    protocols = std::make_shared<THeaderProtocolFactory>();
  } else if (kind.find("compact") != std::string::npos) {
    protocols = std::make_shared<TCompactProtocolFactory>();
  }
  server::TThreadedServer(processor, socket, transports, protocols).serve();
}

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    const std::string pair = argv[i];
    const size_t at = pair.find('=');
    std::thread(serve, pair.substr(0, at), std::atoi(pair.c_str() + at + 1)).detach();
  }
  char end;
  _exit(read(0, &end, 1) < 0 ? 1 : 0);
}
