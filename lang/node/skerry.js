'use strict';
/*
 * Makes a Node.js program a full member of a skerry site, beside `skerry proxy` on its host.
 *
 *   const skerry = require('skerry');
 *   const auth = skerry.connect('auth', Auth);               // any service by name; one client for the whole program
 *   const server = thrift.createServer(skerry.processor(Billing), handler);
 *   skerry.remaining();                                      // milliseconds until the request's deadline, or undefined
 *   skerry.detach();                                         // from here on calls are no part of the request
 *
 * A call that the program makes while it serves a request is a part of that request: the proxy gives the request a
 * word, `processor` keeps it in an AsyncLocalStorage, and `connect` sends it along. The word stands for the trace, the
 * version token and the deadline, which stay in the proxy.
 *
 * Node.js 14.8 and later, thrift 0.14 and later, nothing else. README.md says what the context does not reach.
 */
const { AsyncLocalStorage, AsyncResource } = require('async_hooks');
const fs = require('fs');
const net = require('net');
const { performance } = require('perf_hooks');

const thrift = require('thrift');

const { MessageType, Type, TApplicationException, TApplicationExceptionType } = thrift.Thrift;

const VERSION = '1.0';
const DEFAULT_PROXY = '/run/skerry/proxy.sock';
const DIAL_FOR = 2000; // ms in which a proxy that starts or restarts is dialled again
const GRACE = 1000; // ms behind the deadline in which the proxy answers that it has passed
const MAX_FRAME = 64 << 20; // bytes of one reply; the proxy's own limit is lower
const WORD = /^ctx=([A-Za-z0-9_-]{1,24})(?:\.([0-9]{1,15}))?;/;
const HEADER = /^([A-Za-z0-9_-]{1,24})(?:\.([0-9]{1,15}))?$/;

const storage = new AsyncLocalStorage(); // undefined, or a Context

/** A call or a connection that failed on its way to the proxy. `executed` is false when the call cannot have begun. */
class TransportError extends Error {
  constructor(text, code, executed) {
    super(text);
    this.name = 'SkerryTransportError';
    this.code = code;
    this.executed = executed;
  }
}

/** A request that is served: its word, its deadline by performance.now(), and its one-way calls. */
class Context {
  constructor(word, deadline) {
    this.word = word;
    this.deadline = deadline; // undefined without one
    this.open = 0; // one-way calls that the proxy has not passed on yet
    this.waiting = []; // what runs when there are none
  }

  /** Runs run when the proxy has passed the request's one-way calls on: the reply ends the request's word. */
  whenSent(run) {
    if (this.open === 0) {
      run();
    } else {
      this.waiting.push(run);
    }
  }

  sent() {
    this.open--;
    if (this.open === 0) {
      for (const run of this.waiting.splice(0)) {
        run();
      }
    }
  }
}

/** Returns the milliseconds until the deadline of the request that is served here, undefined without one. */
function remaining() {
  const context = storage.getStore();
  if (context === undefined || context.deadline === undefined) {
    return undefined;
  }
  return Math.max(0, context.deadline - performance.now());
}

/** Runs run outside of any request and returns its result; without run, ends the request for what follows here. */
function detach(run) {
  if (run === undefined) {
    storage.enterWith(undefined);
    return undefined;
  }
  return storage.run(undefined, run);
}

/** Returns run bound to the request that is served here, for a pool or an emitter that calls it later. */
function wrap(run) {
  const context = storage.getStore();
  return function (...args) {
    return storage.run(context, () => run.apply(this, args));
  };
}

// Incoming calls.

/**
 * Wraps a generated service or its Processor, for thrift.createServer, or a processor that was built already
 * (a MultiplexedProcessor too), for thrift.createMultiplexServer. It must be the outermost.
 */
function processor(inner) {
  if (typeof inner.process === 'function') {
    return new Processor(inner);
  }
  const Inner = inner.Processor || inner;
  return function (handler) {
    return new Processor(new Inner(handler));
  };
}

class Processor {
  constructor(inner) {
    this.inner = inner;
  }

  registerProcessor(name, service) {
    this.inner.registerProcessor(name, service);
  }

