// What the tests of the helper share: checks, a stand-in for `skerry proxy`, a provider, and calls to it.
#ifndef SUPPORT_HPP
#define SUPPORT_HPP

#include "../skerry.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <map>
#include <sstream>

#include <signal.h>
#include <sys/wait.h>

#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/processor/TMultiplexedProcessor.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/server/TSimpleServer.h>
#include <thrift/server/TThreadPoolServer.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TNonblockingServerSocket.h>
#include <thrift/transport/TServerSocket.h>
#include <thrift/transport/TSocket.h>

#include "Auth.h"
#include "Billing.h"

namespace test {

using namespace apache::thrift;
using namespace apache::thrift::concurrency;
using namespace apache::thrift::protocol;
using namespace apache::thrift::server;
using namespace apache::thrift::transport;

inline void fail(const std::string& what, const char* file, int line) {
  std::ostringstream text;
  text << file << ":" << line << ": " << what;
  throw std::logic_error(text.str());
}

#define CHECK(condition) \
  do { \
    if (!(condition)) test::fail("not so: " #condition, __FILE__, __LINE__); \
  } while (0)

template <class A, class B> void equal(const A& got, const B& want, const char* file, int line) {
  if (!(got == want)) {
    std::ostringstream text;
    text << "got " << got << ", want " << want;
    fail(text.str(), file, line);
  }
}

#define EQUAL(got, want) test::equal(got, want, __FILE__, __LINE__)

inline void pause(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

template <class F> void eventually(F done, const char* file, int line) {
  for (int i = 0; i < 1000; i++) {
    if (done()) {
      return;
    }
    pause(5);
  }
  fail("not within 5 s", file, line);
}

#define EVENTUALLY(condition) test::eventually([&] { return (condition); }, __FILE__, __LINE__)

inline std::string freshPath() {
  static std::atomic<int> count(0);
  const char* dir = std::getenv("SKERRY_TEST_DIR");
  return std::string(dir != nullptr ? dir : "/tmp") + "/" + std::to_string(getpid()) + "-" + std::to_string(++count) +
         ".sock";
}

// Seen is the message names that a stand-in got.
class Seen {
public:
  void add(const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex_);
    names_.push_back(name);
  }
  bool has(const std::string& name) const {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }
  std::size_t size() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return names_.size();
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> names_;
};

// StandIn answers Auth's methods by the names that `skerry proxy` understands: verify returns the word.
class StandIn : public TProcessor {
public:
  explicit StandIn(const std::string& token = "") : token_(token) {}

  bool process(std::shared_ptr<TProtocol> in, std::shared_ptr<TProtocol> out, void*) override {
    std::string name;
    TMessageType type;
    int32_t seqid;
    in->readMessageBegin(name, type, seqid);
    std::string text = readText(*in);
    seen.add(name);
    if (name == "skerry.login") {
      return login(*out, text, seqid);
    }
    const std::size_t semicolon = name.compare(0, 4, "ctx=") == 0 ? name.find(';') : std::string::npos;
    const std::string word = semicolon == std::string::npos ? "none" : name.substr(4, semicolon - 4);
    const std::string method = name.substr(name.rfind(':') + 1);
    if (name == "ctx=" + word + ";skerry.sent") {
      return sent(*out, seqid); // in the order of the connection, as the proxy does
    }
    if (text == "slow") {
      pause(300);
    }
    if (text == "never") {
      pause(2000);
    }
    if (type != T_ONEWAY) {
      answer(*out, method, text, word, seqid);
    } else {
      passedOn++;
    }
    return true;
  }

  Seen seen;
  std::atomic<int> passedOn{0}; // one-way calls
  std::string onSent;           // how skerry.sent is answered: "unknown", "never" or "end", else as by the proxy

private:
  static std::string readText(TProtocol& in) {
    std::string text, name;
    TType type;
    int16_t id;
    in.readStructBegin(name);
    for (;;) {
      in.readFieldBegin(name, type, id);
      if (type == T_STOP) {
        break;
      }
      if (type == T_STRING && id == 1) {
        in.readString(text);
      } else {
        in.skip(type);
      }
    }
    in.readMessageEnd();
    in.getTransport()->readEnd();
    return text;
  }

  bool sent(TProtocol& out, int32_t seqid) const {
    if (onSent == "unknown") {
      out.writeMessageBegin("skerry.sent", T_EXCEPTION, seqid);
      TApplicationException(TApplicationException::UNKNOWN_METHOD, "unknown").write(&out);
    } else if (onSent.empty()) {
      out.writeMessageBegin("skerry.sent", T_REPLY, seqid);
      out.writeFieldStop();
    } else {
      return onSent == "never";
    }
    out.getTransport()->flush();
    return true;
  }

  bool login(TProtocol& out, const std::string& given, int32_t seqid) {
    if (given == token_) {
      out.writeMessageBegin("skerry.login", T_REPLY, seqid);
      out.writeFieldStop();
      out.getTransport()->flush();
      return true;
    }
    out.writeMessageBegin("skerry.login", T_EXCEPTION, seqid);
    TApplicationException(TApplicationException::INTERNAL_ERROR, "the token is another").write(&out);
    out.getTransport()->flush();
    return false;
  }

  static void answer(TProtocol& out, const std::string& method, const std::string& text, const std::string& word,
                     int32_t seqid) {
    if (text == "overloaded") {
      out.writeMessageBegin(method, T_EXCEPTION, seqid);
      TApplicationException(TApplicationException::INTERNAL_ERROR, "overloaded").write(&out);
    } else {
      out.writeMessageBegin(method, T_REPLY, seqid);
      out.writeFieldBegin("success", T_STRING, 0);
      out.writeString(text == "large" ? std::string(17 << 20, 'x') : word);
      out.writeFieldEnd();
      out.writeFieldStop();
    }
    out.getTransport()->flush();
  }

  const std::string token_;
};

// Running is a server in a thread of its own.
class Running {
public:
  explicit Running(const std::shared_ptr<TServer>& server) : server_(server), thread_([this] { server_->serve(); }) {}
  ~Running() { stop(); }
  void stop() {
    if (thread_.joinable()) {
      server_->stop();
      thread_.join();
    }
  }

private:
  std::shared_ptr<TServer> server_;
  std::thread thread_;
};

struct Proxy {
  explicit Proxy(const std::string& path) : standIn(std::make_shared<StandIn>()) {
    ::unlink(path.c_str());
    listen(std::make_shared<TServerSocket>(path));
  }
  Proxy(const std::string& host, const std::string& token) : standIn(std::make_shared<StandIn>(token)) {
    listen(std::make_shared<TServerSocket>(host, 0));
  }

  void listen(const std::shared_ptr<TServerSocket>& listener) {
    socket = listener;
    socket->listen();
    running.reset(new Running(std::make_shared<TThreadedServer>(
        std::static_pointer_cast<TProcessor>(standIn), Listening::wrap(socket),
        std::make_shared<TFramedTransportFactory>(), std::make_shared<TBinaryProtocolFactory>())));
  }

  // Listening is a listener that listens already: the server's own listen does nothing.
  class Listening : public TServerTransport {
  public:
    static std::shared_ptr<TServerTransport> wrap(const std::shared_ptr<TServerSocket>& inner) {
      return std::shared_ptr<TServerTransport>(new Listening(inner));
    }
    void listen() override {}
    void close() override { inner_->close(); }
    void interrupt() override { inner_->interrupt(); }
    void interruptChildren() override { inner_->interruptChildren(); }

  protected:
    std::shared_ptr<TTransport> acceptImpl() override { return inner_->accept(); }

  private:
    explicit Listening(const std::shared_ptr<TServerSocket>& inner) : inner_(inner) {}
    std::shared_ptr<TServerSocket> inner_;
  };

  std::shared_ptr<StandIn> standIn;
  std::shared_ptr<TServerSocket> socket;
  std::unique_ptr<Running> running;
};

// Handler calls Auth through the pool by the carrier that it is asked for.
class Handler : public BillingIf {
public:
  explicit Handler(const std::string& address) : auth(options(address).first, options(address).second) {}

  static std::pair<std::string, skerry::Options> options(const std::string& address) {
    skerry::Options given;
    given.address = address;
    return std::make_pair(std::string("auth"), given);
  }

  std::string verify(const std::string& token) {
    std::string word;
    auth.call([&](AuthClient& c) { c.verify(word, token); });
    return word;
  }

  void charge(std::string& result, const std::string& carrier, const std::string& token) override {
    pause(5);
    if (carrier == "direct") {
      result = verify(token);
    } else if (carrier == "thread") {
      std::thread(skerry::wrap([&] { result = verify(token); })).join();
    } else if (carrier == "scope") {
      const skerry::Context context = skerry::current();
      std::thread([&] {
        skerry::Scope scope(context);
        result = verify(token);
      }).join();
    } else if (carrier == "bare") {
      std::thread([&] { result = verify(token); }).join();
    } else if (carrier == "async") {
      const skerry::Context context = skerry::current();
      result = std::async(std::launch::async, [&] {
                 skerry::Scope scope(context);
                 return verify(token);
               }).get();
    } else if (carrier == "detached") {
      skerry::detach();
      result = verify(token);
    } else if (carrier == "fork") {
      result = forked(token);
    } else {
      Denied denied;
      denied.reason = "no carrier " + carrier;
      throw denied;
    }
  }

  // forked verifies here, then in a child, which has the parent's idle connection and does not use it.
  std::string forked(const std::string& token) {
    verify(token);
    int pipes[2];
    CHECK(::pipe(pipes) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string word = verify(token);
      const ssize_t written = ::write(pipes[1], word.data(), word.size());
      ::_exit(written == static_cast<ssize_t>(word.size()) ? 0 : 1);
    }
    ::close(pipes[1]);
    char text[100];
    const ssize_t got = ::read(pipes[0], text, sizeof text);
    ::close(pipes[0]);
    ::waitpid(child, nullptr, 0);
    verify(token);
    return std::string(text, got > 0 ? got : 0);
  }

  void name(std::string& result) override { result = "billing"; }

  int64_t remaining() override {
    return skerry::remaining() == skerry::Milliseconds::max() ? -1 : skerry::remaining().count();
  }

  void later(const std::string& token) override {
    pause(200);
    auth.call([&](AuthClient& c) { c.note(token); });
  }

  void fail(std::string&, const std::string& how) override {
    if (how == "number") {
      throw 42;
    }
    throw std::runtime_error(how);
  }

  skerry::Pool<AuthClient> auth;
};

// Named is the binary protocol that writes a prefix before each message name, as the proxy does.
template <class Base> class Named : public Base {
public:
  explicit Named(const std::shared_ptr<TTransport>& transport) : Base(transport) {}
  uint32_t writeMessageBegin_virt(const std::string& name, const TMessageType type, const int32_t seqid) override {
    return Base::writeMessageBegin_virt(prefix + name, type, seqid);
  }
  std::string prefix;
};

// Caller calls a provider as the proxy does.
template <class Base> struct CallerOf {
  explicit CallerOf(int port, bool framed = true) {
    auto socket = std::make_shared<TSocket>("127.0.0.1", port);
    std::shared_ptr<TTransport> transport;
    if (framed) {
      transport = std::make_shared<TFramedTransport>(socket);
    } else {
      transport = std::make_shared<TBufferedTransport>(socket);
    }
    protocol = std::make_shared<Named<Base>>(transport);
    client.reset(new BillingClient(protocol));
    transport->open();
  }

  std::string charge(const std::string& context, const std::string& carrier, const std::string& token = "x") {
    protocol->prefix = context;
    std::string result;
    client->charge(result, carrier, token);
    return result;
  }

  // helper asks skerry.helper, and returns its name and whether it is ordered.
  std::pair<std::string, bool> helper() {
    protocol->prefix = "";
    protocol->writeMessageBegin("skerry.helper", T_CALL, 3);
    protocol->writeFieldStop();
    protocol->getTransport()->flush();
    std::string name, text;
    TMessageType type;
    int32_t seqid;
    protocol->readMessageBegin(name, type, seqid);
    EQUAL(type, T_REPLY);
    EQUAL(seqid, 3);
    EQUAL(name, "skerry.helper");
    TType field;
    int16_t id;
    bool ordered;
    protocol->readFieldBegin(name, field, id);
    protocol->readString(text);
    protocol->readFieldBegin(name, field, id);
    protocol->readBool(ordered);
    protocol->readFieldBegin(name, field, id);
    EQUAL(field, T_STOP);
    return std::make_pair(text, ordered);
  }

  std::shared_ptr<Named<Base>> protocol;
  std::unique_ptr<BillingClient> client;
};

using Caller = CallerOf<TBinaryProtocol>;

} // namespace test

#endif // SUPPORT_HPP
