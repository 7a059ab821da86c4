'use strict';
/* The helper against the stock library: contexts that cross, connections that break, servers of each kind. */
const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const { EventEmitter } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');

const thrift = require('thrift');

const skerry = require('..');
const { Caller, running, standin } = require('./standin');

const gen = process.env.SKERRY_TEST_GEN;
const Auth = require(path.join(gen, 'Auth'));
const Billing = require(path.join(gen, 'Billing'));
const { Denied } = require(path.join(gen, 'billing_types'));

const es6 = Auth.Client.prototype.verify.length === 1;

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry-node-'));
let count = 0;
const fresh = () => path.join(dir, `${++count}.sock`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const echo = (call, answer) => answer(call.word || 'none');

after(() => {
  for (const end of running) end();
  fs.rmSync(dir, { recursive: true, force: true });
  setTimeout(() => process.exit(), 1000).unref(); // servers of a failed test would keep the process
});

/** Serves Billing, whose handler calls Auth through the proxy at address by the carrier that is asked for. */
async function billing(address, options = {}) {
  const auth = skerry.connect('auth', Auth, { address });
  const emitter = new EventEmitter();
  const later = { // each runs what it is given in another turn of the loop
    await: (run) => pause(5).then(run),
    timer: (run) => new Promise((resolve) => setTimeout(() => resolve(run()), 20)),
    immediate: (run) => new Promise((resolve) => setImmediate(() => resolve(run()))),
    tick: (run) => new Promise((resolve) => process.nextTick(() => resolve(run()))),
    socket: (run) => new Promise((resolve) => net.connect(options.web).once('data', () => resolve(run()))),
    emitter: (run) => new Promise((resolve) => {
      emitter.once('go', skerry.wrap(() => resolve(run())));
      setTimeout(() => emitter.emit('go'), 5);
    }),
    callback: (run) => new Promise((resolve, reject) => {
      auth.verify('callback', (err) => (err ? reject(err) : resolve(run())));
    }),
    detached: (run) => skerry.detach(run),
  };
  const noting = { // each makes a one-way call and ends
    note: async (token) => {
      auth.note(token);
      return token;
    },
    'awaited note': async (token) => {
      await auth.note(token);
      return token;
    },
    'note and fail': async (token) => {
      auth.note(token);
      throw new Error('behind a one-way call');
    },
    'note and throw': (token) => {
      auth.note(token);
      throw new Error('behind a one-way call');
    },
  };
  const handler = {
    charge: (carrier, token) => (noting[carrier] || ((text) => later[carrier](() => auth.verify(text))))(token),
    remaining: () => Promise.resolve(Math.round(skerry.remaining() === undefined ? -1 : skerry.remaining())),
    later: async (token) => {
      await pause(200);
      auth.note(token);
    },
    fail: (how) => {
      if (how === 'denied') return Promise.reject(new Denied({ reason: 'not today' }));
      if (how === 'promise') return Promise.reject(new Error('in the promise'));
      throw new Error('at once');
    },
  };
  let server;
  const stock = { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol, ...options.server };
  if (options.multiplexed) {
    const processor = new thrift.MultiplexedProcessor();
    processor.registerProcessor('billing', new Billing.Processor(handler));
    server = thrift.createMultiplexServer(skerry.processor(processor), stock);
  } else {
    server = thrift.createServer(skerry.processor(Billing), handler, stock);
  }
  const errors = [];
  server.on('error', (err) => errors.push(err));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: server.address().port, errors, end: () => new Promise((resolve) => server.close(resolve)) };
}

