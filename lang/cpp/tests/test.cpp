// The helper against the stock library: contexts that cross, servers of each kind, connections that break.
#include "support.hpp"

using namespace test;

namespace {

const char* const kKinds[] = {"threaded", "simple", "pool", "nonblocking", "unframed", "compact", "multiplexed"};

// Provider serves Billing by a stock server of one kind.
struct Provider {
  Provider(const std::string& kind, const std::string& address) : port(0) {
    std::shared_ptr<TProcessor> inner = std::make_shared<BillingProcessor>(std::make_shared<Handler>(address));
    if (kind == "multiplexed") {
      auto all = std::make_shared<TMultiplexedProcessor>();
      all->registerProcessor("billing", inner);
      inner = all;
    }
    const std::shared_ptr<TProcessor> processor = skerry::processor(inner);
    std::shared_ptr<TProtocolFactory> protocols = std::make_shared<TBinaryProtocolFactory>();
    if (kind == "compact") {
      protocols = std::make_shared<TCompactProtocolFactory>();
    }
    if (kind == "nonblocking") {
      nonblocking(processor, protocols);
      return;
    }
    std::shared_ptr<TTransportFactory> transports = std::make_shared<TFramedTransportFactory>();
    if (kind == "unframed") {
      transports = std::make_shared<TBufferedTransportFactory>();
    }
    auto socket = std::make_shared<TServerSocket>("127.0.0.1", 0);
    socket->listen();
    port = socket->getPort();
    const auto listening = Proxy::Listening::wrap(socket);
    std::shared_ptr<TServer> server;
    if (kind == "simple") {
      server = std::make_shared<TSimpleServer>(processor, listening, transports, protocols);
    } else if (kind == "pool") {
      auto threads = ThreadManager::newSimpleThreadManager(4);
      threads->threadFactory(std::make_shared<ThreadFactory>());
      threads->start();
      server = std::make_shared<TThreadPoolServer>(processor, listening, transports, protocols, threads);
    } else {
      server = std::make_shared<TThreadedServer>(processor, listening, transports, protocols);
    }
    running.reset(new Running(server));
  }

  void nonblocking(const std::shared_ptr<TProcessor>& processor, const std::shared_ptr<TProtocolFactory>& protocols) {
    auto socket = std::make_shared<TNonblockingServerSocket>("127.0.0.1", 0);
    auto threads = ThreadManager::newSimpleThreadManager(4);
    threads->threadFactory(std::make_shared<ThreadFactory>());
    threads->start();
    running.reset(new Running(std::make_shared<TNonblockingServer>(processor, protocols, socket, threads)));
    EVENTUALLY(socket->getListenPort() > 0);
    port = socket->getListenPort();
  }

