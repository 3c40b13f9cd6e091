//! Plans of any work on any shape for any device: what a plan says must hold, and its shaders must be valid.

use std::collections::HashSet;

use rand::{RngExt, rngs::StdRng};
use wgpu_batchnorm::{
    Costs, DeviceProfile, Epilogue, GpuCosts, MaskKind, Op, Path, Plan, PlanRequest, PreActivation,
    ResidualGradient, Shape, SoftwareCosts, StorageType, View, Work, shaders_of,
};

use super::Kind;
use crate::ask::ACTIVATIONS;
use crate::shader::validated;

/// The most pieces of a tensor, so that a plan takes no seconds.
const PIECES: u64 = 300;

/// Plans, and remembers which shaders were validated.
#[derive(Default)]
pub struct Planner {
    seen: HashSet<String>,
}

impl Planner {
    /// Whether there is a plan; or what is wrong with it.
    pub fn plan(&mut self, rng: &mut StdRng) -> Result<bool, (Kind, String)> {
        let (profile, work, shape, request) = (profile(rng), work(rng), shape(rng), request(rng));
        let pieces = shape.bytes_of(work.storage) / profile.max_binding.max(1);
        let batches = u64::from(work.virtual_batch.map_or(1, |size| shape.batch() / size.max(1)));
        if pieces > PIECES || batches > PIECES {
            return Ok(false);
        }
        let Ok(plan) = Plan::new(&profile, work, shape, request) else { return Ok(false) };
        let what = || format!("{profile:?}, {work:?}, {shape}, [{request}]");
        check(&profile, &plan, &request).map_err(|wrong| (Kind::Mismatch, format!("{}: {wrong}", what())))?;
        for (name, source) in shaders_of(&plan, |name| self.seen.insert(name.into())) {
            validated(&name, &source).map_err(|error| (Kind::Validation, format!("{}: {error}", what())))?;
        }
        Ok(true)
    }
}

/// What holds of every plan.
fn check(profile: &DeviceProfile, plan: &Plan, request: &PlanRequest) -> Result<(), String> {
    let again = Plan::new(profile, plan.work(), plan.shape(), plan.request());
    if again.as_ref() != Ok(plan) {
        return Err(format!("its request [{}] leads to {again:?}", plan.request()));
    }
    let text = plan.request().to_string();
    if text.parse() != Ok(plan.request()) {
        return Err(format!("its request is another one as text: [{text}]"));
    }
    let most = u64::from(profile.max_workgroups).pow(2);
    if plan.workgroup() > profile.max_workgroup || !plan.workgroup().is_power_of_two() {
        return Err(format!("workgroups of {}", plan.workgroup()));
    }
    if plan.workgroups().iter().any(|&groups| u64::from(groups) > most) {
        return Err(format!("{:?} workgroups", plan.workgroups()));
    }
    if plan.path() == Path::Empty {
        return Ok(());
    }
    let kept = [
        request.path.is_none_or(|path| path == plan.path()),
        request.view.is_none_or(|view| view == plan.view()),
        request.packet.is_none_or(|packet| packet == plan.packet()),
        request.workgroup.is_none_or(|workgroup| workgroup == plan.workgroup()),
    ];
    match kept.into_iter().all(|kept| kept) {
        true => Ok(()),
        false => Err(format!("it is another one than requested: {plan}")),
    }
}

fn one_of<T: Copy>(rng: &mut StdRng, all: &[T]) -> T {
    all[rng.random_range(0..all.len())]
}

/// One of them, most often none.
fn maybe<T: Copy>(rng: &mut StdRng, all: &[T]) -> Option<T> {
    (rng.random_range(0..4) == 0).then(|| one_of(rng, all))
}

/// Small numbers most often, and large ones.
fn size(rng: &mut StdRng, most_bits: u32) -> u32 {
    let bits = rng.random_range(0..=most_bits);
    (rng.random::<u64>() & ((1 << bits) - 1)) as u32
}