describe('contexts', () => {
  let proxy;
  let web;
  let program;
  const callers = [];
  before(async () => {
    const address = fresh();
    proxy = await standin(address, (call, answer) => setTimeout(() => echo(call, answer), 10));
    web = net.createServer((socket) => setTimeout(() => socket.end('x'), 5));
    await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
    program = await billing(address, { web: web.address().port });
    callers.push(new Caller(program.port), new Caller(program.port));
  });
  after(async () => {
    callers.forEach((caller) => caller.end());
    await program.end();
    web.close();
    await proxy.end();
  });

  const carriers = ['await', 'timer', 'immediate', 'tick', 'socket', 'emitter'];
  if (!es6) {
    carriers.push('callback'); // other generated clients take one
  }
  for (const carrier of carriers) {
    it(`two requests cross: ${carrier}`, async () => {
      const [first, second] = callers;
      for (let i = 0; i < 10; i++) {
        const replies = await Promise.all([
          first.call('ctx=one.5000;charge', [carrier, 'a']),
          second.call('ctx=two.5000;charge', [carrier, 'b']),
        ]);
        assert.deepStrictEqual(replies.map((reply) => reply.fields[0]), ['one', 'two']);
        const without = await first.call('charge', [carrier, 'c']);
        assert.strictEqual(without.fields[0], 'none');
      }
    });
  }

  it('detach ends the request', async () => {
    const reply = await callers[0].call('ctx=one.5000;charge', ['detached', 'a']);
    assert.strictEqual(reply.fields[0], 'none');
  });

  it('a one-way handler that outlives its call calls under its word', async () => {
    callers[0].call('ctx=away;later', ['x'], thrift.Thrift.MessageType.ONEWAY);
    for (let i = 0; i < 200 && !proxy.seen.includes('ctx=away;auth:note'); i++) await pause(10);
    assert.ok(proxy.seen.includes('ctx=away;auth:note'));
  });

  it('remaining', async () => {
    const left = (await callers[0].call('ctx=one.1500;remaining')).fields[0];
    assert.ok(left > 500 && left <= 1500, String(left));
    assert.strictEqual((await callers[0].call('ctx=one;remaining')).fields[0], -1);
    assert.strictEqual((await callers[0].call('remaining')).fields[0], -1);
    assert.strictEqual(skerry.remaining(), undefined);
  });

  it('failures of handlers are answered', async () => {
    for (const [how, text] of [['promise', 'in the promise'], ['throw', 'at once']]) {
      const { error } = await callers[0].call('ctx=one;fail', [how]);
      assert.match(error.message, new RegExp(text));
    }
    if (es6) { // other generated code catches it itself, and names no type
      assert.strictEqual((await callers[0].call('ctx=one;fail', ['throw'])).error.type, 6);
    }
    assert.match((await callers[0].call('ctx=one;unheard')).error.message, /Unknown function unheard/);
    assert.deepStrictEqual(program.errors, []);
  });

  it('a name with ctx= that is no context is a name', async () => {
    const { error } = await callers[0].call('ctx=;charge', ['await', 'a']);
    assert.match(error.message, /Unknown function ctx=;charge/);
  });
});

describe('one-way calls', () => {
  let answers; // to skerry.sent
  let proxy;
  let program;
  let caller;
  const begin = async (options = {}) => {
    const address = fresh();
    answers = [];
    proxy = await standin(address, echo, { sent: (answer) => answers.push(answer) });
    program = await billing(address, options);
    caller = new Caller(program.port);
  };
  const end = async () => {
    caller.end();
    await program.end();
    await proxy.end();
  };
  const until = async (what) => {
    for (let i = 0; i < 400 && !what(); i++) await pause(5);
    assert.ok(what());
  };

  it('the reply leaves when they are passed on', async () => {
    await begin();
    for (const carrier of ['note', 'awaited note', 'note and fail', 'note and throw']) {
      let reply;
      caller.call('ctx=one.5000;charge', [carrier, 'x']).then((got) => { reply = got; });
      await until(() => answers.length === 1);
      await pause(30);
      assert.strictEqual(reply, undefined, carrier);
      answers.pop()();
      await until(() => reply !== undefined);
      if (carrier.endsWith('note')) assert.strictEqual(reply.fields[0], 'x');
      else assert.match(reply.error.message, /behind a one-way call/);
    }
    assert.deepStrictEqual(proxy.seen.slice(1, 3), ['ctx=one;auth:note', 'ctx=one;skerry.sent']);
    await end();
  });

  it('other requests of the program do not wait', async () => {
    await begin();
    const held = caller.call('ctx=one.5000;charge', ['note', 'x']);
    await until(() => answers.length === 1);
    const other = new Caller(program.port);
    assert.strictEqual((await other.call('ctx=two.5000;charge', ['await', 'y'])).fields[0], 'two');
    assert.strictEqual((await other.call('charge', ['note', 'z'])).fields[0], 'z'); // of no request of the proxy
    assert.strictEqual(answers.length, 1);
    other.end();
    answers.pop()(new Error('a proxy that does not know it'));
    assert.strictEqual((await held).fields[0], 'x');
    await end();
  });

  it('the deadline ends the wait', async () => {
    await begin();
    const began = Date.now();
    assert.strictEqual((await caller.call('ctx=one.100;charge', ['note', 'x'])).fields[0], 'x');
    assert.ok(Date.now() - began >= 1000 && Date.now() - began < 3000, String(Date.now() - began));
    await end();
  });

  it('the end of the proxy ends the wait', async () => {
    await begin();
    const reply = caller.call('ctx=one;charge', ['note', 'x']);
    await until(() => answers.length === 1);
    for (const socket of proxy.sockets) socket.destroy();
    assert.strictEqual((await reply).fields[0], 'x');
    await end();
  });
});

