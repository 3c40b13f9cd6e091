// Dispatches as data, run in Dawn: testkit/src/elsewhere/program.rs says what they are.
import { makeBuffer } from './webgpu.mjs';

export class Dispatches {
  #device;
  #sourceOf;
  #pipelines = new Map();

  // `sourceOf` gives the WGSL of what a dispatch names as its shader.
  constructor(device, sourceOf) {
    this.#device = device;
    this.#sourceOf = sourceOf;
  }

  #pipelineOf({ shader, entry, constants }) {
    const key = JSON.stringify([shader, entry, constants]);
    if (!this.#pipelines.has(key)) {
      const module = this.#device.createShaderModule({ code: this.#sourceOf(shader) });
      const compute = { module, entryPoint: entry, constants };
      this.#pipelines.set(key, this.#device.createComputePipeline({ layout: 'auto', compute }));
    }
    return this.#pipelines.get(key);
  }

  // A buffer for each of these sizes, with its contents (bytes, or null for zeros).
  makeBuffers(dispatches, buffers) {
    const bindings = dispatches.flatMap((dispatch) => dispatch.bindings);
    const uniforms = new Set(bindings.filter(({ kind }) => kind === 'uniform').map(({ buffer }) => buffer));
    return buffers.map(({ size, contents }, i) => {
      const usage = uniforms.has(i) ? GPUBufferUsage.UNIFORM : GPUBufferUsage.STORAGE;
      return makeBuffer(this.#device, size, usage | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST, contents);
    });
  }

  #record(pass, dispatch, buffers) {
    const pipeline = this.#pipelineOf(dispatch);
    pass.setPipeline(pipeline);
    for (const group of new Set(dispatch.bindings.map((binding) => binding.group))) {
      const entries = dispatch.bindings
        .filter((binding) => binding.group === group)
        .map(({ binding, buffer, offset, size }) => ({
          binding,
          resource: { buffer: buffers[buffer], offset, size },
        }));
      pass.setBindGroup(
        group,
        this.#device.createBindGroup({ layout: pipeline.getBindGroupLayout(group), entries }),
      );
    }
    pass.dispatchWorkgroups(...dispatch.workgroups);
  }

  // Runs dispatches in one pass on these buffers, then `read`. Gives what that gives, and Dawn's own complaints.
  async run(dispatches, buffers, read) {
    this.#device.pushErrorScope('out-of-memory');
    this.#device.pushErrorScope('validation');
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const dispatch of dispatches) this.#record(pass, dispatch, buffers);
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
    const result = await read();
    const errors = [await this.#device.popErrorScope(), await this.#device.popErrorScope()];
    return { result, errors: errors.filter(Boolean).map(({ message }) => message) };
  }
}