  int port;
  std::unique_ptr<Running> running;
};

template <class C> void serves(const std::string& kind, bool framed) {
  const std::string path = freshPath();
  Proxy proxy(path);
  Provider provider(kind, path);
  const std::string name = kind == "multiplexed" ? "billing:" : "";
  C caller(provider.port, framed);
  EQUAL(caller.helper().first, "cpp 1.0");
  CHECK(caller.helper().second);
  EQUAL(caller.charge("ctx=abc.900;" + name, "direct"), "abc");
  EQUAL(caller.charge(name, "direct"), "none");
}

void servers() {
  for (const std::string kind : kKinds) {
    std::printf("  %s\n", kind.c_str());
    if (kind == "compact") {
      serves<CallerOf<TCompactProtocol>>(kind, true);
    } else {
      serves<Caller>(kind, kind != "unframed");
    }
  }
}

void contextsThatCross() {
  const std::string path = freshPath();
  Proxy proxy(path);
  Provider provider("pool", path);
  for (const std::string carrier : {"direct", "thread", "scope", "async", "fork"}) {
    std::printf("  %s\n", carrier.c_str());
    std::vector<std::future<void>> both;
    for (const std::string word : {"one", "two"}) {
      both.push_back(std::async(std::launch::async, [&provider, carrier, word] {
        Caller caller(provider.port);
        for (int i = 0; i < 10; i++) {
          EQUAL(caller.charge("ctx=" + word + ".5000;", carrier), word);
          EQUAL(caller.charge("", carrier), "none");
        }
      }));
    }
    for (auto& each : both) {
      each.get();
    }
  }
  Caller caller(provider.port);
  EQUAL(caller.charge("ctx=one;", "bare"), "none");
  EQUAL(caller.charge("ctx=one;", "detached"), "none");
  EQUAL(caller.charge("ctx=one;", "direct"), "one");
}

void deadlines() {
  const std::string path = freshPath();
  Proxy proxy(path);
  Provider provider("threaded", path);
  Caller caller(provider.port);
  caller.protocol->prefix = "ctx=one.1500;";
  const int64_t left = caller.client->remaining();
  CHECK(left > 500 && left <= 1500);
  caller.protocol->prefix = "ctx=one;";
  EQUAL(caller.client->remaining(), -1);
  CHECK(skerry::remaining() == skerry::Milliseconds::max());
}

void oneWayOutlivesItsCall() {
  const std::string path = freshPath();
  Proxy proxy(path);
  Provider provider("threaded", path);
  Caller caller(provider.port);
  caller.protocol->prefix = "ctx=away;";
  caller.client->later("x");
  EVENTUALLY(proxy.standIn->seen.has("ctx=away;auth:note"));
}

skerry::Options at(const std::string& address) {
  skerry::Options options;
  options.address = address;
  return options;
}

std::string verify(skerry::Pool<AuthClient>& auth, const std::string& text) {
  std::string word;
  auth.call([&](AuthClient& c) { c.verify(word, text); });
  return word;
}

// Other threads are in the middle of taking and giving connections when a child is forked.
void forkBesideOtherThreads() {
  const std::string path = freshPath();
  Proxy proxy(path);
  skerry::Pool<AuthClient> auth("auth", at(path));
  std::atomic<bool> ended(false);
  std::vector<std::future<void>> others;
  for (int t = 0; t < 4; t++) {
    others.push_back(std::async(std::launch::async, [&] {
      while (!ended) {
        auth.call([](AuthClient&) {}); // nothing but the pool
      }
    }));
  }
  int wrong = 0;
  for (int i = 0; i < 100; i++) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(10);
      ::_exit(verify(auth, "x") == "none" ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    wrong += status != 0;
  }
  ended = true;
  EQUAL(wrong, 0);
}

// A listener that is no proxy, or one in the middle of its upgrade.
struct Raw {
  explicit Raw(const std::string& path) : path(path) {
    sockaddr_un to;
    std::memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, path.data(), path.size());
    fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    CHECK(::listen(fd, 5) == 0);
  }
  ~Raw() { ::close(fd); }
  int accept() const { return ::accept(fd, nullptr, nullptr); }
  std::string path;
  int fd;
};

void note(skerry::Pool<AuthClient>& auth, const std::string& text) {
  auth.call([&](AuthClient& c) { c.note(text); });
}

// A one-way call of a request returns when the proxy has passed it on; one of no request waits for nothing.
void oneWayIsPassedOn() {
  const std::string path = freshPath();
  Proxy proxy(path);
  skerry::Pool<AuthClient> auth("auth", at(path));
  note(auth, "slow");
  EQUAL(proxy.standIn->passedOn.load(), 0);
  EVENTUALLY(proxy.standIn->passedOn.load() == 1);
  skerry::Context context;
  context.word = "one";
  skerry::Scope scope(context);
  for (int i = 2; i < 4; i++) {
    note(auth, "slow");
    EQUAL(proxy.standIn->passedOn.load(), i);
  }
  EQUAL(verify(auth, "x"), "one");
  CHECK(proxy.standIn->seen.has("ctx=one;skerry.sent"));
  EQUAL(proxy.standIn->seen.size(), 6u);
}

void oneWayIsNotPassedOn() {
  const std::string path = freshPath();
  Proxy proxy(path);
  skerry::Pool<AuthClient> auth("auth", at(path));
  skerry::Context context;
  context.word = "one";
  context.limited = true;
  context.deadline = skerry::Clock::now() + skerry::Milliseconds(100);
  skerry::Scope scope(context);
  proxy.standIn->onSent = "unknown"; // an older proxy
  note(auth, "x");
  for (const std::string how : {"never", "end"}) {
    proxy.standIn->onSent = how;
    try {
      note(auth, "x");
      CHECK(false);
    } catch (const skerry::Error& err) {
      EQUAL(err.getType(), how == "never" ? TTransportException::TIMED_OUT : TTransportException::END_OF_FILE);
    }
  }
  proxy.standIn->onSent = "";
  EQUAL(verify(auth, "x"), "one");
}

// A proxy that hands its place over has read the one-way call, not what is behind it.
void oneWayBeforeTheProxyReadsNoMore() {
  const std::string path = freshPath();
  Raw raw(path);
  std::atomic<bool> passedOn(false);
  std::thread server([&] {
    const int c = raw.accept();
    ::shutdown(c, SHUT_RD);
    pause(300);
    passedOn = true;
    ::close(c);
  });
  skerry::detail::Socket socket{skerry::detail::Address(path), ""};
  socket.begin(-1);
  pause(100);
  socket.awaitSent(skerry::detail::sentCall("one"));
  CHECK(passedOn.load());
  server.join();
}

