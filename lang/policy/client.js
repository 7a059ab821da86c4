'use strict';
/* Calls Shop with the stock client of Node.js, as lines of JSON on stdin ask for, and answers by lines of JSON. */
const readline = require('readline');
const thrift = require('thrift');

const Shop = require('./Shop');

const connections = {};

/** The client of a service on a socket; framed with the binary protocol, or unframed with the compact one. */
function client(address, service, kind) {
  const key = `${address} ${kind}`;
  if (!connections[key]) {
    const c = thrift.createUDSConnection(address, {
      transport: kind.startsWith('framed') ? thrift.TFramedTransport : thrift.TBufferedTransport,
      protocol: kind.endsWith('compact') ? thrift.TCompactProtocol : thrift.TBinaryProtocol,
    });
    c.on('error', (err) => { console.error(err); process.exit(1); });
    connections[key] = c;
  }
  return new thrift.Multiplexer().createClient(service, Shop, connections[key]);
}

/** A form for JSON: whole numbers instead of Int64, and no unset fields. */
function plain(v) {
  if (v instanceof thrift.Int64) return v.toNumber();
  if (Array.isArray(v)) return v.map(plain);
  if (v === null || v === undefined || typeof v !== 'object') return v;
  const all = {};
  for (const key of Object.keys(v)) if (v[key] !== null && v[key] !== undefined) all[key] = plain(v[key]);
  return all;
}

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, address, service, kind, method, args } = JSON.parse(line);
  let answer;
  try {
    answer = { value: plain(await client(address, service, kind)[method](...args)) };
  } catch (err) {
    answer = { error: err.name, text: err.message || err.reason };
  }
  console.log(JSON.stringify({ id, ...answer }));
}).on('close', () => process.exit(0));
