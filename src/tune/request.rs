//! What is to be tuned.

use std::fmt::{Debug, Formatter, Result as FmtResult};
use std::time::Duration;

use super::TuneError;
use crate::plan::{Op, ResidualGradient, Work};
use crate::tensor::Shape;

/// What to measure plans for: work on a shape, within a time.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Tune<'a> {
    pub(super) shape: Shape,
    pub(super) work: Work,
    /// Whether the work's backward follows it.
    pub(super) step: bool,
    pub(super) budget: Duration,
    pub(super) progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Since the begin.
    pub elapsed: Duration,
    /// The time there is.
    pub budget: Duration,
    /// Plans that have been measured.
    pub measured: usize,
    /// The shortest time so far.
    pub best: Duration,
}

impl Debug for Tune<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { shape, work, step, budget, .. } = self;
        let mut tune = f.debug_struct("Tune");
        tune.field("shape", shape).field("work", work).field("step", step).field("budget", budget);
        tune.finish_non_exhaustive()
    }
}

impl<'a> Tune<'a> {
    /// One work: [`Op::Training`], [`Op::Evaluation`] or [`Op::Backward`], or a [`Work`] that says how tensors are stored, what
    /// is fused, and so on. [`Plan::work`](crate::Plan::work) tells the work of a step that was prepared.
    ///
    /// The budget is 5 seconds, unless [`budget`](Self::budget) says otherwise.
    pub fn new(shape: Shape, work: impl Into<Work>) -> Self {
        let budget = Duration::from_secs(5);
        Self { shape, work: work.into(), step: false, budget, progress: None }
    }

    /// A training step: training, and the backward of it that gives all gradients, one after the other. A plan of each is
    /// chosen, so that both together take the least time.
    pub fn step(shape: Shape, training: impl Into<Work>) -> Self {
        Self { step: true, ..Self::new(shape, training) }
    }

    /// The time there is. The default plan is measured however little it is, and a pipeline that compiles is waited for. Where
    /// there is nothing more to try, it is not used up.
    pub fn budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Whom to tell how far it is, after each plan.
    pub fn progress(self, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// What is measured, one after the other.
    pub(super) fn works(&self) -> Result<Vec<Work>, TuneError> {
        match (self.work.op, self.step) {
            (Op::Training { .. }, true) => Ok(vec![self.work, backward_of(self.work)]),
            (Op::Training { .. } | Op::Evaluation, false) => Ok(vec![self.work]),
            (Op::Backward { reduce, apply }, false) if reduce || apply => Ok(vec![self.work]),
            (op, step) => {
                let what = if step { "a step of " } else { "" };
                Err(TuneError::Work { given: format!("{what}{}", op.name()) })
            }
        }
    }
}

/// The backward of a training that gives all gradients.
fn backward_of(training: Work) -> Work {
    let op = Op::Backward { reduce: true, apply: true };
    let residual_gradient = training.epilogue.residual.then_some(ResidualGradient::Write);
    Work { op, residual_gradient, guard: false, commit: false, ..training }
}

/// The forward whose saved statistics a backward reads.
pub(super) fn forward_of(backward: Work) -> Work {
    let op = match backward.op {
        Op::Backward { reduce: false, .. } => Op::Evaluation,
        _ => Op::Training { update_running: true },
    };
    Work { op, pre_activation: None, residual_gradient: None, ..backward }
}