void failuresOfHandlers() {
  const std::string path = freshPath();
  Proxy proxy(path);
  Provider provider("threaded", path);
  Caller caller(provider.port);
  caller.protocol->prefix = "ctx=one;";
  for (const std::string how : {"error", "number"}) {
    try {
      std::string result;
      caller.client->fail(result, how);
      CHECK(false);
    } catch (const TApplicationException& err) {
      CHECK(std::string(err.what()).find(how == "number" ? "Internal error" : how) != std::string::npos);
    }
  }
  try {
    caller.charge("ctx=;", "direct");
    CHECK(false);
  } catch (const TApplicationException& err) {
    EQUAL(err.getType(), TApplicationException::UNKNOWN_METHOD);
  }
  try {
    caller.charge("ctx=one;", "pigeon");
    CHECK(false);
  } catch (const Denied& denied) {
    EQUAL(denied.reason, "no carrier pigeon");
  }
}

void contextsRead() {
  struct {
    const char* name;
    const char* word;
    const char* rest;
    bool limited;
  } const cases[] = {
      {"verify", "", "verify", false},
      {"ctx=a;verify", "a", "verify", false},
      {"ctx=a.5;auth:verify", "a", "auth:verify", true},
      {"ctx=;verify", "", "ctx=;verify", false},
      {"ctx=a.;verify", "", "ctx=a.;verify", false},
      {"ctx=a.x;verify", "", "ctx=a.x;verify", false},
      {"ctx=a.1234567890123456;verify", "", "ctx=a.1234567890123456;verify", false},
      {"ctx=a.999999999999999;verify", "a", "verify", true},
      {"ctx=abcdefghijklmnopqrstuvwxy;verify", "", "ctx=abcdefghijklmnopqrstuvwxy;verify", false},
      {"ctx=a b;verify", "", "ctx=a b;verify", false},
      {"ctx=a", "", "ctx=a", false},
  };
  for (const auto& c : cases) {
    std::string name = c.name;
    skerry::Context context;
    skerry::detail::splitName(name, context);
    EQUAL(context.word, c.word);
    EQUAL(name, c.rest);
    EQUAL(context.limited, c.limited);
  }
}

void programStartsFirst() {
  const std::string path = freshPath();
  skerry::Pool<AuthClient> auth("auth", at(path));
  auto early = std::async(std::launch::async, [&] { return verify(auth, "early"); });
  pause(500);
  Proxy proxy(path);
  EQUAL(early.get(), "none");
}

void noProxy() {
  skerry::Pool<AuthClient> auth("auth", at(freshPath()));
  try {
    verify(auth, "x");
    CHECK(false);
  } catch (const skerry::Error& err) {
    CHECK(std::string(err.what()).find("no skerry proxy at ") != std::string::npos);
    EQUAL(err.getType(), TTransportException::NOT_OPEN);
  }
}

void proxyStartedAgain() {
  const std::string path = freshPath();
  skerry::Pool<AuthClient> auth("auth", at(path));
  for (int i = 0; i < 3; i++) {
    Proxy proxy(path);
    EQUAL(verify(auth, "x"), "none");
  }
}

void replyTooLate() {
  const std::string path = freshPath();
  Proxy proxy(path);
  skerry::Options options = at(path);
  options.timeout = skerry::Milliseconds(200);
  skerry::Pool<AuthClient> auth("auth", options);
  try {
    verify(auth, "never");
    CHECK(false);
  } catch (const skerry::Error& err) {
    EQUAL(err.getType(), TTransportException::TIMED_OUT);
  }
  EQUAL(verify(auth, "x"), "none"); // on another connection: the late reply is for none
}

void frameworkErrors() {
  const std::string path = freshPath();
  Proxy proxy(path);
  skerry::Pool<AuthClient> auth("auth", at(path));
  try {
    verify(auth, "overloaded");
    CHECK(false);
  } catch (const TApplicationException& err) {
    EQUAL(std::string(err.what()), "overloaded");
  }
  EQUAL(verify(auth, "x"), "none");
}

void largeReplies() {
  const std::string path = freshPath();
  Proxy proxy(path);
  skerry::Pool<AuthClient> auth("auth", at(path));
  EQUAL(verify(auth, "large").size(), std::size_t(17 << 20));
}

void overTCP() {
  Proxy proxy("127.0.0.1", std::string("secret"));
  skerry::Options options = at("127.0.0.1:" + std::to_string(proxy.socket->getPort()));
  options.token = "secret";
  skerry::Pool<AuthClient> auth("auth", options);
  EQUAL(verify(auth, "x"), "none");
  EQUAL(verify(auth, "x"), "none");
  EQUAL(proxy.standIn->seen.size(), 3u); // one login
  options.token = "wrong";
  skerry::Pool<AuthClient> other("auth", options);
  try {
    verify(other, "x");
    CHECK(false);
  } catch (const skerry::Error& err) {
    CHECK(std::string(err.what()).find("login refused: the token is another") != std::string::npos);
  }
}

