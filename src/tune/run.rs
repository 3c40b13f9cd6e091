//! The course of tuning: a search, then the fastest plans in turns.

use std::time::Duration;

use super::clock::{Clock, Instant, Waits};
use super::scratch::{Scratch, Steps};
use super::tuned::median;
use super::{Progress, Timing, Tune, TuneError, Tuned};
use crate::layer::{BatchNorm, PrepareError};
use crate::plan::{Plan, Search, Wisdom};

/// The share of the budget that the search has.
const SEARCHED: f64 = 0.7;
/// Plans that are measured again beside the default, and the most times.
const FINALISTS: usize = 4;
const ROUNDS: usize = 25;
/// Fewer rounds than this tell less than the search did.
const LEAST_ROUNDS: usize = 3;
/// Runs of a plan in the search. One that takes so many times as long as the best is not run again.
const RUNS: usize = 3;
const SLOW: f64 = 1.5;
/// Nanoseconds that a submission should take at least, and the most iterations in it.
const SUBMISSION: f64 = 1e6;
const MOST: f64 = 64.0;

/// Plans that were measured.
struct Row {
    plans: Vec<Plan>,
    steps: Steps,
    times: Vec<f64>,
    /// In turns with others.
    again: Vec<f64>,
}

/// What is measured, and until when.
struct Run<'a> {
    tune: Tune<'a>,
    start: Instant,
    clock: Clock,
    scratch: Scratch,
    /// Iterations of a submission.
    batch: u32,
    rows: Vec<Row>,
}

pub(super) async fn run(
    layer: &BatchNorm,
    queue: &wgpu::Queue,
    tune: Tune<'_>,
    waits: Waits,
) -> Result<Tuned, TuneError> {
    let start = Instant::now();
    if tune.budget.is_zero() {
        return Err(TuneError::Budget);
    }
    let works = tune.works()?;
    let (context, shape) = (layer.context(), tune.shape);
    let search = Search::new(context.profile(), works.clone(), shape)?;
    let scratch = Scratch::new(layer, queue, shape, works.clone()).await?;
    let clock = Clock::new(context.device(), queue, waits);
    let by_devices_clock = clock.is_devices();
    let mut run = Run { tune, start, clock, scratch, batch: 1, rows: Vec::new() };
    if let Some(forwards) = run.scratch.prepare_forwards()? {
        let sets = forwards.len();
        run.clock.time(|pass| forwards.record(pass, sets)).await?;
        run.scratch.keep_forwards(forwards);
    }
    run.search(search, works.len()).await?;
    run.finals().await?;
    let device = Wisdom::device_name(context.device());
    Ok(Tuned { device, shape, works, ranking: run.ranking(), by_devices_clock })
}

impl Run<'_> {
    async fn search(&mut self, mut search: Search, works: usize) -> Result<(), TuneError> {
        while let Some(plans) = search.next() {
            let share = SEARCHED * (search.part() + 1) as f64 / works as f64;
            if !self.rows.is_empty() && self.start.elapsed() > self.tune.budget.mul_f64(share) {
                if search.next_part() {
                    continue;
                }
                break;
            }
            let steps = match self.scratch.prepare(&plans) {
                Ok(steps) => steps,
                // The device refuses the plan.
                Err(TuneError::Prepare(PrepareError::Pipeline(_))) if !self.rows.is_empty() => continue,
                Err(error) => return Err(error),
            };
            let times = self.times(&steps).await?;
            search.tell(plans.clone(), median(&times));
            self.rows.push(Row { plans, steps, times, again: Vec::new() });
            self.tell_progress();
        }
        Ok(())
    }

    /// Nanoseconds of a few runs, after one that counts for nothing.
    async fn times(&mut self, steps: &Steps) -> Result<Vec<f64>, TuneError> {
        let first = self.time(steps).await?;
        if self.rows.is_empty() {
            self.batch = (SUBMISSION / first.max(1.0)).clamp(1.0, MOST) as u32;
        }
        let best = self.rows.iter().map(|row| median(&row.times)).fold(f64::INFINITY, f64::min);
        let mut times = Vec::new();
        while times.len() < RUNS {
            times.push(self.time(steps).await?);
            let over = self.start.elapsed() > self.tune.budget;
            if over || times[0] > SLOW * best {
                break;
            }
        }
        Ok(times)
    }

    /// Nanoseconds of an iteration.
    async fn time(&self, steps: &Steps) -> Result<f64, TuneError> {
        let batch = self.batch;
        let time = self.clock.time(|pass| steps.record(pass, batch)).await?;
        Ok(time / f64::from(batch))
    }

    /// Measures the fastest and the default again, in turns, so that a machine that slows down slows all of them.
    async fn finals(&mut self) -> Result<(), TuneError> {
        let mut order: Vec<usize> = (1..self.rows.len()).collect();
        order.sort_by(|&a, &b| median(&self.rows[a].times).total_cmp(&median(&self.rows[b].times)));
        order.truncate(FINALISTS);
        order.push(0);
        for _ in 0..ROUNDS {
            for &i in &order {
                if self.start.elapsed() > self.tune.budget {
                    return Ok(());
                }
                let time = self.time(&self.rows[i].steps).await?;
                self.rows[i].again.push(time);
            }
            self.tell_progress();
        }
        Ok(())
    }

    /// The finalists, then all others, each the fastest first.
    fn ranking(self) -> Vec<Timing> {
        let judged = |row: &Row| row.again.len() >= LEAST_ROUNDS;
        let finished = self.rows.iter().any(judged);
        let mut timings: Vec<(bool, Timing)> = Vec::new();
        for (i, row) in self.rows.iter().enumerate() {
            let last = finished && judged(row);
            let times = if last { &row.again } else { &row.times };
            let plans = row.plans.iter().map(Plan::request).collect();
            timings.push((!last, Timing::new(plans, times, i == 0)));
        }
        timings.sort_by_key(|(other, timing)| (finished && *other, timing.median));
        timings.into_iter().map(|(_, timing)| timing).collect()
    }

    fn tell_progress(&self) {
        let Some(tell) = self.tune.progress else { return };
        let best = self.rows.iter().map(|row| median(&row.times)).fold(f64::INFINITY, f64::min);
        tell(Progress {
            elapsed: self.start.elapsed(),
            budget: self.tune.budget,
            measured: self.rows.len(),
            best: Duration::from_nanos(best as u64),
        });
    }
}
