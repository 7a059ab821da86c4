// Makes a C++ program a full member of a skerry site, beside `skerry proxy` on its host.
//
//   skerry::Pool<AuthClient> auth("auth");                        // any service by name; one pool for all threads
//   auth.call([&](AuthClient& c) { c.verify(user, token); });
//   auto processor = skerry::processor(std::make_shared<BillingProcessor>(handler));
//   skerry::remaining();                                          // time until the request's deadline
//   skerry::detach();                                             // from here on calls are no part of the request
//
// A call that the program makes while it serves a request is a part of that request: the proxy gives the request a
// word, the processor keeps it in the serving thread, and the pool sends it along. The word stands for the trace, the
// version token and the deadline, which stay in the proxy. Another thread takes part by skerry::Scope.
//
// Needs C++11, POSIX and the Thrift library, 0.10 or later; define SKERRY_BOOST_POINTERS for a library up to 0.11 that was
// built with boost::shared_ptr, and SKERRY_THRIFT_HEADER to read contexts from THeader (links libthriftz).
#ifndef SKERRY_HPP
#define SKERRY_HPP

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thrift/TApplicationException.h>
#include <thrift/TDispatchProcessor.h>
#include <thrift/TProcessor.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TProtocolDecorator.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TTransportException.h>
#include <thrift/transport/TVirtualTransport.h>
#ifdef SKERRY_THRIFT_HEADER
#include <thrift/protocol/THeaderProtocol.h>
#endif
#ifdef __has_include
#if __has_include(<thrift/TConfiguration.h>)
#define SKERRY_THRIFT_CONFIGURATION
#include <thrift/TConfiguration.h>
#endif
#endif
#ifdef SKERRY_BOOST_POINTERS
#include <boost/shared_ptr.hpp>
#endif

namespace skerry {

#ifdef SKERRY_BOOST_POINTERS
template <class T> using Shared = boost::shared_ptr<T>; // the library's pointer to transports, protocols, processors
#else
template <class T> using Shared = std::shared_ptr<T>;
#endif

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

static const char* const kVersion = "1.0";

// Context is the request that a thread serves: its word and its deadline. Copies may be handed to other threads.
struct Context {
  std::string word; // empty: no request
  bool limited;     // there is a deadline
  Clock::time_point deadline;

