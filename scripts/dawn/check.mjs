// Compiles the WGSL files named on the command line with Tint, the WGSL compiler of Chromium, and prints its
// errors. It runs on Dawn's null backend, so neither a GPU nor a driver is needed.
import { readFileSync } from 'node:fs';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);

// WGSL wants this line where subgroup operations are used; naga rejects it, so the crate's sources go without.
const withSubgroups = (source) =>
  /\bsubgroup[A-Z_]/.test(source) ? `enable subgroups;${source}` : source;

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: node check.mjs FILE.wgsl...');
  process.exit(2);
}

globalThis.gpu = create(['backend=null']); // kept from the garbage collector: Dawn crashes once this is collected
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ['shader-f16', 'subgroups'] });
device.addEventListener('uncapturederror', () => {}); // the messages are read below

let failed = 0;
for (const file of files) {
  const module = device.createShaderModule({ code: withSubgroups(readFileSync(file, 'utf8')) });
  const { messages } = await module.getCompilationInfo();
  const errors = messages.filter(({ type }) => type === 'error');
  for (const { lineNum, linePos, message } of errors) console.error(`${file}:${lineNum}:${linePos}: ${message}`);
  if (errors.length > 0) failed += 1;
}
device.destroy();
console.log(`Tint: ${files.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
