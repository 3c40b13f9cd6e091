//! Two layers inside a program that has a device and kernels of its own: everything in one compute pass, all tensors
//! in one buffer, several training steps in one submission. Run it with `cargo run --release --example embed`.
//!
//! A program that draws frames does the same once a frame: what is prepared here is recorded into each frame's encoder,
//! beside its own passes, and allocates nothing there.
//!
//!     generate ─► images ─► batch norm ─► normalized ─► relu_sum ─► lines ─► batch norm, in place

use std::error::Error;
use std::num::NonZeroU64;

use wgpu_batchnorm::{BatchNorm, BatchNormDescriptor, Context, Shape, Training, cpu, wgpu};

const STEPS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let images = Shape::channels_first(32, 16, &[12, 12]);
    let lines = Shape::rows(32, 16 * 12);

    // What the program has anyway: a device, a buffer for its tensors, its kernels.
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
    let arena = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("arena"),
        size: 1 << 20,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let mut offset = 0;
    let mut place = |bytes: u64| {
        let range = wgpu::BufferBinding { buffer: &arena, offset, size: NonZeroU64::new(bytes) };
        offset += bytes.next_multiple_of(device.limits().min_storage_buffer_offset_alignment.into());
        range
    };
    let (batch, x) = (place(4), place(images.bytes()));
    let (normalized, y) = (place(images.bytes()), place(lines.bytes()));
    let module = device.create_shader_module(wgpu::include_wgsl!("embed.wgsl"));
    let generate = Kernel::new(&device, &module, "generate", &[(0, &batch), (2, &x)]);
    let relu_sum = Kernel::new(&device, &module, "relu_sum", &[(0, &batch), (1, &normalized), (2, &y)]);

    // What the layers add to it: a context, shared by all layers, and for each its work, prepared once.
    let context = Context::new(&device);
    let of_images = BatchNormDescriptor { features: images.features(), ..Default::default() };
    let of_lines = BatchNormDescriptor { features: lines.features(), ..Default::default() };
    let first = BatchNorm::new(&context, &of_images)?;
    let second = BatchNorm::new(&context, &of_lines)?;
    let first_step = first.prepare_training(images, Training::new(x, normalized))?;
    let second_step = second.prepare_training(lines, Training::new(y.clone(), y.clone()))?;

    // One pass. Like any dispatch, a layer's set the pipeline and bind groups, 0 and 1.
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    for _ in 0..STEPS {
        generate.record(&mut pass, images.elements());
        first_step.record(&mut pass);
        relu_sum.record(&mut pass, lines.elements());
        second_step.record(&mut pass);
    }
    drop(pass);
    let result = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("result"),
        size: lines.bytes(),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    encoder.copy_buffer_to_buffer(&arena, y.offset, &result, 0, lines.bytes());
    queue.submit([encoder.finish()]);

    let info = device.adapter_info();
    println!("Adapter: {} ({}, {:?})", info.name, info.driver_info, info.backend);
    println!("{STEPS} steps in one submission, in each:\n  generate\n  {}", first_step.plan());
    println!("  relu_sum\n  {}", second_step.plan());

    // The same on the CPU, in float64.
    let (mut first_cpu, mut second_cpu) = (cpu::Layer::new(&of_images), cpu::Layer::new(&of_lines));
    let mut y_cpu = Vec::new();
    for batch in 0..STEPS {
        let x: Vec<f32> = (0..images.elements() as u32).map(|i| noise(batch, i, images)).collect();
        let normalized = cpu::train(&x, images, &mut first_cpu, &cpu::Options::default()).y;
        let relu_sum = |line: &[f64]| line.iter().map(|v| v.max(0.0)).sum::<f64>() as f32;
        let x: Vec<f32> = normalized.chunks(12).map(relu_sum).collect();
        y_cpu = cpu::train(&x, lines, &mut second_cpu, &cpu::Options::default()).y;
    }
    result.map_async(wgpu::MapMode::Read, .., |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let y: Vec<f32> = bytemuck::pod_collect_to_vec(&result.get_mapped_range(..)?);
    println!("\nWorst difference from the CPU, as a share of the largest value:");
    compare("output", &y, &y_cpu)?;
    for (name, layer, expected) in [("first", first, first_cpu), ("second", second, second_cpu)] {
        let state = pollster::block_on(layer.read_state(&queue))?;
        compare(&format!("{name} running_mean"), &state.running_mean, &expected.running_mean)?;
        compare(&format!("{name} running_var"), &state.running_var, &expected.running_var)?;
    }
    Ok(())
}

/// A kernel of embed.wgsl on its tensors.
struct Kernel {
    pipeline: wgpu::ComputePipeline,
    tensors: wgpu::BindGroup,
}

impl Kernel {
    fn new(
        device: &wgpu::Device,
        module: &wgpu::ShaderModule,
        name: &str,
        tensors: &[(u32, &wgpu::BufferBinding<'_>)],
    ) -> Self {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module,
            entry_point: Some(name),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries = tensors.iter().map(|&(binding, tensor)| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(tensor.clone()),
        });
        let tensors = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries.collect::<Vec<_>>(),
        });
        Self { pipeline, tensors }
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>, invocations: u64) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.tensors, &[]);
        pass.dispatch_workgroups(invocations.div_ceil(64) as u32, 1, 1);
    }
}

/// What `generate` writes, for the comparison.
fn noise(batch: u32, i: u32, shape: Shape) -> f32 {
    let seed = (batch * shape.elements() as u32 + i).wrapping_mul(747796405).wrapping_add(2891336453);
    let word = ((seed >> ((seed >> 28) + 4)) ^ seed).wrapping_mul(277803737);
    let size = 1 + i / shape.positions() as u32 % shape.features();
    (word >> 8) as f32 / 16777216.0 * size as f32
}

fn compare(what: &str, gpu: &[f32], cpu: &[f64]) -> Result<(), String> {
    let largest = cpu.iter().fold(0.0, |largest, c| c.abs().max(largest));
    let worst = gpu.iter().zip(cpu).fold(0.0, |worst, (g, c)| (f64::from(*g) - c).abs().max(worst)) / largest;
    println!("  {what:20} {worst:.1e}");
    if worst < 5e-6 { Ok(()) } else { Err(format!("{what}: {worst:e} is more than 5e-6")) }
}