  Context() : limited(false) {}
};

namespace detail {

inline Context& here() {
  static thread_local Context context;
  return context;
}

} // namespace detail

// current returns the request that this thread serves.
inline Context current() { return detail::here(); }

// remaining returns the time until the deadline of the request that is served here, never negative, and
// Milliseconds::max() without one.
inline Milliseconds remaining() {
  const Context& context = detail::here();
  if (!context.limited) {
    return Milliseconds::max();
  }
  const Milliseconds left = std::chrono::duration_cast<Milliseconds>(context.deadline - Clock::now());
  return left.count() < 0 ? Milliseconds(0) : left;
}

// detach ends the request for what follows in this thread: later calls are traces of their own, without its deadline.
inline void detach() { detail::here() = Context(); }

// Scope makes its thread a part of a request as long as it lives: skerry::Scope scope(context).
class Scope {
public:
  explicit Scope(const Context& context) : before_(detail::here()) { detail::here() = context; }
  ~Scope() { detail::here() = before_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

private:
  Context before_;
};

// wrap returns run bound to the request that is served here, for a pool that runs it later in any of its threads.
template <class F> std::function<void()> wrap(F run) {
  const Context context = current();
  return [context, run]() mutable {
    Scope scope(context);
    run();
  };
}

// Error is a call that failed on its way to the proxy, or a proxy that cannot be reached.
class Error : public apache::thrift::transport::TTransportException {
public:
  Error(TTransportExceptionType type, const std::string& text) : TTransportException(type, text) {}
};

namespace detail {

namespace at = apache::thrift;
namespace ap = apache::thrift::protocol;
namespace tt = apache::thrift::transport;

static const int kDialFor = 2000;                // ms in which a proxy that starts or restarts is dialled again
static const int kGrace = 1000;                  // ms behind the deadline in which the proxy answers that it passed
static const int kMaxFrame = 64 << 20;           // bytes of one reply; the proxy's own limit is lower
static const std::size_t kMaxWord = 24;

inline bool wordByte(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// readContext reads WORD or WORD.MS from text, and returns whether it is one.
inline bool readContext(const std::string& text, Context& context) {
  std::size_t end = 0;
  while (end < text.size() && wordByte(text[end])) {
    end++;
  }
  if (end == 0 || end > kMaxWord) {
    return false;
  }
  Context read;
  read.word = text.substr(0, end);
  if (end < text.size()) {
    const std::size_t digits = text.size() - end - 1;
    if (text[end] != '.' || digits == 0 || digits > 15) {
      return false;
    }
    long long left = 0;
    for (std::size_t i = end + 1; i < text.size(); i++) {
      if (text[i] < '0' || text[i] > '9') {
        return false;
      }
      left = 10 * left + (text[i] - '0');
    }
    const long long day = 86400000LL * 365;
    read.limited = true;
    read.deadline = Clock::now() + Milliseconds(left < day ? left : day);
  }
  context = read;
  return true;
}

// splitName takes ctx=WORD.MS; off the name of a message.
inline void splitName(std::string& name, Context& context) {
  if (name.compare(0, 4, "ctx=") != 0) {
    return;
  }
  const std::size_t end = name.find(';');
  if (end != std::string::npos && readContext(name.substr(4, end - 4), context)) {
    name.erase(0, end + 1);
  }
}

// Once gives back a message head that was read already.
class Once : public ap::TProtocolDecorator {
public:
  Once(Shared<ap::TProtocol> inner, const std::string& name, ap::TMessageType type, int32_t seqid)
      : TProtocolDecorator(inner), name_(name), type_(type), seqid_(seqid) {}

  uint32_t readMessageBegin_virt(std::string& name, ap::TMessageType& type, int32_t& seqid) override {
    name = name_;
    type = type_;
    seqid = seqid_;
    return 0;
  }

private:
  std::string name_;
  ap::TMessageType type_;
  int32_t seqid_;
};

// Dispatch reaches dispatchCall of a generated processor, so that its reading needs no decorator.
class Dispatch : public at::TDispatchProcessor {
public:
  static bool call(at::TDispatchProcessor& processor, ap::TProtocol* in, ap::TProtocol* out, const std::string& name,
                   int32_t seqid, void* connection) {
    return (processor.*(&Dispatch::dispatchCall))(in, out, name, seqid, connection);
  }
};

class Processor : public at::TProcessor {
public:
  explicit Processor(const Shared<at::TProcessor>& inner)
      : inner_(inner), dispatch_(dynamic_cast<at::TDispatchProcessor*>(inner.get())) {}

  bool process(Shared<ap::TProtocol> in, Shared<ap::TProtocol> out, void* connection) override {
    std::string name;
    ap::TMessageType type;
    int32_t seqid;
    in->readMessageBegin(name, type, seqid);
    if (name == "skerry.helper") {
      introduce(*in, *out, seqid);
      return true;
    }
    Context context;
    splitName(name, context);
    readHeader(in.get(), context);
    Scope scope(context);
    try {
      if (dispatch_ == nullptr) {
        return inner_->process(Shared<ap::TProtocol>(new Once(in, name, type, seqid)), out, connection);
      }
      if (type != ap::T_CALL && type != ap::T_ONEWAY) {
        return false;
      }
      return Dispatch::call(*dispatch_, in.get(), out.get(), name, seqid, connection);
    } catch (const std::exception&) {
      throw; // the connection's or the message's: generated code answers those of handlers
    } catch (...) {
      return apologise(*out, name, type, seqid);
    }
  }

private:
  static void readHeader(ap::TProtocol* in, Context& context) {
#ifdef SKERRY_THRIFT_HEADER
    ap::THeaderProtocol* protocol = dynamic_cast<ap::THeaderProtocol*>(in);
    if (protocol == nullptr || !context.word.empty()) {
      return;
    }
    const auto found = protocol->getHeaders().find("skerry-context");
    if (found != protocol->getHeaders().end()) {
      readContext(found->second, context);
    }
#else
    (void)in;
    (void)context;
#endif
  }

  static void introduce(ap::TProtocol& in, ap::TProtocol& out, int32_t seqid) {
    in.skip(ap::T_STRUCT);
    in.readMessageEnd();
    in.getTransport()->readEnd();
    out.writeMessageBegin("skerry.helper", ap::T_REPLY, seqid);
    out.writeStructBegin("helper_result");
    out.writeFieldBegin("name", ap::T_STRING, 1);
    out.writeString(std::string("cpp ") + kVersion);
    out.writeFieldEnd();
    out.writeFieldBegin("ordered", ap::T_BOOL, 2); // a connection's calls are served one behind the other
    out.writeBool(true);
    out.writeFieldEnd();
    out.writeFieldStop();
    out.writeStructEnd();
    finish(out);
  }

  // apologise answers a call whose handler threw something that is no std::exception.
  static bool apologise(ap::TProtocol& out, const std::string& name, ap::TMessageType type, int32_t seqid) {
    if (type == ap::T_ONEWAY) {
      return true;
    }
    const std::string method = name.substr(name.rfind(':') + 1);
    const at::TApplicationException failure(at::TApplicationException::INTERNAL_ERROR,
                                            "Internal error processing " + method);
    out.writeMessageBegin(method, ap::T_EXCEPTION, seqid);
    failure.write(&out);
    finish(out);
    return true;
  }

  static void finish(ap::TProtocol& out) {
    out.writeMessageEnd();
    out.getTransport()->writeEnd();
    out.getTransport()->flush();
  }

  Shared<at::TProcessor> inner_;
  at::TDispatchProcessor* dispatch_;
};

} // namespace detail

// processor wraps a generated processor, or a TMultiplexedProcessor. It must be the outermost.
inline Shared<apache::thrift::TProcessor> processor(const Shared<apache::thrift::TProcessor>& inner) {
  return Shared<apache::thrift::TProcessor>(new detail::Processor(inner));
}

// Options say where the proxy is, and what a call may take.
struct Options {
  std::string address;  // /path, unix:/path or host:port; else $SKERRY_PROXY, else /run/skerry/proxy.sock
  std::string token;    // needed over TCP; else the content of the file $SKERRY_PROXY_TOKEN_FILE
  Milliseconds timeout; // for a reply; 0: as long as the proxy takes, which ends each call in time