describe('servers', () => {
  const kinds = {
    'framed': {},
    'unframed': { server: { transport: thrift.TBufferedTransport }, buffered: true },
    'multiplexed': { multiplexed: true },
  };
  for (const [name, options] of Object.entries(kinds)) {
    it(name, async () => {
      const address = fresh();
      const proxy = await standin(address, echo);
      const program = await billing(address, options);
      const caller = new Caller(program.port, options.buffered);
      const hello = await caller.call('skerry.helper');
      assert.deepStrictEqual(hello.fields, { 1: 'node 1.0', 2: false });
      const prefix = options.multiplexed ? 'billing:' : '';
      const reply = await caller.call(`ctx=abc.900;${prefix}charge`, ['await', 'x']);
      assert.strictEqual(reply.fields[0], 'abc');
      assert.strictEqual(reply.message.fname, 'charge');
      caller.end();
      await program.end();
      await proxy.end();
    });
  }

  it('compact', async () => {
    const address = fresh();
    const proxy = await standin(address, echo);
    const program = await billing(address, { server: { protocol: thrift.TCompactProtocol } });
    const connection = thrift.createConnection('127.0.0.1', program.port, { transport: thrift.TFramedTransport, protocol: thrift.TCompactProtocol });
    const client = thrift.createClient(Billing, connection);
    assert.strictEqual(await client.charge('await', 'x'), 'none');
    connection.end();
    await program.end();
    await proxy.end();
  });
});

