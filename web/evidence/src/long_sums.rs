//! Sums of more than a thousand loads of an invocation, against the CPU twins: longer than those of the reference files,
//! and once wrong in browsers alone.

use std::ops::RangeInclusive;

use anyhow::{Result, anyhow};
use batchnorm_web_device::said;
use testkit::buffers::whole;
use testkit::layout::Layout;
use testkit::plans::plans;
use testkit::scales::{BACKWARD, FORWARD, Pass};
use wasm_bindgen::prelude::*;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, Context, PlanRequest, Shape, Training, View, cpu, headless,
};

use crate::conformance::{PlansOf, Verdict};
use crate::evidence::Evidence;

/// Loads of an invocation that a sum has: more than the reference files' have, and no more than a plan allows.
const LONG: RangeInclusive<u64> = 1025..=28_000;

/// A step and its backward on one tensor, on every long plan.
#[wasm_bindgen]
pub struct LongSums {
    gpu: headless::Gpu,
    context: Context,
    shape: Shape,
    x: Vec<f32>,
    dy: Vec<f32>,
    forward: cpu::Forward,
    backward: cpu::Gradients,
    plans: Vec<PlanRequest>,
}

#[wasm_bindgen]
impl LongSums {
    /// On rows, or on images.
    #[wasm_bindgen(constructor)]
    pub fn new(evidence: &Evidence, rows: bool) -> Self {
        let gpu = evidence.gpu.clone();
        let shape = if rows { Shape::rows(20_000, 16) } else { Shape::channels_first(2, 2, &[320, 320]) };
        let (x, dy) = (values(shape, 1), values(shape, 2));
        let mut layer = cpu::Layer::new(&descriptor(shape));
        let options = cpu::Options::default();
        let forward = cpu::train(&x, shape, &mut layer, &options);
        let backward = cpu::backward(&x, &dy, shape, &forward.saved, &options);
        let plans = plans(shape).into_iter().filter(|plan| LONG.contains(&loads(shape, plan))).collect();
        Self { context: PlansOf::Device.context(&gpu), gpu, shape, x, dy, forward, backward, plans }
    }

    /// How many plans there are.
    pub fn len(&self) -> usize {
        self.plans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Runs a plan.
    pub async fn check(&self, plan: usize) -> Result<Verdict, JsError> {
        let plan = self.plans[plan];
        let [y, dx, dweight, dbias] = self.run(plan).await.map_err(said)?;
        let Self { shape, forward, backward, .. } = self;
        let pass = Pass::of(&self.x, *shape, &forward.saved);
        let scales = pass.gradients(&backward.dz);
        let output = pass.output(&forward.y, |i| i);
        let layout = Layout::of(*shape);
        let of_tensor = |scale: Vec<f64>| move |i: usize| scale[layout.feature(i)];
        let sums = |of: fn(&cpu::Sums) -> f64| backward.sums.iter().map(of).collect::<Vec<_>>();
        let errors = [
            ("y", error(&y, &forward.y, of_tensor(output)), FORWARD),
            ("dx", error(&dx, &backward.dx, of_tensor(scales.dx)), BACKWARD),
            ("dweight", error(&dweight, &sums(|s| s.dy_xhat), |c| scales.dweight[c]), BACKWARD),
            ("dbias", error(&dbias, &sums(|s| s.dy), |c| scales.dbias[c]), BACKWARD),
        ];
        let share = |(_, error, tolerance): &(&str, f64, f64)| error / tolerance;
        let worst = errors.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
        let &(worst, error, tolerance) = worst.expect("four tensors");
        let name = format!("{shape}, {} loads, {plan}", loads(*shape, &plan));
        Ok(Verdict {
            name,
            passed: error <= tolerance,
            tensors: errors.len(),
            worst: worst.into(),
            error,
            tolerance,
        })
    }
}

impl LongSums {
    /// y, dx, dweight and dbias.
    async fn run(&self, plan: PlanRequest) -> Result<[Vec<f32>; 4]> {
        let Self { gpu, context, shape, .. } = self;
        let norm = BatchNorm::new(context, &descriptor(*shape))?;
        let (x, dy) = (gpu.upload(&self.x), gpu.upload(&self.dy));
        let (y, dx) = (gpu.empty(self.x.len()), gpu.empty(self.x.len()));
        let [dweight, dbias] = [(); 2].map(|()| gpu.empty(shape.features() as usize));
        let forward = norm.prepare_training(*shape, Training::new(whole(&x), whole(&y)).plan(plan))?;
        let backward = wgpu_batchnorm::Backward::of(whole(&dy))
            .input_gradient(whole(&dx))
            .weight_gradient(whole(&dweight))
            .bias_gradient(whole(&dbias))
            .plan(plan);
        let backward = norm.prepare_backward(&forward, backward)?;
        gpu.run(|pass| {
            forward.record(pass);
            backward.record(pass);
        })?;
        let mut results = vec![];
        for buffer in [&y, &dx, &dweight, &dbias] {
            results.push(gpu.read(buffer).await?);
        }
        for buffer in [x, dy, y, dx, dweight, dbias] {
            buffer.destroy();
        }
        norm.destroy();
        results.try_into().map_err(|_| anyhow!("four tensors were read"))
    }
}

fn descriptor(shape: Shape) -> BatchNormDescriptor<'static> {
    BatchNormDescriptor { features: shape.features(), ..Default::default() }
}

/// Loads of an invocation on a plan that says all of itself, else 0.
fn loads(shape: Shape, plan: &PlanRequest) -> u64 {
    let (Some(view), Some(packet), Some(workgroup)) = (plan.view, plan.packet, plan.workgroup) else {
        return 0;
    };
    let slots = shape.features() / packet;
    let tile = match view {
        View::Rows => plan.tile.unwrap_or(slots.next_power_of_two().min(workgroup)),
        _ => plan.tile.unwrap_or(workgroup),
    };
    let packets = if view == View::Rows { shape.count() } else { shape.count() / u64::from(packet) };
    packets / u64::from(workgroup / tile) / u64::from(plan.splits.unwrap_or(1))
}

/// Values of no pattern around 0.5, the same for the same seed.
fn values(shape: Shape, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761);
    (0..shape.elements())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 0.5
        })
        .collect()
}

fn error(got: &[f32], want: &[f64], scale: impl Fn(usize) -> f64) -> f64 {
    let errors = got.iter().zip(want).enumerate().map(|(i, (&got, &want))| {
        let error = (f64::from(got) - want).abs() / scale(i);
        if error.is_nan() { f64::INFINITY } else { error }
    });
    errors.fold(0.0, f64::max)
}