  Options() : timeout(0) {}
};

namespace detail {

// Address is where a proxy listens.
struct Address {
  std::string text;
  std::string path; // of a Unix socket, else empty
  std::string host;
  std::string port;

  explicit Address(const std::string& given) : text(given) {
    if (text.empty()) {
      const char* set = std::getenv("SKERRY_PROXY");
      text = set != nullptr && *set != 0 ? set : "/run/skerry/proxy.sock";
    }
    if (text.compare(0, 5, "unix:") == 0) {
      path = text.substr(5);
    } else if (text.find('/') != std::string::npos) {
      path = text;
    } else {
      splitHost();
    }
    if (path.size() >= sizeof(sockaddr_un().sun_path)) {
      throw std::invalid_argument("the path of the skerry proxy is too long for a socket: " + text);
    }
  }

private:
  void splitHost() {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == text.size() ||
        text.find_first_not_of("0123456789", colon + 1) != std::string::npos) {
      throw std::invalid_argument("address of the skerry proxy: \"" + text +
                                  "\" is neither /path, unix:/path nor host:port");
    }
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.size() > 2 && host[0] == '[') {
      host = host.substr(1, host.size() - 2);
    }
  }
};

// Socket is a connection to the proxy, dialled when a call begins and none is open.
class Socket : public tt::TVirtualTransport<Socket> {
public:
  Socket(const Address& address, const std::string& token)
      : address_(address), token_(token), fd_(-1), pid_(0), limited_(false) {}
  ~Socket() override { Socket::close(); }