void addresses() {
  for (const std::string text : {"nowhere", "host:", ":1", "host:12x"}) {
    try {
      skerry::Pool<AuthClient> auth("auth", at(text));
      CHECK(false);
    } catch (const std::invalid_argument& err) {
      CHECK(std::string(err.what()).find("neither /path, unix:/path nor host:port") != std::string::npos);
    }
  }
}

void manyThreads() {
  const std::string path = freshPath();
  Proxy proxy(path);
  auto auth = skerry::connect<AuthClient>("auth", at(path));
  std::vector<std::future<void>> all;
  for (int t = 0; t < 16; t++) {
    all.push_back(std::async(std::launch::async, [&auth, t] {
      skerry::Context context;
      context.word = "thread" + std::to_string(t);
      skerry::Scope scope(context);
      for (int i = 0; i < 200; i++) {
        EQUAL(verify(*auth, "x"), context.word);
      }
    }));
  }
  for (auto& each : all) {
    each.get();
  }
}

void speaksHTTP() {
  const std::string path = freshPath();
  Raw raw(path);
  std::thread server([&] {
    const int c = raw.accept();
    char data[100];
    CHECK(::recv(c, data, sizeof data, 0) > 0);
    CHECK(::send(c, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0) == 28);
    ::close(c);
  });
  skerry::Pool<AuthClient> auth("auth", at(path));
  try {
    verify(auth, "x");
    CHECK(false);
  } catch (const TTransportException&) {
  }
  server.join();
}

void proxyReadsNoMore() {
  const std::string path = freshPath();
  std::unique_ptr<Raw> raw(new Raw(path));
  skerry::Pool<AuthClient> auth("auth", at(path));
  std::promise<void> shut;
  std::thread server([&] {
    const int c = raw->accept();
    char data[1000];
    const ssize_t got = ::recv(c, data, sizeof data, 0);
    const std::string reply("\x80\x01\x00\x02\x00\x00\x00\x06verify\x00\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x03old\x00", 29);
    const std::string head("\x00\x00\x00\x1d", 4);
    CHECK(got > 0 && ::send(c, (head + reply).data(), 33, 0) == 33);
    ::shutdown(c, SHUT_RD); // what is sent from here on fails at the sender
    ::unlink(path.c_str());
    shut.set_value();
    pause(300);
    ::close(c);
  });
  EQUAL(verify(auth, "x"), "old");
  shut.get_future().get();
  Proxy proxy(path);
  EQUAL(verify(auth, "x"), "none");
  auth.call([](AuthClient& c) { c.note("one-way"); });
  EVENTUALLY(proxy.standIn->seen.has("auth:note"));
  EQUAL(proxy.standIn->seen.size(), 2u);
  server.join();
}

} // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN); // the stock servers' sockets
  GlobalOutput.setOutputFunction([](const char*) {});
  const std::vector<std::pair<const char*, void (*)()>> tests = {
      {"contextsRead", contextsRead},
      {"servers", servers},
      {"contextsThatCross", contextsThatCross},
      {"deadlines", deadlines},
      {"oneWayOutlivesItsCall", oneWayOutlivesItsCall},
      {"oneWayIsPassedOn", oneWayIsPassedOn},
      {"oneWayIsNotPassedOn", oneWayIsNotPassedOn},
      {"oneWayBeforeTheProxyReadsNoMore", oneWayBeforeTheProxyReadsNoMore},
      {"failuresOfHandlers", failuresOfHandlers},
      {"forkBesideOtherThreads", forkBesideOtherThreads},
      {"programStartsFirst", programStartsFirst},
      {"noProxy", noProxy},
      {"proxyStartedAgain", proxyStartedAgain},
      {"replyTooLate", replyTooLate},
      {"frameworkErrors", frameworkErrors},
      {"largeReplies", largeReplies},
      {"overTCP", overTCP},
      {"addresses", addresses},
      {"manyThreads", manyThreads},
      {"speaksHTTP", speaksHTTP},
      {"proxyReadsNoMore", proxyReadsNoMore},
  };
  int failed = 0;
  for (const auto& each : tests) {
    if (argc > 1 && std::string(argv[1]) != each.first) {
      continue;
    }
    std::printf("%s\n", each.first);
    std::fflush(stdout);
    try {
      each.second();
    } catch (const std::exception& err) {
      std::printf("FAILED %s: %s\n", each.first, err.what());
      failed++;
    }
  }
  std::printf(failed == 0 ? "ok\n" : "%d failed\n", failed);
  return failed == 0 ? 0 : 1;
}
