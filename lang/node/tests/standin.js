'use strict';
/* Stands in for `skerry proxy`: serves Auth on a socket by the names and words of docs/languages.md. */
const fs = require('fs');
const net = require('net');
const thrift = require('thrift');
const { MessageType, Type, TApplicationException } = thrift.Thrift;

const running = new Set(); // what ends each that a failed test left

/**
 * Starts one; handle(call, answer) gets {name, word, method, text, kind} and answers with text, or an Error.
 * options.sent(answer, socket) answers skerry.sent; without it that is answered at once.
 */
function standin(path, handle, options = {}) {
  const seen = [];
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    const receive = thrift.TFramedTransport.receiver((transport) => {
      const input = new thrift.TBinaryProtocol(transport);
      const message = input.readMessageBegin();
      const [first, second] = readStrings(input);
      seen.push(message.fname);
      const found = /^(?:ctx=([^;]*);)?([^;:]+):(.+)$/.exec(message.fname);
      const answer = (text) => socket.write(reply(found ? found[3] : message.fname, message.rseqid, text));
      if (message.fname === 'skerry.login') {
        answer(options.token && first !== options.token ? new Error('the token is another') : undefined);
        return;
      }
      if (/^ctx=[\w-]{1,24};skerry\.sent$/.test(message.fname)) {
        const acknowledge = (text) => socket.write(reply('skerry.sent', message.rseqid, text));
        (options.sent || ((done) => done()))(acknowledge, socket);
        return;
      }
      handle({ socket, seqid: message.rseqid, name: message.fname, word: found[1], service: found[2], method: found[3], text: first, second, kind: message.mtype }, answer);
    });
    socket.on('data', receive);
  });
  const end = () => {
    running.delete(end);
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  if (typeof path === 'string') fs.rmSync(path, { force: true });
  running.add(end);
  return new Promise((resolve) => server.listen(path, () => resolve({ server, seen, sockets, end })));
}

function readStrings(input) {
  const found = [];
  input.readStructBegin();
  for (;;) {
    const field = input.readFieldBegin();
    if (field.ftype === Type.STOP) break;
    if (field.ftype === Type.STRING) found.push(input.readString().toString());
    else input.skip(field.ftype);
  }
  return found;
}

function reply(method, seqid, text) {
  let frame;
  const output = new thrift.TBinaryProtocol(new thrift.TFramedTransport(undefined, (made) => { frame = made; }));
  if (text instanceof Error) {
    output.writeMessageBegin(method, MessageType.EXCEPTION, seqid);
    new TApplicationException(6, text.message).write(output);
  } else {
    output.writeMessageBegin(method, MessageType.REPLY, seqid);
    if (text !== undefined) {
      output.writeFieldBegin('success', Type.STRING, 0);
      output.writeString(text);
    }
    output.writeFieldStop();
  }
  output.writeMessageEnd();
  output.flush();
  return frame;
}

/** Calls a provider as the proxy does: one connection, one call at a time. */
class Caller {
  constructor(port, buffered = false) {
    this.socket = net.connect(port, '127.0.0.1');
    this.transport = buffered ? thrift.TBufferedTransport : thrift.TFramedTransport;
    this.waiting = [];
    this.socket.on('data', this.transport.receiver((transport) => {
      const input = new thrift.TBinaryProtocol(transport);
      const message = input.readMessageBegin();
      const next = this.waiting.shift();
      const fields = {};
      input.readStructBegin();
      for (;;) {
        const field = input.readFieldBegin();
        if (field.ftype === Type.STOP) break;
        fields[field.fid] = field.ftype === Type.STRING ? input.readString().toString()
          : field.ftype === Type.BOOL ? input.readBool()
          : field.ftype === Type.I32 ? input.readI32()
          : field.ftype === Type.I64 ? Number(input.readI64()) : (input.skip(field.ftype), 'struct');
      }
      transport.commitPosition();
      const failed = message.mtype === MessageType.EXCEPTION;
      next(failed ? { message, error: { message: fields[1], type: fields[2] } } : { message, fields });
    }));
  }

  call(name, args = [], kind = MessageType.CALL) {
    let frame;
    const output = new thrift.TBinaryProtocol(new this.transport(undefined, (made) => { frame = made; }));
    output.writeMessageBegin(name, kind, 7);
    args.forEach((text, i) => {
      output.writeFieldBegin('', Type.STRING, i + 1);
      output.writeString(text);
    });
    output.writeFieldStop();
    output.writeMessageEnd();
    output.flush();
    this.socket.write(frame);
    if (kind === MessageType.ONEWAY) return undefined;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  end() {
    this.socket.destroy();
  }
}

module.exports = { standin, running, Caller };