  // begin readies the socket for a call that may take limit ms, -1 for no limit.
  void begin(long long limit) {
    const Clock::time_point now = Clock::now();
    limited_ = limit >= 0;
    until_ = now + Milliseconds(limited_ ? limit : 0);
    // What can be read between two calls is the end of the connection.
    if (fd_ >= 0 && (pid_ != getpid() || ready(POLLIN, 0))) {
      close();
    }
    if (fd_ < 0) {
      dial(now + Milliseconds(limited_ && limit < kDialFor ? limit : kDialFor));
    }
  }

  // behind sets what is sent behind the next frame, and answered when the proxy has passed a one-way call on.
  void behind(const std::string& frame) { behind_ = frame; }

  // write sends a whole frame. On a Unix socket an error says that not all of it arrived, so that the proxy executed
  // nothing: the frame is sent again to a proxy that took the place of this one.
  void write(const uint8_t* data, uint32_t size) {
    std::string behind;
    behind.swap(behind_); // a login writes as well
    const Clock::time_point until = Clock::now() + Milliseconds(kDialFor);
    for (;;) {
      const int err = send(data, size);
      if (err == 0) {
        if (!behind.empty()) {
          awaitSent(behind);
        }
        return;
      }
      close();
      if (err == ETIMEDOUT) {
        throw failure(Error::TIMED_OUT, "the call could not be sent in time");
      }
      if (address_.path.empty() || Clock::now() >= until) {
        throw failure(Error::NOT_OPEN, std::string("sending failed: ") + std::strerror(err));
      }
      dial(until);
    }
  }

  uint32_t read(uint8_t* data, uint32_t size) {
    for (;;) {
      if (fd_ < 0) {
        throw failure(Error::NOT_OPEN, "the connection is closed");
      }
      if (limited_ && !ready(POLLIN, left())) {
        close();
        throw failure(Error::TIMED_OUT, "no reply in time");
      }
      const ssize_t got = ::recv(fd_, data, size, 0);
      if (got > 0) {
        return static_cast<uint32_t>(got);
      }
      if (got < 0 && errno == EINTR) {
        continue;
      }
      const int err = errno;
      close();
      throw failure(Error::END_OF_FILE, got == 0 ? "the connection ended before the reply"
                                                 : std::string("reading failed: ") + std::strerror(err));
    }
  }

  // awaitSent sends what is behind a one-way call and waits for the answer: the request may end then.
  void awaitSent(const std::string& behind) {
    const int err = send(reinterpret_cast<const uint8_t*>(behind.data()), static_cast<uint32_t>(behind.size()));
    if (err == ETIMEDOUT) {
      close();
      throw failure(Error::TIMED_OUT, "the one-way call was not passed on in time");
    }
    if (err != 0) {
      awaitEnd();
      return;
    }
    uint8_t part[256];
    exactly(part, 4);
    uint32_t size = static_cast<uint32_t>(part[0]) << 24 | part[1] << 16 | part[2] << 8 | part[3];
    if (size > static_cast<uint32_t>(kMaxFrame)) {
      close();
      throw failure(Error::CORRUPTED_DATA, "the reply is no frame, or too large");
    }
    while (size > 0) {
      const uint32_t some = size < sizeof part ? size : static_cast<uint32_t>(sizeof part);
      exactly(part, some);
      size -= some;
    }
  }