  process(input, output) {
    const message = input.readMessageBegin(); // throws while the message is not here as a whole
    if (message.fname === 'skerry.helper') {
      introduce(input, output, message);
      return;
    }
    const { context, name } = incoming(message.fname, input);
    if (context !== undefined) {
      output = replies(output, context);
    }
    let read = false; // the arguments were: what fails later is the handler's
    input.readMessageBegin = () => ({ fname: name, mtype: message.mtype, rseqid: message.rseqid });
    input.readMessageEnd = function () {
      read = true;
      delete input.readMessageEnd;
      return input.readMessageEnd();
    };
    try {
      storage.run(context, () => this.inner.process(input, output));
    } catch (err) {
      if (!read) {
        throw err;
      }
      apologise(output, name, message, err);
    } finally {
      delete input.readMessageBegin;
      delete input.readMessageEnd;
    }
  }
}

/** Returns output for the reply of one request: it leaves behind the one-way calls that the request has made. */
function replies(output, context) {
  const held = Object.create(output);
  held.flush = function () {
    const { trans } = output;
    const write = trans && trans.onFlush;
    if (context.open === 0 || typeof write !== 'function') {
      context.whenSent(() => output.flush());
      return;
    }
    // What was written is taken now, and written later: others may use the transport meanwhile.
    trans.onFlush = (...reply) => context.whenSent(() => write.apply(trans, reply));
    try {
      output.flush();
    } finally {
      trans.onFlush = write;
    }
  };
  return held;
}

/** Splits ctx=WORD.MS;method into the context and the method. */
function incoming(name, input) {
  let found = WORD.exec(name);
  if (found !== null) {
    name = name.slice(found[0].length);
  } else if (input.trans && typeof input.trans.getReadHeaders === 'function') {
    const header = input.trans.getReadHeaders()['skerry-context'];
    found = header === undefined ? null : HEADER.exec(String(header));
  }
  if (found === null) {
    return { context: undefined, name };
  }
  const deadline = found[2] === undefined ? undefined : performance.now() + Number(found[2]);
  return { context: new Context(found[1], deadline), name };
}

function introduce(input, output, message) {
  input.skip(Type.STRUCT);
  input.readMessageEnd();
  output.writeMessageBegin('skerry.helper', MessageType.REPLY, message.rseqid);
  output.writeStructBegin('helper_result');
  output.writeFieldBegin('name', Type.STRING, 1);
  output.writeString('node ' + VERSION);
  output.writeFieldEnd();
  output.writeFieldBegin('ordered', Type.BOOL, 2); // handlers of one connection run side by side
  output.writeBool(false);
  output.writeFieldEnd();
  output.writeFieldStop();
  output.writeStructEnd();
  output.writeMessageEnd();
  output.flush();
}

/** Answers a call whose handler threw before it returned a promise; stock code would close the connection. */
function apologise(output, name, message, err) {
  if (message.mtype === MessageType.ONEWAY) {
    return;
  }
  const method = name.slice(name.lastIndexOf(':') + 1);
  const text = `Internal error processing ${method}: ${String(err).slice(0, 500)}`;
  output.writeMessageBegin(method, MessageType.EXCEPTION, message.rseqid);
  const failure = new TApplicationException(TApplicationExceptionType.INTERNAL_ERROR, text);
  failure.code = failure.type; // the stock library writes its field 2 from code
  failure.write(output);
  output.writeMessageEnd();
  output.flush();
}

// Outgoing calls.

const connections = new Map(); // one for each address and token

/**
 * Returns a stock client of a service, which is called by its name through the proxy. All clients of the program share
 * one connection, on which replies come as they are ready. Nothing is dialled before the first call.
 *
 * service   the name in the registry
 * Service   the generated service, or its Client
 * options   address: /path, unix:/path or host:port; else $SKERRY_PROXY, else /run/skerry/proxy.sock
 *           token: of the program, needed over TCP; else the content of the file $SKERRY_PROXY_TOKEN_FILE
 *           timeout: ms to wait for a reply; without it as long as the proxy takes, which ends each call in time
 */
function connect(service, Service, options = {}) {
  const address = options.address || process.env.SKERRY_PROXY || DEFAULT_PROXY;
  const key = JSON.stringify([address, options.token || null]);
  let connection = connections.get(key);
  if (connection === undefined) {
    connection = new Connection(address, options.token);
    connections.set(key, connection);
  }
  const output = new Output(connection, service, options.timeout);
  const Client = Service.Client || Service;
  const client = new Client(output, Protocol);
  output.client = client;
  client.new_seqid = () => connection.nextNumber();
  return client;
}