describe('connections', () => {
  it('calls side by side, answered in any order, on one connection', async () => {
    const address = fresh();
    const proxy = await standin(address, (call, answer) => setTimeout(() => answer(call.text), call.text === 'slow' ? 300 : 1));
    const auth = skerry.connect('auth', Auth, { address });
    const order = [];
    await Promise.all(['slow', 'quick'].map((text) => auth.verify(text).then((got) => order.push(got))));
    assert.deepStrictEqual(order, ['quick', 'slow']);
    assert.strictEqual(proxy.sockets.size, 1);
    assert.deepStrictEqual(proxy.seen, ['skerry.login', 'auth:verify', 'auth:verify']);
    await proxy.end();
  });

  it('the program starts before the proxy', async () => {
    const address = fresh();
    const auth = skerry.connect('auth', Auth, { address });
    const early = auth.verify('early');
    await pause(500);
    const proxy = await standin(address, echo);
    assert.strictEqual(await early, 'none');
    await proxy.end();
  });

  it('no proxy: told after two seconds, not executed', async () => {
    const address = fresh();
    const auth = skerry.connect('auth', Auth, { address });
    const began = Date.now();
    await assert.rejects(auth.verify('x'), (err) => {
      assert.match(err.message, /no skerry proxy at .*sock/);
      assert.strictEqual(err.executed, false);
      return true;
    });
    assert.ok(Date.now() - began >= 1800);
  });

  it('the proxy is started again', async () => {
    const address = fresh();
    const auth = skerry.connect('auth', Auth, { address });
    for (let i = 0; i < 3; i++) {
      const proxy = await standin(address, echo);
      assert.strictEqual(await auth.verify('x'), 'none');
      await proxy.end();
    }
  });

  it('a killed proxy: the call in flight fails once, the next goes to the new one', async () => {
    const address = fresh();
    const first = await standin(address, () => {});
    const auth = skerry.connect('auth', Auth, { address });
    const lost = auth.verify('x');
    while (!first.seen.includes('auth:verify')) await pause(5);
    await first.end();
    await assert.rejects(lost, (err) => err instanceof skerry.TransportError && err.executed === undefined);
    const second = await standin(address, echo);
    assert.strictEqual(await auth.verify('x'), 'none');
    await second.end();
  });

  it('a proxy that reads no more: what it read is answered, the rest is sent to the new one, each once', async () => {
    const address = fresh();
    const python = process.env.SKERRY_TEST_PYTHON || 'python3';
    const { spawn } = require('node:child_process');
    const old = spawn(python, [path.join(__dirname, 'halfclose.py'), address], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => old.stdout.once('data', resolve));
    const auth = skerry.connect('auth', Auth, { address });
    const first = auth.verify('first'); // answered 300 ms after the shutdown of the reading half
    await new Promise((resolve) => old.stdout.once('data', resolve));
    const proxy = await standin(address, (call, answer) => answer('new ' + call.text));
    const others = [auth.verify('second'), auth.verify('third'), auth.note('fourth')];
    assert.deepStrictEqual(await Promise.all(others.slice(0, 2)), ['new second', 'new third']);
    assert.strictEqual(await first, 'old');
    while (!proxy.seen.includes('auth:note')) await pause(5);
    assert.deepStrictEqual([...proxy.seen].sort(), ['auth:note', 'auth:verify', 'auth:verify', 'skerry.login']);
    await proxy.end();
  });

  it('a reply that does not come in time', async () => {
    const address = fresh();
    const held = [];
    const proxy = await standin(address, (call, answer) => (call.text === 'x' ? held.push(answer) : answer('ok')));
    await assert.rejects(skerry.connect('auth', Auth, { address, timeout: 200 }).verify('x'), { code: 'ETIMEDOUT' });
    while (held.length === 0) await pause(5);
    held[0]('late');
    assert.strictEqual(await skerry.connect('auth', Auth, { address }).verify('y'), 'ok');
    await proxy.end();
  });

  it('over TCP with a token, and with a wrong one', async () => {
    const proxy = await standin(0, echo, { token: 'secret' });
    const address = `127.0.0.1:${proxy.server.address().port}`;
    assert.strictEqual(await skerry.connect('auth', Auth, { address, token: 'secret' }).verify('x'), 'none');
    await assert.rejects(skerry.connect('auth', Auth, { address, token: 'wrong' }).verify('x'), /login refused/);
    await proxy.end();
  });

  for (const [name, bytes, message] of [
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', /no frame, or too large/],
    ['half a frame', Buffer.from([0, 0, 0, 9, 1]), /ended before the reply/],
  ]) {
    it(`what answers speaks ${name}`, async () => {
      const address = fresh();
      const proxy = await standin(address, (call) => call.socket.end(bytes));
      await assert.rejects(skerry.connect('auth', Auth, { address }).verify('x'), message);
      await proxy.end();
    });
  }

  it('a reply that is cut short fails its own call only', async () => {
    const address = fresh();
    const proxy = await standin(address, (call, answer) => {
      if (call.text !== 'cut') return answer('ok');
      const name = Buffer.from('verify');
      const body = Buffer.concat([Buffer.from([0x80, 1, 0, 2, 0, 0, 0, 6]), name, Buffer.alloc(4), Buffer.from([11])]);
      body.writeInt32BE(call.seqid, 8 + name.length);
      const head = Buffer.alloc(4);
      head.writeInt32BE(body.length, 0);
      return call.socket.write(Buffer.concat([head, body]));
    });
    const auth = skerry.connect('auth', Auth, { address });
    const [cut, good] = await Promise.allSettled([auth.verify('cut'), auth.verify('y')]);
    assert.match(cut.reason.message, /reply to verify cannot be read/);
    assert.strictEqual(good.value, 'ok');
    await proxy.end();
  });

  it('a framework error is a TApplicationException', async () => {
    const address = fresh();
    const proxy = await standin(address, (call, answer) => answer(new Error('overloaded')));
    await assert.rejects(skerry.connect('auth', Auth, { address }).verify('x'), { name: 'TApplicationException', message: 'overloaded' });
    await proxy.end();
  });

  it('an address that is none', () => {
    assert.throws(() => skerry.connect('auth', Auth, { address: 'nowhere' }), /neither \/path, unix:\/path nor host:port/);
  });

  it('an idle connection does not keep the program alive', async () => {
    const address = fresh();
    const proxy = await standin(address, echo);
    const script = `
      const skerry = require(${JSON.stringify(path.join(__dirname, '..'))});
      const Auth = require(${JSON.stringify(path.join(gen, 'Auth'))});
      skerry.connect('auth', Auth, { address: ${JSON.stringify(address)} }).verify('x').then(console.log);`;
    const { spawn } = require('node:child_process');
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (data) => { out += data; });
    const code = await new Promise((resolve) => child.once('exit', resolve));
    assert.strictEqual(code, 0);
    assert.strictEqual(out.trim(), 'none');
    await proxy.end();
  });
});
