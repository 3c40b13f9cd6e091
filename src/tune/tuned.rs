//! What tuning found.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::time::Duration;

use crate::plan::{PlanRequest, Wisdom, WisdomEntry, Work};
use crate::tensor::Shape;

/// A plan has to take less than this share of the default one's time to be taken in its place.
const WORTH: f64 = 0.98;

/// A plan for each work, and how long all took together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// The plan of each work: all of it.
    pub plans: Vec<PlanRequest>,
    /// The median time.
    pub median: Duration,
    /// The median absolute deviation from it.
    pub spread: Duration,
    /// How many submissions were measured.
    pub runs: usize,
    /// Whether these are the plans that are chosen by default.
    pub default: bool,
}

impl Timing {
    pub(super) fn new(plans: Vec<PlanRequest>, times: &[f64], default: bool) -> Self {
        let median = median(times);
        let deviations: Vec<f64> = times.iter().map(|time| (time - median).abs()).collect();
        let nanoseconds = |time: f64| Duration::from_nanos(time as u64);
        let (median, spread) = (nanoseconds(median), nanoseconds(self::median(&deviations)));
        Self { plans, median, spread, runs: times.len(), default }
    }
}

/// The middle of some times, of which there is one at least.
pub(super) fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// What tuning found: a ranking of plans, and which to take. Print it.
#[derive(Debug, Clone)]
pub struct Tuned {
    pub(super) device: String,
    pub(super) shape: Shape,
    pub(super) works: Vec<Work>,
    /// The fastest first.
    pub(super) ranking: Vec<Timing>,
    pub(super) by_devices_clock: bool,
}

impl Tuned {
    /// All that was measured, the fastest first. The first few were measured again, in turns: they have more runs, and stand
    /// before the others.
    pub fn ranking(&self) -> &[Timing] {
        &self.ranking
    }

    /// What is best: the fastest, or the default where that takes 2 % more at most, so that bits do not change for nothing.
    pub fn best(&self) -> &Timing {
        let (fastest, default) = (&self.ranking[0], self.default());
        let worth = fastest.median.as_secs_f64() < WORTH * default.median.as_secs_f64();
        if worth { fastest } else { default }
    }

    /// The default plans' times.
    pub fn default(&self) -> &Timing {
        self.ranking.iter().find(|timing| timing.default).expect("the default is always measured")
    }

    /// The plan to request of the work; of a training step, of its forward.
    pub fn request(&self) -> PlanRequest {
        self.best().plans[0]
    }

    /// The plan to request of the backward of a training step.
    pub fn backward_request(&self) -> Option<PlanRequest> {
        self.best().plans.get(1).copied()
    }

    /// The time of the default plans over the time of the [`best`](Self::best): 1 where the default is best.
    pub fn regret(&self) -> f64 {
        let time = |timing: &Timing| timing.median.as_secs_f64().max(1e-9);
        time(self.default()) / time(self.best())
    }

    /// Whether times are by the device's own clock; otherwise they are from a submission to its end.
    pub fn by_devices_clock(&self) -> bool {
        self.by_devices_clock
    }

    /// The best plans, to be remembered. Of a training step, those of its forward and its backward, each with the times of
    /// both together.
    pub fn wisdom(&self) -> Wisdom {
        let mut wisdom = Wisdom::new();
        let Timing { plans, median, spread, .. } = self.best();
        for (work, &plan) in self.works.iter().zip(plans) {
            let entry = WisdomEntry::new(plan, *median, *spread, self.default().median);
            wisdom.insert(&self.device, self.shape, *work, entry);
        }
        wisdom
    }
}

impl Display for Tuned {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let names: Vec<&str> = self.works.iter().map(|work| work.op.name()).collect();
        let clock = if self.by_devices_clock { "the device's clock" } else { "the wall clock" };
        writeln!(f, "{} of {} on {}, by {clock}:", names.join(" and "), self.shape, self.device)?;
        for timing in &self.ranking {
            let Timing { plans, median, spread, runs, default } = timing;
            let plans: Vec<String> = plans.iter().map(PlanRequest::to_string).collect();
            let [median, spread] = [median, spread].map(|time| time.as_secs_f64() * 1e3);
            let mark = if *default { " (default)" } else { "" };
            writeln!(f, "{median:10.4} ms ± {spread:.4}, {runs:2} runs: {}{mark}", plans.join(" | "))?;
        }
        write!(f, "the default takes {:.2} times as long as the best", self.regret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Op, Path};

    fn tuned(times: &[(f64, bool)]) -> Tuned {
        let row = |&(time, default): &(f64, bool)| {
            let path = if default { Path::Cached } else { Path::Split };
            Timing::new(vec![PlanRequest::new().path(path)], &[time * 1e6], default)
        };
        Tuned {
            device: "a device".into(),
            shape: Shape::rows(64, 8),
            works: vec![Op::Evaluation.into()],
            ranking: times.iter().map(row).collect(),
            by_devices_clock: true,
        }
    }

    #[test]
    fn the_default_stays_unless_another_is_worth_it() {
        let little = tuned(&[(0.99, false), (1.0, true)]);
        assert!(little.best().default && little.regret() == 1.0);
        let much = tuned(&[(0.5, false), (1.0, true)]);
        assert!(!much.best().default && much.regret() == 2.0);
        assert_eq!(much.request().path, Some(Path::Split));
        let entry = much.wisdom().get("a device", Shape::rows(64, 8), Op::Evaluation).unwrap();
        assert_eq!((entry.plan, entry.default), (much.request(), Duration::from_millis(1)));
    }

    #[test]
    fn the_middle_and_how_far_others_are_from_it() {
        let timing = Timing::new(vec![], &[30.0, 10.0, 20.0, 21.0, 90.0], false);
        let expected = (Duration::from_nanos(21), Duration::from_nanos(9), 5);
        assert_eq!((timing.median, timing.spread, timing.runs), expected);
    }
}
