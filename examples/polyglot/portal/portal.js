'use strict';
/* Portal, in Node.js: requests come in here, and go on to Auth and Proc. portal.js NAME VERSION PORT. */
const thrift = require('thrift');
const skerry = require('skerry');
const Auth = require('Auth');
const Portal = require('Portal');
const Proc = require('Proc');
const { Answer, Met } = require('polyglot_types');

const [program, version, port] = process.argv.slice(2);
const auth = skerry.connect('auth', Auth);
const proc = skerry.connect('proc', Proc);

const handler = {
  async handle(request, user, key) {
    console.log(Date.now(), request, 'handle');
    const token = await auth.getToken(request, user);
    const report = await proc.process(request, token.text, key);
    const self = new Met({ callee: 'portal', version, program });
    return new Answer({ text: report.text, met: [self, ...token.met, ...report.met] });
  },
};

const served = process.env.WITHOUT_HELPER ? Portal : skerry.processor(Portal);
const server = thrift.createServer(served, handler, { transport: thrift.TFramedTransport });
server.on('error', (err) => { // without it a connection that is reset ends the process
  console.error(err.message);
  if (err.syscall === 'listen') process.exit(1);
});
server.listen(port, '127.0.0.1');
