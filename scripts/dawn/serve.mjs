// Runs programs that come over standard input, and answers over standard output, until the input ends:
// testkit/src/elsewhere/dawn.rs starts it and says what is sent. A message is the length of a JSON text in four bytes,
// that text, and the bytes that it speaks of.
import { readSync, writeSync } from 'node:fs';
import { Dispatches } from './dispatches.mjs';
import { download, openDevice } from './webgpu.mjs';

console.log = console.error; // standard output is for messages

// So many bytes, or null where the input ends.
function read(count) {
  const bytes = Buffer.alloc(count);
  for (let at = 0; at < count; ) {
    const got = readSync(0, bytes, at, count - at);
    if (got === 0) return null;
    at += got;
  }
  return bytes;
}

function write(bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

function reply(text, blobs = []) {
  const json = Buffer.from(JSON.stringify({ text }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  for (const bytes of [length, json, ...blobs]) write(bytes);
}

const device = await openDevice();
const shaders = new Dispatches(device, (source) => source);
reply(`Dawn on ${device.adapterInfo.description}`);
for (let length = read(4); length; length = read(4)) {
  const { buffers: sent, dispatches } = JSON.parse(read(length.readUInt32LE()).toString());
  const contents = sent.map(({ size, contents }) => ({ size, contents: contents > 0 ? read(contents) : null }));
  const buffers = shaders.makeBuffers(dispatches, contents);
  const { result, errors } = await shaders.run(dispatches, buffers, async () => {
    const returned = [];
    for (const [i, { returned: wanted }] of sent.entries()) {
      if (wanted) returned.push(new Uint8Array(await download(device, buffers[i])));
    }
    return returned;
  });
  for (const buffer of buffers) buffer.destroy();
  if (errors.length > 0) reply(errors.join('\n'));
  else reply('', result);
}
device.destroy();
process.exit(0);