  bool isOpen() const { return true; } // the next call dials
  bool isOpen() { return true; }       // of libraries in which it is not const
  void open() override {}
  void close() override {
    if (fd_ >= 0) {
      ::close(fd_);
      fd_ = -1;
    }
  }

private:
  Error failure(tt::TTransportException::TTransportExceptionType type, const std::string& text) const {
    return Error(type, "skerry proxy at " + address_.text + ": " + text);
  }

  int left() const {
    const long long ms = std::chrono::duration_cast<Milliseconds>(until_ - Clock::now()).count();
    return ms < 0 ? 0 : static_cast<int>(ms < INT_MAX ? ms : INT_MAX);
  }

  bool ready(short what, int wait) const {
    pollfd one = {fd_, what, 0};
    for (;;) {
      const int n = ::poll(&one, 1, wait);
      if (n >= 0 || errno != EINTR) {
        return n != 0;
      }
      wait = limited_ ? left() : wait;
    }
  }

  // awaitEnd: a proxy that hands its place over reads no more. It closes when what it read before is passed on.
  void awaitEnd() {
    uint8_t part[256];
    for (;;) {
      if (limited_ && !ready(POLLIN, left())) {
        close();
        throw failure(Error::TIMED_OUT, "the one-way call was not passed on in time");
      }
      const ssize_t got = ::recv(fd_, part, sizeof part, 0);
      if (got == 0 || (got < 0 && errno != EINTR)) {
        close();
        return;
      }
    }
  }

  void exactly(uint8_t* data, uint32_t size) {
    while (size > 0) {
      const uint32_t got = read(data, size);
      data += got;
      size -= got;
    }
  }

  // send returns 0, or the error number; ETIMEDOUT when the call's time is over.
  int send(const uint8_t* data, uint32_t size) {
    while (size > 0) {
      const ssize_t sent = ::send(fd_, data, size, MSG_NOSIGNAL | (limited_ ? MSG_DONTWAIT : 0));
      if (sent >= 0) {
        data += sent;
        size -= static_cast<uint32_t>(sent);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (!ready(POLLOUT, left())) {
          return ETIMEDOUT;
        }
      } else if (errno != EINTR) {
        return errno;
      }
    }
    return 0;
  }

  void dial(Clock::time_point until) {
    Milliseconds pause(5);
    for (;;) {
      std::string why;
      if (connect(why)) {
        return;
      }
      close();
      if (Clock::now() + pause >= until) {
        throw Error(Error::NOT_OPEN, "no skerry proxy at " + address_.text + ": " + why);
      }
      std::this_thread::sleep_for(pause);
      pause = pause * 2 < Milliseconds(100) ? pause * 2 : Milliseconds(100);
    }
  }

  bool connect(std::string& why) {
    pid_ = getpid();
    if (!(address_.path.empty() ? connectTCP(why) : connectUnix(why))) {
      return false;
    }
    const std::string token = token_.empty() ? tokenFile() : token_;
    return token.empty() || login(token, why);
  }

  bool connectUnix(std::string& why) {
    sockaddr_un to;
    std::memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, address_.path.data(), address_.path.size());
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ >= 0 && ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
      return true;
    }
    why = std::strerror(errno);
    return false;
  }

  bool connectTCP(std::string& why) {
    addrinfo hints;
    std::memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int err = ::getaddrinfo(address_.host.c_str(), address_.port.c_str(), &hints, &found);
    if (err != 0) {
      why = ::gai_strerror(err);
      return false;
    }
    for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
      fd_ = ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
      if (fd_ >= 0 && ::connect(fd_, one->ai_addr, one->ai_addrlen) == 0) {
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        break;
      }
      why = std::strerror(errno);
      close();
    }
    ::freeaddrinfo(found);
    return fd_ >= 0;
  }

  static std::string tokenFile() {
    const char* path = std::getenv("SKERRY_PROXY_TOKEN_FILE");
    std::string token;
    if (path != nullptr && *path != 0) {
      std::ifstream file(path);
      file >> token;
      if (token.empty()) {
        throw std::runtime_error(std::string("no token in the file of SKERRY_PROXY_TOKEN_FILE: ") + path);
      }
    }
    return token;
  }

  bool login(const std::string& token, std::string& why);

  const Address address_;
  const std::string token_;
  int fd_;
  pid_t pid_; // that dialled: a child does not use its parent's connection
  bool limited_;
  Clock::time_point until_;
  std::string behind_;
};

