//! Random cases, each known by its number: plans for any device, and steps on this one held against the CPU twin.
//!
//! The same seed and number make the same case, whatever was run before, so that a run can be resumed and a finding
//! repeated by itself.

mod asks;
mod plans;
mod report;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use rand::{SeedableRng, rngs::StdRng};
use wgpu_batchnorm::{Context, DeviceProfile};

use asks::Group;
use plans::Planner;
pub use report::{Finding, Kind, Report};

use crate::elsewhere::Dawn;
use crate::gpu::gpu;

/// Cases with the same shaders, which follow one another.
const GROUP: u64 = 1024;

/// Plans to each step that is run.
const PLANS: u64 = 12;

/// What runs steps.
pub enum Runner {
    /// Nothing does: they are not prepared either.
    Nothing,
    /// The device that they are prepared on.
    Device,
    /// Dawn. Plans keep to the limits that every WebGPU has.
    Dawn(Dawn),
}

/// What a run of cases keeps.
pub struct Fuzz {
    seed: u64,
    runner: Runner,
    planner: Planner,
    /// The group of the last case, with the pipelines of its steps.
    group: Option<(u64, Group, Context)>,
}

impl Fuzz {
    pub fn new(seed: u64, runner: Runner) -> Self {
        Self { seed, runner, planner: Planner::default(), group: None }
    }

    /// Makes and checks a case, and adds what it finds.
    pub fn case(&mut self, index: u64, report: &mut Report) {
        for k in 0..PLANS {
            let mut rng = rng(self.seed, index * PLANS + k, 1);
            let planner = &mut self.planner;
            let planned = caught(|| planner.plan(&mut rng));
            report.planned += 1;
            match planned {
                Ok(Ok(made)) => report.refused += u64::from(!made),
                Ok(Err((kind, what))) => report.find(index, kind, what),
                Err(panic) => report.find(index, Kind::Panic, panic),
            }
        }
        if !matches!(self.runner, Runner::Nothing) {
            self.run(index, report);
        }
        report.next = index + 1;
    }

    fn run(&mut self, index: u64, report: &mut Report) {
        let number = index / GROUP;
        let known = self.group.take().filter(|(of, ..)| *of == number);
        let (group, context) = known.map(|(_, group, context)| (group, context)).unwrap_or_else(|| {
            let group = Group::random(&mut rng(self.seed, number, 2), self.profile());
            let context = group.context();
            (group, context)
        });
        let ask = group.ask(&mut rng(self.seed, index, 3));
        let dawn = if let Runner::Dawn(dawn) = &mut self.runner { Some(dawn) } else { None };
        let outcome = caught(|| asks::check(&context, ask, dawn));
        report.executed += 1;
        match outcome {
            Ok(Ok(ran)) => report.refused_steps += u64::from(!ran),
            Ok(Err((kind, what))) => report.find(index, kind, what),
            Err(panic) => report.find(index, Kind::of_panic(&panic), format!("{ask:?}: {panic}")),
        }
        self.group = Some((number, group, context));
    }

    /// Of what runs steps.
    fn profile(&self) -> DeviceProfile {
        let machine = DeviceProfile::of(&gpu().device);
        match self.runner {
            Runner::Dawn(_) => DeviceProfile::discrete().with_costs(machine.costs),
            _ => machine,
        }
    }
}

fn rng(seed: u64, number: u64, stream: u64) -> StdRng {
    let mixed = (seed ^ (stream << 61)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
    StdRng::seed_from_u64(mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (mixed >> 29))
}

/// Where the last panic was.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Takes panics, which are findings, for the report, in place of standard error.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
}

/// What the work gives, or what it panicked with.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let place = std::mem::take(&mut *PLACE.lock().unwrap_or_else(PoisonError::into_inner));
        format!("{} ({place})", message(&*panic))
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn cases_are_the_same_by_seed_and_number() {
        let first = |seed, number, stream| rng(seed, number, stream).random::<u64>();
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        let others = [first(2, 2, 3), first(1, 3, 3), first(1, 2, 1)];
        assert!(others.iter().all(|&other| other != first(1, 2, 3)));
        let report = |from| {
            let mut report = Report::new(7, from);
            (from..40).for_each(|index| Fuzz::new(7, Runner::Nothing).case(index, &mut report));
            report
        };
        let (all, rest) = (report(0), report(20));
        assert_eq!((all.planned, rest.planned, all.next), (480, 240, 40));
        assert!(all.refused > rest.refused && all.findings.is_empty(), "{:?}", all.findings);
    }
}
