//! Steps that are run: options that a group of cases shares, since each choice of them is another shader, and numbers that
//! are each case's.

use rand::{RngExt, rngs::StdRng};
use wgpu_batchnorm::{Activation, Context, ContextOptions, Costs, DeviceProfile, GpuCosts, SoftwareCosts};

use super::Kind;
use crate::ask::choices::{SIZES, ask};
use crate::ask::numbers::Numbers;
use crate::ask::{ACTIVATIONS, Ask, Asked, Mode, refusal};
use crate::elsewhere::Dawn;
use crate::gpu::gpu;

/// Combinations that are tried for one that is possible.
const TRIES: usize = 2000;

/// What cases share.
pub struct Group {
    ask: Ask,
    /// Whether the plan is chosen by default.
    default: bool,
    profile: DeviceProfile,
}

impl Group {
    /// For a device of this profile, or less.
    pub fn random(rng: &mut StdRng, mut profile: DeviceProfile) -> Self {
        profile.max_storage_buffers = [8, profile.max_storage_buffers][rng.random_range(0..2)];
        profile.costs = [
            profile.costs,
            Costs::Software(SoftwareCosts::LAVAPIPE),
            Costs::Gpu(GpuCosts::DISCRETE),
            Costs::Gpu(GpuCosts::INTEGRATED),
        ][rng.random_range(0..4)];
        profile.max_workgroup = profile.max_workgroup.min([8, 64, 256, 1024][rng.random_range(0..4)]);
        let draw = |rng: &mut StdRng| {
            let choices: Vec<usize> = SIZES.iter().map(|&size| rng.random_range(0..size)).collect();
            let activation = ACTIVATIONS[rng.random_range(0..ACTIVATIONS.len())];
            Ask { activation, ..ask(&choices) }
        };
        let mut ask = draw(rng);
        // Most are possible.
        if rng.random_range(0..10) > 0 {
            for _ in 0..TRIES {
                if refusal(&ask, profile.max_storage_buffers).is_none() {
                    break;
                }
                ask = draw(rng);
            }
        }
        Self { ask, default: rng.random(), profile }
    }

    pub fn context(&self) -> Context {
        Context::with_options(&gpu().device, ContextOptions::default().profile(self.profile))
    }

    /// The ask of a case.
    pub fn ask(&self, rng: &mut StdRng) -> Ask {
        let numbers = |rng: &mut StdRng| Numbers::random(rng).of(self.ask);
        let ask = (0..TRIES).find_map(|_| numbers(rng)).unwrap_or(self.ask);
        let simple = matches!(ask.activation, Activation::Identity | Activation::Relu);
        let exact = simple && ask.mode != Mode::Training && rng.random();
        let garbage = rng.random::<bool>().then(|| rng.random());
        let plan = if self.default { Default::default() } else { ask.plan };
        Ask { exact, garbage, plan, ..ask }
    }
}

/// Whether the step was run, by the device or by Dawn; or what is wrong.
pub fn check(context: &Context, ask: Ask, dawn: Option<&mut Dawn>) -> Result<bool, (Kind, String)> {
    let reason = refusal(&ask, context.profile().max_storage_buffers);
    match (Asked::new_in(context, ask), reason) {
        (Ok(asked), None) => {
            match dawn {
                None => asked.check(),
                Some(dawn) => {
                    let of_dawn = |error| (Kind::Validation, format!("{ask:?}: {error}"));
                    dawn.run(gpu(), asked.dispatches()).map_err(of_dawn)?;
                    asked.check_done();
                }
            }
            Ok(true)
        }
        (Err(error), Some(reason)) if reason.is(&error) => Ok(false),
        (Err(error), reason) => Err((Kind::Refusal, format!("{ask:?}: {error}, required {reason:?}"))),
        (Ok(_), Some(reason)) => Err((Kind::Refusal, format!("{ask:?}: required {reason:?}"))),
    }
}