// frames returns the framed transport over socket.
inline Shared<tt::TFramedTransport> frames(const Shared<tt::TTransport>& socket) {
#ifdef SKERRY_THRIFT_CONFIGURATION
  auto limits = std::make_shared<at::TConfiguration>(kMaxFrame, kMaxFrame);
  return Shared<tt::TFramedTransport>(new tt::TFramedTransport(socket, limits));
#else
  return Shared<tt::TFramedTransport>(new tt::TFramedTransport(socket));
#endif
}

inline bool Socket::login(const std::string& token, std::string& why) {
  try {
    // The socket outlives this protocol: the pointer owns nothing.
    const Shared<tt::TTransport> self(this, [](tt::TTransport*) {});
    ap::TBinaryProtocolT<tt::TFramedTransport> protocol(frames(self));
    protocol.writeMessageBegin("skerry.login", ap::T_CALL, 0);
    protocol.writeFieldBegin("token", ap::T_STRING, 1);
    protocol.writeString(token);
    protocol.writeFieldStop();
    const bool before = limited_;
    if (!limited_) {
      limited_ = true;
      until_ = Clock::now() + Milliseconds(kDialFor);
    }
    protocol.getTransport()->flush();
    std::string name;
    ap::TMessageType type;
    int32_t seqid;
    protocol.readMessageBegin(name, type, seqid);
    limited_ = before;
    if (type != ap::T_EXCEPTION) {
      return true;
    }
    at::TApplicationException refusal;
    refusal.read(&protocol);
    why = std::string("login refused: ") + refusal.what();
  } catch (const at::TException& err) {
    why = std::string("the connection ended in the login: ") + err.what();
  }
  return false;
}

// sentCall returns the frame of the call that the proxy answers when it has passed on the request's one-way calls before.
inline std::string sentCall(const std::string& word) {
  const std::string name = "ctx=" + word + ";skerry.sent";
  const char length = static_cast<char>(name.size()); // of a word at most kMaxWord
  std::string frame(4, '\0');
  frame[3] = static_cast<char>(12 + name.size() + 1);
  frame.append("\x80\x01\x00\x01\x00\x00\x00", 7).append(1, length).append(name).append(5, '\0');
  return frame;
}

// Protocol is the binary protocol, with the service and the request's word before the name of the method.
class Protocol : public ap::TBinaryProtocolT<tt::TFramedTransport> {
public:
  Protocol(const Shared<Socket>& socket, const std::string& service, Milliseconds timeout)
      : TBinaryProtocolT(frames(socket)), socket_(socket), prefix_(service + ":"), timeout_(timeout), busy_(false) {
  }

  // clean says that no part of a call is left on the connection.
  bool clean() const { return !busy_; }

  uint32_t writeMessageBegin_virt(const std::string& name, const ap::TMessageType type, const int32_t seqid) override {
    const Context& context = here();
    long long limit = timeout_.count() > 0 ? timeout_.count() : -1;
    if (context.limited) {
      const long long left = remaining().count() + kGrace;
      limit = limit < 0 || left < limit ? left : limit;
    }
    busy_ = true;
    socket_->begin(limit);
    busy_ = type != ap::T_ONEWAY;
    socket_->behind(busy_ || context.word.empty() ? std::string() : sentCall(context.word));
    const std::string full = context.word.empty() ? prefix_ + name : "ctx=" + context.word + ";" + prefix_ + name;
    return TBinaryProtocolT::writeMessageBegin(full, type, seqid);
  }