fn profile(rng: &mut StdRng) -> DeviceProfile {
    let mut profile = DeviceProfile::discrete();
    profile.costs = one_of(
        rng,
        &[
            Costs::Gpu(GpuCosts::DISCRETE),
            Costs::Gpu(GpuCosts::INTEGRATED),
            Costs::Software(SoftwareCosts::LAVAPIPE),
            Costs::Software(SoftwareCosts { simd: 4, ..SoftwareCosts::LAVAPIPE }),
            Costs::Software(SoftwareCosts { simd: 16, ..SoftwareCosts::LAVAPIPE }),
        ],
    );
    profile.max_workgroup = one_of(rng, &[256, 256, 1024, 64, 128, 512, 32, 1]);
    profile.max_workgroup_bytes = one_of(rng, &[16 << 10, 32 << 10, 48 << 10, 1 << 10, 64 << 10]);
    profile.max_workgroups = one_of(rng, &[65_535, 65_535, 1, 7, 1 << 20]);
    profile.max_binding = one_of(rng, &[128 << 20, 128 << 20, 1 << 31, (1 << 34) - 4, 1 << 16, 1 << 20]);
    profile.max_storage_buffers = one_of(rng, &[8, 8, 16, 10, 4, 5, 3, 1]);
    profile.alignment = one_of(rng, &[256, 32, 16, 64, 4]);
    profile.half_access = rng.random();
    profile
}

fn shape(rng: &mut StdRng) -> Shape {
    let (batch, features) = (size(rng, 20), size(rng, 12).max(1));
    let axes: Vec<u32> = (0..rng.random_range(0..4)).map(|_| size(rng, 8).max(1)).collect();
    let shape = match rng.random() {
        true => Shape::channels_first(batch, features, &axes),
        false => Shape::channels_last(batch, &axes, features),
    };
    match shape.elements() < 1 << 40 {
        true => shape,
        false => Shape::rows(batch, features),
    }
}

fn work(rng: &mut StdRng) -> Work {
    let records = size(rng, 10).max(1);
    let update_running = rng.random();
    let op = one_of(
        rng,
        &[
            Op::Training { update_running },
            Op::Training { update_running },
            Op::Evaluation,
            Op::Backward { reduce: true, apply: true },
            Op::Backward { reduce: true, apply: true },
            Op::Backward { reduce: true, apply: false },
            Op::Backward { reduce: false, apply: true },
            Op::Moments,
            Op::Finalize { records, update_running },
            Op::Apply,
            Op::GradientSums,
            Op::FinalizeGradients { records },
            Op::InputGradient,
        ],
    );
    let finalizes = matches!(op, Op::Finalize { .. } | Op::FinalizeGradients { .. });
    let mut work = Work::from(op).separate_vectors(rng.random());
    if matches!(op, Op::Training { update_running: true } | Op::Finalize { update_running: true, .. }) {
        work = work.guard(rng.random()).commit(rng.random());
    }
    if finalizes {
        return work;
    }
    work = work.storage(one_of(rng, &StorageType::ALL));
    work = work.mask(maybe(rng, &[MaskKind::Lengths, MaskKind::Positions]));
    let backward = matches!(op, Op::Backward { .. } | Op::GradientSums | Op::InputGradient);
    if op != Op::Moments && rng.random() {
        let mut epilogue = Epilogue::default();
        (epilogue.activation, epilogue.residual) = (one_of(rng, &ACTIVATIONS), rng.random());
        work = work.epilogue(epilogue);
        if backward && rng.random_range(0..3) == 0 {
            work =
                work.pre_activation(one_of(rng, &[PreActivation::Recomputed, PreActivation::SignOfOutput]));
        }
        if backward && op != Op::GradientSums && epilogue.residual && rng.random() {
            work = work.residual_gradient(one_of(rng, &[ResidualGradient::Write, ResidualGradient::Add]));
        }
    }
    if matches!(op, Op::Training { .. } | Op::Backward { .. }) && rng.random_range(0..4) == 0 {
        work = work.virtual_batch(Some(size(rng, 10).max(1)));
    }
    work
}

fn request(rng: &mut StdRng) -> PlanRequest {
    if rng.random() {
        return PlanRequest::new();
    }
    let paths = [Path::Cached, Path::Persistent, Path::Split, Path::Elementwise, Path::Reduce, Path::Empty];
    let workgroups = [1, 2, 8, 32, 64, 256, 512, 3, 0, 1 << 20];
    let mut request = PlanRequest::new();
    request.path = maybe(rng, &paths);
    request.view = maybe(rng, &[View::Rows, View::Planes]);
    request.packet = maybe(rng, &[1, 4, 8, 16, 2, 0]);
    request.workgroup = maybe(rng, &workgroups);
    request.tile = maybe(rng, &[1, 2, 4, 8, 64, 0, 3]);
    request.splits = maybe(rng, &[1, 2, 7, 1000, 60_000, 0, u32::MAX]);
    request.held = maybe(rng, &[1, 2, 4, 8, 16, 3, 0]);
    request.apply_workgroup = maybe(rng, &workgroups);
    request.apply_tile = maybe(rng, &[1, 2, 8, 0]);
    request.apply_splits = maybe(rng, &[1, 3, 1000, 0]);
    request
}
