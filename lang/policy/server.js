'use strict';
/* Serves Shop with the stock library of Node.js: server.js NAME=PORT */
const thrift = require('thrift');

const Shop = require('./Shop');
const { Denied } = require('./shop_types');

const [name, port] = process.argv[2].split('=');
const counts = {};
const counted = (method, f) => (...args) => {
  counts[method] = (counts[method] || 0) + 1;
  return f(...args);
};
const handler = {
  deny: (reason) => Promise.reject(new Denied({ reason })),
  executed: (method) => Promise.resolve(counts[method] || 0),
  slow: (millis) => new Promise((resolve) => { setTimeout(() => resolve(name), millis); }),
};
for (const method of ['name', 'faulty', 'delayed', 'routed', 'nowhere', 'copied']) handler[method] = () => Promise.resolve(name);
for (const method of Object.keys(handler)) if (method !== 'executed') handler[method] = counted(method, handler[method]);
const server = thrift.createServer(Shop, handler, { transport: thrift.TFramedTransport, protocol: thrift.TCompactProtocol });
server.on('error', (err) => console.error(name, err)); // such as a connection that the proxy gave up
server.listen(Number(port), '127.0.0.1');
process.stdin.on('end', () => process.exit(0)).resume();
