#!/usr/bin/env node
// Asks Portal for a report, with the stock Thrift library of Node.js.
//
//     node node/client.js 10.0.0.5:7001 [user] [key]
//
// The port is an ordinary port of a skerry service: it recognises plain
// Thrift clients by their first bytes. "skerry ls portal" prints the address.
'use strict';

const thrift = require('thrift');
const Portal = require('./gen/Portal');
const { Request } = require('./gen/portal_types');

const [addr, user = 'alice', key = 'pump-1'] = process.argv.slice(2);
if (!addr) {
  console.error('usage: client.js HOST:PORT [USER] [KEY]');
  process.exit(2);
}
const colon = addr.lastIndexOf(':');
const connection = thrift.createConnection(addr.slice(0, colon), Number(addr.slice(colon + 1)), {
  transport: thrift.TFramedTransport,
  protocol: thrift.TBinaryProtocol,
  connect_timeout: 3000,
});
connection.on('error', fail);

function fail(err) {
  console.error(`client.js: ${err.name}: ${err.message || JSON.stringify(err)}`);
  process.exit(1);
}

const portal = thrift.createClient(Portal, connection);
portal
  .handle(new Request({ user, secret: 'open sesame', key }))
  .then((answer) => {
    console.log(answer.text);
    for (const hop of answer.hops) {
      console.log(`  ${hop.callee}.${hop.method} answered by ${hop.instance} ${hop.version} in ${hop.micros} µs`);
    }
    connection.end();
  })
  .catch(fail);