/** The binary protocol, with the name of the service and the word of the request before the name of the method. */
class Protocol extends thrift.TBinaryProtocol {
  writeMessageBegin(name, type, seqid) {
    const context = storage.getStore();
    const output = this.trans;
    output.begin(name, type === MessageType.ONEWAY, context);
    const full = output.service + ':' + name;
    super.writeMessageBegin(context === undefined ? full : `ctx=${context.word};${full}`, type, seqid);
  }
}

/** What a generated client writes to: one frame for a call, handed to the connection. */
class Output {
  constructor(connection, service, timeout) {
    this.connection = connection;
    this.service = service;
    this.timeout = timeout;
    this.client = undefined;
    this.parts = [];
    this.call = undefined;
  }

  begin(method, oneway, context) {
    this.parts = []; // of a call whose arguments could not be written
    this.call = { method, oneway, context };
  }

  setCurrSeqId(seqid) {
    this.call.seqid = seqid;
  }

  write(data, encoding) {
    this.parts.push(typeof data === 'string' ? Buffer.from(data, encoding || 'utf8') : data);
  }

  flush() {
    const body = Buffer.concat(this.parts);
    this.parts = [];
    const head = Buffer.alloc(4);
    head.writeInt32BE(body.length, 0);
    const { method, oneway, context, seqid } = this.call;
    const requests = this.client._reqs;
    const waits = !oneway || context !== undefined;
    if (waits && requests[seqid] !== undefined) {
      // The reply is read in the context of the connection; the callback belongs to the caller's.
      requests[seqid] = AsyncResource.bind(requests[seqid]);
    }
    const call = {
      client: this.client,
      method,
      oneway,
      seqid,
      frame: Buffer.concat([head, body]),
      limit: limitOf(this.timeout, context),
      timer: undefined,
      again: undefined,
    };
    this.connection.send(call);
    if (oneway && waits) {
      this.awaitSent(call, context);
    }
  }

  /** Sends behind a one-way call of a request what the proxy answers when it has passed that on. */
  awaitSent(call, context) {
    const requests = this.client._reqs;
    const callback = requests[call.seqid];
    if (callback !== undefined) {
      requests[call.seqid] = () => {}; // generated code calls it at once
    }
    const seqid = this.connection.nextNumber();
    context.open++;
    this.connection.send({
      behind: call,
      sent: () => {
        context.sent();
        if (callback !== undefined) {
          callback(null);
        }
      },
      oneway: false,
      seqid,
      frame: emptyCall(`ctx=${context.word};skerry.sent`, seqid),
      limit: call.limit,
      timer: undefined,
      again: undefined,
    });
  }
}

/** Returns the milliseconds that a call may take here, undefined for as long as the proxy takes. */
function limitOf(timeout, context) {
  if (context === undefined || context.deadline === undefined) {
    return timeout;
  }
  const left = Math.max(0, context.deadline - performance.now()) + GRACE;
  return timeout === undefined ? left : Math.min(left, timeout);
}

/** The way to one proxy: at most one link that takes calls, and older ones that still bring replies. */
class Connection {
  constructor(address, token) {
    this.where = address;
    this.to = parse(address);
    this.token = token;
    this.number = 0;
    this.link = undefined;
    this.waiting = []; // calls until there is a link
    this.dialling = false;
  }

  nextNumber() {
    this.number = (this.number % 0x7fffffff) + 1;
    return this.number;
  }

  send(call) {
    if (call.timer === undefined && call.limit !== undefined && !call.oneway) {
      call.timer = setTimeout(() => this.late(call), call.limit);
    }
    if (this.link !== undefined) {
      this.link.send(call);
      return;
    }
    this.waiting.push(call);
    if (!this.dialling) {
      this.dialling = true;
      // Outside of any request: what the socket calls later belongs to none.
      storage.run(undefined, () => this.dial(performance.now() + DIAL_FOR, 5));
    }
  }

  dial(until, pause) {
    let token;
    try {
      token = this.token || tokenFile();
    } catch (err) {
      this.undialled(err);
      return;
    }
    const link = new Link(this, token);
    link.once('connect', () => {
      this.dialling = false;
      this.link = link;
      link.login();
      for (const call of this.waiting.splice(0)) {
        link.send(call);
      }
    });
    link.failed = (err) => {
      if (performance.now() + pause >= until) {
        this.undialled(err);
        return;
      }
      setTimeout(() => this.dial(until, Math.min(2 * pause, 100)), pause);
    };
    link.connect(this.to);
  }

