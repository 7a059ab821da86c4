'use strict';
/* Serves Matrix with the stock library of Node.js: server.js NAME=PORT..., where NAME is such as node-framed-binary. */
const thrift = require('thrift');

const Matrix = require('./Matrix');
const { Denied } = require('./matrix_types');

function options(kind) {
  return {
    transport: kind.startsWith('framed') ? thrift.TFramedTransport : thrift.TBufferedTransport,
    protocol: kind.endsWith('compact') ? thrift.TCompactProtocol : thrift.TBinaryProtocol,
  };
}

for (const pair of process.argv.slice(2)) {
  const [name, port] = pair.split('=');
  const notes = new Set();
  const handler = {
    name: () => Promise.resolve(name),
    mirror: (value) => Promise.resolve(value),
    blob: (data) => Promise.resolve(data),
    table: (table) => Promise.resolve(table),
    flags: (flags) => Promise.resolve(flags),
    deny: (reason) => Promise.reject(new Denied({ reason, code: 403 })),
    fail: (text) => Promise.reject(new Error(text)),
    note: (text) => { notes.add(text); },
    noted: (text) => Promise.resolve(notes.has(text)),
  };
  const server = thrift.createServer(Matrix, handler, options(name.slice(name.indexOf('-') + 1)));
  server.on('error', (err) => { console.error(name, err); process.exit(1); });
  server.listen(Number(port), '127.0.0.1');
}
process.stdin.on('end', () => process.exit(0)).resume();
