// Runs a folder of dispatches in Dawn and holds what they leave against what they must: node run.mjs FOLDER.
// examples/dawn writes such a folder, and examples/dawn/script.rs says what is in it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Dispatches } from './dispatches.mjs';
import { STORAGE, download, openDevice } from './webgpu.mjs';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: node run.mjs FOLDER');
  process.exit(2);
}
const cases = JSON.parse(readFileSync(join(folder, 'script.json'), 'utf8'));
const data = readFileSync(join(folder, 'data.bin'));
const device = await openDevice();

const shaders = new Dispatches(device, (path) => readFileSync(join(folder, path), 'utf8'));

// The values that an expectation is about, those it wants, and whether the worst of them will do.
function compare({ what, offset, count, data: begin, measure }, bytes) {
  const at = data.byteOffset + begin;
  if (!measure) {
    const [got, want] = [new Uint32Array(bytes, offset, count), new Uint32Array(data.buffer, at, count)];
    const wrong = want.findIndex((value, i) => value !== got[i]);
    return { ok: wrong < 0, text: wrong < 0 ? '' : `${what}[${wrong}] is ${got[wrong]}, not ${want[wrong]}` };
  }
  const { storage, scales, tolerance } = measure;
  const { read, spacing } = STORAGE[storage];
  const [got, want] = [read(bytes, offset, count), new Float64Array(data.buffer, at, count)];
  let worst = 0;
  for (let i = 0; i < count; i++) {
    const rounding = Math.max(spacing(got[i]), spacing(want[i])) / 2;
    const difference = Math.abs(got[i] - want[i]);
    const error = (difference <= rounding ? 0 : difference - rounding) / scales[scales.length === 1 ? 0 : i];
    if (!(error <= worst)) worst = error; // a NaN, too
    if (Number.isNaN(worst)) break;
  }
  return { ok: worst <= tolerance, text: `${what} ${worst.toExponential(1)}` };
}

// What became of each expectation, and Dawn's own complaints.
async function run({ buffers: listed, dispatches, expectations }) {
  const contents = ({ size, data: offset }) =>
    ({ size, contents: offset === null ? null : data.subarray(offset, offset + size) });
  const buffers = shaders.makeBuffers(dispatches, listed.map(contents));
  const { result, errors } = await shaders.run(dispatches, buffers, async () => {
    const downloads = new Map();
    for (const { buffer } of expectations) {
      if (!downloads.has(buffer)) downloads.set(buffer, await download(device, buffers[buffer]));
    }
    return expectations.map((expectation) => compare(expectation, downloads.get(expectation.buffer)));
  });
  for (const buffer of buffers) buffer.destroy();
  return [...result, ...errors.map((text) => ({ ok: false, text }))];
}

const needsFloat16 = ({ dispatches }) =>
  dispatches.some(({ shader }) => /^enable f16;/m.test(readFileSync(join(folder, shader), 'utf8')));

let [failed, skipped] = [0, 0];
for (const script of cases) {
  if (!device.features.has('shader-f16') && needsFloat16(script)) {
    console.log(`SKIPPED, since the device has no shader-f16: ${script.name}`);
    skipped += 1;
    continue;
  }
  const outcomes = await run(script);
  const ok = outcomes.length > 0 && outcomes.every((outcome) => outcome.ok);
  const texts = outcomes.filter(({ text }) => text).map(({ text, ok }) => (ok ? text : `${text} (!)`));
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${script.name}: ${texts.join(', ')}`);
  if (!ok) failed += 1;
}
device.destroy();
console.log(`${cases.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed || cases.length === 0 ? 1 : 0);