  undialled(err) {
    this.dialling = false;
    const text = `no skerry proxy at ${this.where}: ${err.message}`;
    for (const call of this.waiting.splice(0)) {
      fail(call, new TransportError(text, err.code || 'ECONNREFUSED', false));
    }
  }

  /** Takes calls that a link could not send: the proxy executed none of them. */
  resend(calls) {
    const now = performance.now();
    for (const call of calls) {
      call.again = call.again || now + DIAL_FOR;
      if (call.done) {
        continue;
      }
      if (now >= call.again) {
        fail(call, new TransportError(`skerry proxy at ${this.where}: the call could not be sent`, 'EPIPE', false));
        continue;
      }
      this.send(call);
    }
  }

  late(call) {
    if (call.link !== undefined) {
      call.link.forget(call);
    }
    fail(call, new TransportError(`skerry proxy at ${this.where}: no reply in time`, 'ETIMEDOUT', call.link ? undefined : false));
  }
}

/** One socket. It bypasses the stream's reading side: replies are to arrive also after a write failed with EPIPE. */
class Link extends net.Socket {
  constructor(connection, token) {
    super();
    this.connection = connection;
    this.token = token;
    this.calls = new Map(); // by number, sent and not answered
    this.outgoing = new Set(); // calls whose frame the kernel has not taken as a whole
    this.half = false; // the proxy reads no more; what it read before it answers
    this.open = false;
    this.chunks = [];
    this.have = 0;
    this.failed = undefined;
    this.on('error', (err) => {
      this.err = err;
    });
    this.on('close', () => this.closed());
    this.setNoDelay(true);
  }

  login() {
    this.open = true;
    this.unref();
    const body = loginCall(this.token);
    this.write(body);
  }

  send(call) {
    call.link = this;
    if (this.calls.size === 0 && !call.oneway) {
      this.ref();
    }
    if (!call.oneway) {
      this.calls.set(call.seqid, call);
    }
    this.outgoing.add(call);
    this.write(call.frame, (err) => {
      if (!err) {
        this.outgoing.delete(call);
      }
    });
  }

  /** A time-out. A link that has answered nothing since the call was sent is given up. */
  forget(call) {
    this.calls.delete(call.seqid);
    if ((this.answered || 0) < performance.now() - call.limit) {
      this.retire();
    }
    this.idle();
  }

  retire() {
    if (this.connection.link === this) {
      this.connection.link = undefined;
    }
    this.retired = true;
  }

  idle() {
    if (this.calls.size > 0) {
      return;
    }
    if (this.retired) {
      super.destroy();
      return;
    }
    this.unref();
  }

  destroy(err) {
    if (err && err.code === 'EPIPE' && this.open && !this.half && this.connection.to.path !== undefined) {
      // Frames that met EPIPE were executed by no process; replies to those before are still to come.
      this.half = true;
      this.retire();
      setImmediate(() => {
        this.resend();
        this.idle();
      });
      return this;
    }
    return super.destroy(err);
  }

  /** Hands on what the proxy cannot have read as a whole, which on a Unix socket is what the kernel refused. */
  resend() {
    // A one-way call that the kernel took is passed on before the link ends: that answers the call behind it.
    const calls = [...this.outgoing].filter(({ behind }) => behind === undefined || this.outgoing.has(behind));
    this.outgoing.clear();
    for (const call of calls) {
      this.calls.delete(call.seqid);
    }
    this.connection.resend(calls);
  }

  push(chunk) {
    if (chunk === null) {
      setImmediate(() => super.destroy());
      return true;
    }
    this.chunks.push(chunk);
    this.have += chunk.length;
    try {
      this.frames();
    } catch (err) {
      this.chunks = [];
      this.have = 0;
      super.destroy(err);
    }
    return true;
  }

  frames() {
    while (this.have >= 4) {
      if (this.chunks[0].length < 4) {
        this.chunks = [Buffer.concat(this.chunks)];
      }
      const size = this.chunks[0].readInt32BE(0);
      if (size < 0 || size > MAX_FRAME) {
        throw new TransportError('what came from it is no frame, or too large', 'EPROTO');
      }
      if (this.have < 4 + size) {
        return;
      }
      const all = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
      this.have = all.length - 4 - size;
      this.chunks = this.have > 0 ? [all.slice(4 + size)] : [];
      this.reply(all.slice(4, 4 + size));
    }
  }

