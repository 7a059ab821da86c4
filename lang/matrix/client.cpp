// Calls every service by every protocol with the stock client of C++; see client.py.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/protocol/TMultiplexedProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

#include "Matrix.h"

using namespace apache::thrift;
using namespace apache::thrift::protocol;
using namespace apache::thrift::transport;
using matrix::Everything;
using matrix::Leaf;
using matrix::MatrixClient;
typedef std::map<std::string, std::vector<int64_t>> Table;

static std::string address, blob;
static Everything value;

static void hold(bool condition, const std::string& what) {
  if (!condition) {
    throw std::logic_error("not so: " + what);
  }
}

static void connected(const std::string& kind, const std::string& service, std::function<void(MatrixClient&)> run) {
  auto socket = std::make_shared<TSocket>(address);
  socket->setRecvTimeout(30000);
  std::shared_ptr<TTransport> transport = std::make_shared<TBufferedTransport>(socket);
  if (kind.find("framed") == 0) {
    transport = std::make_shared<TFramedTransport>(socket);
  }
  std::shared_ptr<TProtocol> protocol;
  if (kind == "header") {
    protocol = std::make_shared<THeaderProtocol>(transport);
  } else if (kind.find("compact") != std::string::npos) {
    protocol = std::make_shared<TCompactProtocol>(transport);
  } else {
    protocol = std::make_shared<TBinaryProtocol>(transport);
  }
  transport->open();
  MatrixClient client(std::make_shared<TMultiplexedProtocol>(protocol, service));
  run(client);
  transport->close();
}

static Leaf leaf(const std::string& name, int64_t weight) {
  Leaf made;
  made.name = name;
  made.weight = weight;
  return made;
}

static void prepare() {
  std::mt19937 random(1);
  for (int i = 0; i < 5 << 20; i++) {
    blob.push_back(static_cast<char>(random()));
  }
  value.yes = true;
  value.no = false;
  value.small = -5;
  value.__set_middle(-300);
  value.number = 1 << 30;
  value.big = -(int64_t(1) << 62);
  value.real = -2.5;
  value.text = "gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0\xe5\xa5\xbd";
  for (int i = 0; i < 256; i++) {
    value.data.push_back(static_cast<char>(i));
  }
  value.numbers = {0, -1, 70000};
  value.words = {"a", "b"};
  value.counts = {{"one", 1}, {"many", int64_t(1) << 40}};
  value.leaves = {leaf("", 0), leaf("l", -9)};
  value.colour = matrix::Colour::GREEN;
  value.nested = {{-1, {}}, {5, {leaf("x", 1)}}};
  value.far = 12;
}

static void pair(const std::string& kind, const std::string& service, const std::string& marks) {
  connected(kind, service, [&](MatrixClient& client) {
    std::string text;
    client.name(text);
    hold(text == service, "name is " + text);
    Everything mirrored;
    client.mirror(mirrored, value);
    std::ostringstream got;
    got << mirrored;
    hold(mirrored == value, "mirrored: " + got.str());
    Table table;
    client.table(table, {});
    hold(table.empty(), "an empty map stays empty");
    const Table full = {{"empty", {}}, {"full", {1, -(int64_t(1) << 40)}}};
    client.table(table, full);
    hold(table == full, "the table");
    try {
      client.deny(text, "no");
      hold(false, "denied");
    } catch (const matrix::Denied& denied) {
      hold(denied.reason == "no" && denied.code == 403, "the exception's fields");
    }
    try {
      client.fail(text, "as asked for");
      hold(false, "failed");
    } catch (const TApplicationException&) {
    }
    const std::string note = "cpp " + kind;
    client.note(note);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!client.noted(note)) {
      hold(std::chrono::steady_clock::now() < until, "noted");
    }
    if (marks.find('~') == std::string::npos) {
      std::vector<bool> flags;
      client.flags(flags, {true, false, true});
      hold(flags == std::vector<bool>({true, false, true}), "the flags");
    }
    if (marks.find('!') != std::string::npos) {
      client.blob(text, blob);
      hold(text == blob, "the blob");
    }
  });
  connected(kind, service, [&](MatrixClient& client) {
    std::string text;
    client.name(text);
    hold(text == service, "name on the next connection is " + text);
  });
}

static void threads(const std::string& kind, const std::vector<std::string>& services) {
  std::mutex mutex;
  std::string failed;
  std::vector<std::thread> running;
  for (int number = 0; number < 16; number++) {
    running.emplace_back([&, number] {
      for (size_t i = 0; i < services.size(); i++) {
        const std::string& service = services[(number + i) % services.size()];
        try {
          connected(kind, service, [&](MatrixClient& client) {
            for (int j = 0; j < 3; j++) {
              const Table sent = {{std::to_string(number) + " " + std::to_string(j), {number, j}}};
              Table table;
              client.table(table, sent);
              hold(table == sent, "the answer is that of the call");
            }
          });
        } catch (const std::exception& e) {
          std::lock_guard<std::mutex> lock(mutex);
          failed = service + ": " + e.what();
          return;
        }
      }
    });
  }
  for (auto& thread : running) {
    thread.join();
  }
  hold(failed.empty(), failed);
}

static void report(const std::string& kind, const std::string& what, std::function<void()> run) {
  try {
    run();
    std::printf("ok %s %s\n", kind.c_str(), what.c_str());
  } catch (const std::exception& e) {
    std::string text = std::string(e.what()).substr(0, 500);
    std::replace(text.begin(), text.end(), '\n', ' ');
    std::printf("FAIL %s %s: %s\n", kind.c_str(), what.c_str(), text.c_str());
  }
  std::fflush(stdout);
}

int main(int argc, char** argv) {
  address = argv[1];
  prepare();
  for (int i = 2; i < argc; i++) {
    const std::string job = argv[i];
    const std::string kind = job.substr(0, job.find('='));
    std::istringstream list(job.substr(kind.size() + 1));
    std::vector<std::string> services;
    for (std::string named; std::getline(list, named, ',');) {
      const std::string service = named.substr(0, named.find_first_of("!~"));
      services.push_back(service);
      report(kind, service, [&] { pair(kind, service, named.substr(service.size())); });
    }
    report(kind, "threads", [&] { threads(kind, services); });
  }
}
