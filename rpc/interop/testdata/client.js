// Calls the service of echo.thrift with the stock library of Node.js and
// prints what came back as JSON.
//
//     client.js STUBS HOST PORT FRAMING ENCODING
//
// FRAMING is framed or unframed, ENCODING is binary or compact. The library
// is found by NODE_PATH.
'use strict';

const path = require('path');
const thrift = require('thrift');

const [stubs, host, port, framing, encoding] = process.argv.slice(2);
const Echo = require(path.join(stubs, 'Echo'));
const { Message, Refusal } = require(path.join(stubs, 'echo_types'));

const connection = thrift.createConnection(host, Number(port), {
  transport: { framed: thrift.TFramedTransport, unframed: thrift.TBufferedTransport }[framing],
  protocol: { binary: thrift.TBinaryProtocol, compact: thrift.TCompactProtocol }[encoding],
  connect_timeout: 5000,
});
connection.on('error', give);

function give(err) {
  console.error(`client.js: ${err.stack || err}`);
  process.exit(1);
}

// plain is a Message as JSON has it; its number stays exact as text.
function plain(m) {
  const number = m.number && BigInt.asIntN(64, BigInt('0x' + m.number.toOctetString())).toString();
  return { text: m.text, tags: m.tags, number, parts: (m.parts || []).map(plain) };
}

async function failure(promise, kind) {
  try {
    await promise;
  } catch (err) {
    if (err instanceof kind) return err;
    throw err;
  }
  throw new Error('a call that must fail did not');
}

async function main() {
  const client = thrift.createClient(Echo, connection);
  const out = { who: await client.who() };
  const part = new Message({ text: 'part', tags: {}, number: new thrift.Int64('8000000000000000'), parts: [] });
  const number = new thrift.Int64('4000000000000000');
  const sent = new Message({ text: 'grüße, 世界', tags: { a: '1', '': 'empty' }, number, parts: [part, part, part] });
  out.echo = plain(await client.echo(sent));
  out.large = (await client.echo(new Message({ text: 'x'.repeat(200000) }))).text.length;
  out.refusal = (await failure(client.echo(new Message({ text: 'refuse' })), Refusal)).why;
  const error = await failure(client.fail('error'), thrift.Thrift.TApplicationException);
  out.error = { type: error.type, message: error.message };

  // Many calls at once on one connection: the library pairs the replies by
  // their sequence ids.
  const many = await Promise.all([...Array(50).keys()].map((i) => client.echo(new Message({ text: `call ${i}` }))));
  out.paired = many.every((m, i) => m.text === `call ${i}`);

  client.note('from Node.js');
  out.again = await client.who();
  console.log(JSON.stringify(out));
  connection.end();
}

main().catch(give);