  reply(frame) {
    const input = new thrift.TBinaryProtocol(new thrift.TFramedTransport(frame));
    const message = input.readMessageBegin();
    this.answered = performance.now();
    if (message.fname === 'skerry.login') {
      if (message.mtype === MessageType.EXCEPTION) {
        const refusal = new TApplicationException();
        refusal.read(input);
        throw new TransportError(`login refused: ${refusal.message}`, 'EACCES', false);
      }
      return;
    }
    const call = this.calls.get(message.rseqid);
    if (call === undefined) {
      return; // its time was over
    }
    this.calls.delete(message.rseqid);
    finish(call, input, message);
    this.idle();
  }

  closed() {
    this.retire();
    if (!this.open) {
      this.failed(this.err || new TransportError('the connection ended', 'ECONNRESET', false));
      return;
    }
    const why = this.err ? this.err.message : 'the connection ended before the reply';
    const text = `skerry proxy at ${this.connection.where}: ${why}`;
    const executed = this.err ? this.err.executed : undefined;
    if (this.connection.to.path !== undefined && executed === undefined) {
      this.resend();
    }
    const lost = [...this.calls.values()];
    this.calls.clear();
    for (const call of lost) {
      fail(call, new TransportError(text, (this.err && this.err.code) || 'ECONNRESET', executed));
    }
  }
}

/** Hands a reply to the generated client, as the stock connection does. */
function finish(call, input, message) {
  clearTimeout(call.timer);
  const first = !call.done;
  call.done = true;
  if (call.sent !== undefined) {
    if (first) call.sent();
    return;
  }
  const { client, method, seqid } = call;
  const callback = client._reqs[seqid];
  delete client._reqs[seqid];
  if (callback === undefined) {
    return;
  }
  let outcome;
  const number = -seqid;
  client._reqs[number] = (err, result) => {
    outcome = [err, result];
  };
  try {
    client['recv_' + method](input, message.mtype, number);
  } catch (err) {
    outcome = [new TransportError(`the reply to ${method} cannot be read: ${err.message || err.name}`, 'EPROTO')];
  }
  delete client._reqs[number];
  callback(...(outcome || [new TransportError(`the reply to ${method} cannot be read`, 'EPROTO')]));
}

function fail(call, err) {
  clearTimeout(call.timer);
  const first = !call.done;
  call.done = true;
  if (call.sent !== undefined) { // as of a one-way call, no failure is told
    if (first) call.sent();
    return;
  }
  const callback = call.client._reqs[call.seqid];
  delete call.client._reqs[call.seqid];
  if (callback !== undefined && !call.oneway) {
    callback(err);
  }
}

/** Returns the frame of a call without arguments. */
function emptyCall(name, seqid) {
  const frame = Buffer.alloc(4 + 12 + name.length + 1);
  frame.writeInt32BE(frame.length - 4, 0);
  frame.writeUInt32BE(0x80010000 + MessageType.CALL, 4);
  frame.writeInt32BE(name.length, 8);
  frame.write(name, 12, 'latin1');
  frame.writeInt32BE(seqid, 12 + name.length);
  return frame;
}

/** Returns the frame of skerry.login: replies may come in any order. */
function loginCall(token) {
  const parts = [];
  const output = new thrift.TFramedTransport(undefined, (frame) => parts.push(frame));
  const call = new thrift.TBinaryProtocol(output);
  call.writeMessageBegin('skerry.login', MessageType.CALL, 0);
  call.writeStructBegin('login_args');
  if (token) {
    call.writeFieldBegin('token', Type.STRING, 1);
    call.writeString(token);
    call.writeFieldEnd();
  }
  call.writeFieldBegin('unordered', Type.BOOL, 2);
  call.writeBool(true);
  call.writeFieldEnd();
  call.writeFieldStop();
  call.writeStructEnd();
  call.writeMessageEnd();
  call.flush();
  return parts[0];
}

/** Returns what net.Socket.connect takes. */
function parse(address) {
  if (address.startsWith('unix:')) {
    return { path: address.slice(5) };
  }
  if (address.includes('/')) {
    return { path: address };
  }
  const found = /^(.+):([0-9]+)$/.exec(address);
  if (found === null) {
    throw new Error(`address of the skerry proxy: "${address}" is neither /path, unix:/path nor host:port`);
  }
  return { host: found[1].replace(/^\[|\]$/g, ''), port: Number(found[2]) };
}

function tokenFile() {
  const path = process.env.SKERRY_PROXY_TOKEN_FILE;
  return path ? fs.readFileSync(path, 'utf8').trim() : undefined;
}

module.exports = { connect, processor, remaining, detach, wrap, TransportError };
