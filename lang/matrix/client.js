'use strict';
/* Calls every service by every protocol with the stock client of Node.js; see client.py. */
const assert = require('assert');
const crypto = require('crypto');
const thrift = require('thrift');

const Matrix = require('./Matrix');
const { Colour, Denied, Everything, Leaf } = require('./matrix_types');
const { Int64, TApplicationException } = { Int64: thrift.Int64, ...thrift.Thrift };

const [address, ...jobs] = process.argv.slice(2);
const big = crypto.randomBytes(5 << 20);
const i64 = (hex) => new Int64(Buffer.from(hex, 'hex'));
const value = () => new Everything({
  yes: true, no: false, small: -5, middle: -300, number: 1 << 30, big: i64('c000000000000000'), real: -2.5,
  text: 'grüß 你好', data: Buffer.from(Array.from({ length: 256 }, (_, i) => i)), numbers: [0, -1, 70000],
  words: ['a', 'b'], counts: { one: new Int64(1), many: i64('0000010000000000') }, nothing: {},
  leaves: [new Leaf({ name: '', weight: new Int64(0) }), new Leaf({ name: 'l', weight: i64('fffffffffffffff7') })],
  colour: Colour.GREEN, nested: { '-1': [], 5: [new Leaf({ name: 'x', weight: new Int64(1) })] },
  far: 12,
});

/** A comparable form: Int64 and bytes as text, words and keys sorted. */
function plain(v) {
  if (v instanceof Int64) return v.toOctetString();
  if (Buffer.isBuffer(v)) return v.toString('hex');
  if (Array.isArray(v)) return v.map(plain);
  if (v === null || typeof v !== 'object') return v;
  const all = {};
  for (const key of Object.keys(v).sort()) if (v[key] !== null && v[key] !== undefined) all[key] = plain(v[key]);
  if (all.words) all.words.sort();
  return all;
}
function same(got, want) {
  const [one, other] = [JSON.stringify(plain(got)), JSON.stringify(plain(want))];
  assert.ok(one === other, `got ${one}, want ${other}`);
}

/** Runs calls on a connection of its own. */
async function connected(kind, service, run) {
  const connection = thrift.createUDSConnection(address, {
    transport: kind.startsWith('framed') ? thrift.TFramedTransport : thrift.TBufferedTransport,
    protocol: kind === 'header' ? thrift.THeaderProtocol
      : kind.endsWith('compact') ? thrift.TCompactProtocol : thrift.TBinaryProtocol,
  });
  const broken = new Promise((_, reject) => {
    connection.on('error', reject);
    connection.on('close', () => reject(new Error('the connection has ended')));
  });
  broken.catch(() => {});
  try {
    const client = new thrift.Multiplexer().createClient(service, Matrix, connection);
    return await Promise.race([run(client), broken]);
  } finally {
    connection.end();
  }
}

async function thrown(kind, call) {
  try {
    await call;
  } catch (err) {
    assert.ok(err instanceof kind, `${err} is no ${kind.name}`);
    return err;
  }
  throw new Error(`no ${kind.name}`);
}

async function pair(kind, service, marks) {
  await connected(kind, service, async (client) => {
    assert.strictEqual(await client.name(), service);
    same(await client.mirror(value()), value());
    same(await client.table({}), {});
    const table = { empty: [], full: [new Int64(1), i64('ffffff0000000000')] };
    same(await client.table(table), table);
    const denied = await thrown(Denied, client.deny('no'));
    assert.deepStrictEqual([denied.reason, denied.code], ['no', 403]);
    await thrown(TApplicationException, client.fail('as asked for'));
    const text = `node ${kind}`;
    client.note(text).catch(() => {}); // one-way: never resolved
    for (const until = Date.now() + 10000; !(await client.noted(text));) assert.ok(Date.now() < until, 'not noted');
    if (!marks.includes('~')) same(await client.flags([true, false, true]), [true, false, true]);
    if (marks.includes('!')) assert.ok(big.equals(await client.blob(big)), 'another blob');
  });
  await connected(kind, service, async (client) => assert.strictEqual(await client.name(), service));
}

/** 16 connections at a time, each with several calls under way. */
async function threads(kind, services) {
  await Promise.all(Array.from({ length: 16 }, async (_, number) => {
    for (let i = 0; i < services.length; i++) {
      const service = services[(number + i) % services.length];
      await connected(kind, service, (client) => Promise.all([0, 1, 2].map(async (j) => {
        const table = { [`${number} ${j}`]: [new Int64(number), new Int64(j)] };
        same(await client.table(table), table);
      })));
    }
  }));
}

async function report(kind, what, call) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('no answer in 30 s')), 30000); });
  try {
    await Promise.race([call(), late]);
    console.log(`ok ${kind} ${what}`);
  } catch (err) {
    console.log(`FAIL ${kind} ${what}: ${String(err && err.stack || err).split('\n').slice(0, 3).join(' ')}`);
  } finally {
    clearTimeout(timer);
  }
}

(async () => {
  for (const job of jobs) {
    const [kind, list] = job.split('=');
    const named = list.split(',');
    const services = named.map((name) => name.replace(/[!~]/g, ''));
    for (let i = 0; i < named.length; i++) {
      await report(kind, services[i], () => pair(kind, services[i], named[i].slice(services[i].length)));
    }
    await report(kind, 'threads', () => threads(kind, services));
  }
  process.exit(0);
})();
