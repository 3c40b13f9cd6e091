//! How fast the visitor's device is: the layer beside copying the tensor.

use anyhow::Result;
use batchnorm_web_device::{idle, said};
use testkit::buffers::whole;
use wasm_bindgen::prelude::*;
use wgpu_batchnorm::{Backward, BatchNorm, BatchNormDescriptor, Context, Shape, Training, wgpu};

use crate::evidence::Evidence;

/// What was measured of a tensor: the best of a few runs, as milliseconds and as bytes of the plan per second.
#[wasm_bindgen(getter_with_clone)]
#[derive(Clone)]
pub struct Speed {
    pub work: String,
    pub milliseconds: f64,
    /// Gigabytes per second, of what has to be read and written where nothing stays in a cache.
    pub rate: f64,
    /// Its rate as a share of the copy's.
    pub share: f64,
}

/// A run of at least so many milliseconds is a measurement: timers of browsers are coarse.
const LONG_ENOUGH: f64 = 30.0;
const RUNS: u32 = 5;

#[wasm_bindgen]
impl Evidence {
    /// Copy, training forward and backward of a batch of images with 64 features. `examples` of 56 × 56 positions.
    pub async fn measure(&self, examples: u32) -> Result<Vec<Speed>, JsError> {
        self.speeds(Shape::channels_first(examples, 64, &[56, 56])).await.map_err(said)
    }
}

impl Evidence {
    async fn speeds(&self, shape: Shape) -> Result<Vec<Speed>> {
        let gpu = &self.gpu;
        let context = Context::new(&gpu.device);
        let len = shape.elements() as usize;
        let values: Vec<f32> = (0..len).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
        let (x, dy) = (gpu.upload(&values), gpu.upload(&values));
        let (y, dx) = (gpu.empty(len), gpu.empty(len));
        let [dweight, dbias] = [(); 2].map(|()| gpu.empty(shape.features() as usize));
        let descriptor = BatchNormDescriptor { features: shape.features(), ..Default::default() };
        let norm = BatchNorm::new(&context, &descriptor)?;
        let forward = norm.prepare_training(shape, Training::new(whole(&x), whole(&y)))?;
        let gradients = Backward::of(whole(&dy))
            .input_gradient(whole(&dx))
            .weight_gradient(whole(&dweight))
            .bias_gradient(whole(&dbias));
        let backward = norm.prepare_backward(&forward, gradients)?;

        let bytes = shape.bytes();
        let copy = self.time(|encoder| encoder.copy_buffer_to_buffer(&x, 0, &y, 0, bytes)).await;
        let pass = |encoder: &mut wgpu::CommandEncoder, record: &dyn Fn(&mut wgpu::ComputePass<'_>)| {
            record(&mut encoder.begin_compute_pass(&Default::default()));
        };
        let there = self.time(|encoder| pass(encoder, &|pass| forward.record(pass))).await;
        let back = self.time(|encoder| pass(encoder, &|pass| backward.record(pass))).await;
        for buffer in [x, dy, y, dx, dweight, dbias] {
            buffer.destroy();
        }
        norm.destroy();
        context.destroy();
        let rate = |bytes: u64, milliseconds: f64| bytes as f64 / milliseconds / 1e6;
        let speed = |work: &str, bytes: u64, milliseconds: f64| Speed {
            work: work.into(),
            milliseconds,
            rate: rate(bytes, milliseconds),
            share: rate(bytes, milliseconds) / rate(2 * shape.bytes(), copy),
        };
        Ok(vec![
            speed("copy", 2 * bytes, copy),
            speed("training forward", forward.plan().bytes_moved(), there),
            speed("backward", backward.plan().bytes_moved(), back),
        ])
    }

    /// Milliseconds of what is recorded: the best run, each of as many submissions as make it long enough.
    async fn time(&self, record: impl Fn(&mut wgpu::CommandEncoder)) -> f64 {
        let run = async |times: u32| {
            let start = now();
            for _ in 0..times {
                let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
                record(&mut encoder);
                self.gpu.queue.submit([encoder.finish()]);
            }
            idle(&self.gpu.queue).await;
            now() - start
        };
        run(1).await;
        let mut times = 1;
        while run(times).await < LONG_ENOUGH && times < 1 << 10 {
            times *= 2;
        }
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            best = best.min(run(times).await / f64::from(times));
        }
        best
    }
}

/// Milliseconds since the page was opened.
fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(f64::NAN, |clock| clock.now())
}
