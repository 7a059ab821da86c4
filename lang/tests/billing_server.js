'use strict';
/* Serves Billing in Node.js with the helper, for the tests beside a real proxy: billing_server.js PORT. */
const path = require('node:path');

const thrift = require('thrift');

const skerry = require('../node');

const gen = process.env.SKERRY_TEST_GEN;
const Auth = require(path.join(gen, 'Auth'));
const Billing = require(path.join(gen, 'Billing'));

const auth = skerry.connect('auth', Auth);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const run = {
  note: (token) => {
    auth.note(token);
    return token;
  },
  detached: (token) => skerry.detach(() => auth.verify(token)),
};

const handler = {
  name: () => Promise.resolve('billing'),
  charge: async (carrier, token) => {
    if (carrier.startsWith('slow_')) {
      await pause(500);
      carrier = carrier.slice(5);
    }
    return (run[carrier] || ((text) => auth.verify(text)))(token);
  },
  remaining: () => Promise.resolve(Math.round(skerry.remaining() === undefined ? -1 : skerry.remaining())),
  later: async (token) => {
    await pause(200);
    auth.note(token);
  },
  fail: async (how) => {
    if (how === 'unreachable') {
      await skerry.connect('auth', Auth, { address: '127.0.0.1:1' }).verify('');
    }
    throw new Error('said by the handler');
  },
};

process.stdin.resume();
process.stdin.on('end', () => process.exit());
const options = { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol };
thrift.createServer(skerry.processor(Billing), handler, options).listen(Number(process.argv[2]), '127.0.0.1');