  uint32_t readMessageEnd_virt() override {
    busy_ = false;
    return TBinaryProtocolT::readMessageEnd();
  }

private:
  const Shared<Socket> socket_;
  const std::string prefix_;
  const Milliseconds timeout_;
  bool busy_;
};

} // namespace detail

// Pool calls one service by its name, from any number of threads: each call has a connection to the proxy for itself,
// and connections are kept. Nothing is dialled before the first call.
template <class Client> class Pool {
public:
  explicit Pool(const std::string& service, const Options& options = Options())
      : service_(service), options_(options), address_(options.address), shelf_(new Shelf()) {}
  ~Pool() { delete shelf_.load(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // call runs run with a client and returns what it returns. A client must not be kept.
  template <class F> auto call(F&& run) -> decltype(run(std::declval<Client&>())) {
    Lease lease(*this, take());
    return run(*lease.entry.client);
  }

private:
  struct Entry {
    Shared<detail::Protocol> protocol;
    std::shared_ptr<Client> client;
    Clock::time_point since;
  };

  // Lease gives the connection back, unless something of a call is left on it.
  struct Lease {
    Lease(Pool& pool, Entry taken) : pool(pool), entry(std::move(taken)) {}
    ~Lease() { pool.give(std::move(entry)); }
    Pool& pool;
    Entry entry;
  };

  // Shelf holds the idle connections of one process.
  struct Shelf {
    const pid_t pid;
    std::mutex mutex;
    std::vector<Entry> idle; // guarded by mutex; the last was used last

    Shelf() : pid(getpid()) {}
  };

  // shelf returns this process's. A child's is another: its parent's mutex may have been held when it was forked, and is
  // held for ever there.
  Shelf& shelf() {
    Shelf* now = shelf_.load();
    if (now->pid != getpid()) {
      Shelf* own = new Shelf();
      if (shelf_.compare_exchange_strong(now, own)) {
        return *own; // the parent's is left as it is
      }
      delete own;
    }
    return *now;
  }

  Entry take() {
    Shelf& shelf = this->shelf();
    {
      std::lock_guard<std::mutex> lock(shelf.mutex);
      if (!shelf.idle.empty()) {
        Entry entry = std::move(shelf.idle.back());
        shelf.idle.pop_back();
        return entry;
      }
    }
    Entry entry;
    const Shared<detail::Socket> socket(new detail::Socket(address_, options_.token));
    entry.protocol.reset(new detail::Protocol(socket, service_, options_.timeout));
    entry.client = std::make_shared<Client>(Shared<apache::thrift::protocol::TProtocol>(entry.protocol));
    return entry;
  }

  void give(Entry entry) {
    if (!entry.protocol->clean()) {
      return;
    }
    entry.since = Clock::now();
    std::vector<Entry> old; // closed outside of the lock
    Shelf& shelf = this->shelf();
    std::vector<Entry>& idle = shelf.idle;
    std::lock_guard<std::mutex> lock(shelf.mutex);
    std::size_t stale = 0; // the front has waited longest
    while (stale < idle.size() && entry.since - idle[stale].since > std::chrono::seconds(60)) {
      stale++;
    }
    old.assign(std::make_move_iterator(idle.begin()), std::make_move_iterator(idle.begin() + stale));
    idle.erase(idle.begin(), idle.begin() + stale);
    idle.push_back(std::move(entry));
  }

  const std::string service_;
  const Options options_;
  const detail::Address address_;
  std::atomic<Shelf*> shelf_;
};

// connect returns a pool that may be shared.
template <class Client>
std::shared_ptr<Pool<Client>> connect(const std::string& service, const Options& options = Options()) {
  return std::make_shared<Pool<Client>>(service, options);
}

} // namespace skerry

#endif // SKERRY_HPP
