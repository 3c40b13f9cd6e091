//! Folding at inference: batch norms that the linear layers before them take over.

use std::time::Instant;

use anyhow::{Context as _, Result};
use comfy_table::Table;
use serde::Serialize;
use testkit::buffers::download;
use wgpu_batchnorm::fold::{Fold, FoldKernel, WeightShape};

use super::Lab;
use super::findings::{Check, Findings, median, table};
use crate::digits::{self, Plan};
use crate::gpu::Gpu;
use crate::kernels::Step;
use crate::network::{Mode, Network, Normalization};
use crate::pass::Pass;
use crate::plots::{Line, Panel, Picture, Scale, THIRD, WITH, decades, line};

#[derive(Debug, Serialize)]
struct Report {
    /// Largest difference of the logits on the test set, over the largest logit.
    difference: f32,
    /// Right answers on the test set, with batch norms and folded.
    correct: [u32; 2],
    timings: Vec<Timing>,
}

/// Evaluation of so many images.
#[derive(Debug, Serialize)]
struct Timing {
    images: u32,
    /// Kernels of an evaluation and its time in milliseconds, with batch norms and folded.
    kernels: [usize; 2],
    milliseconds: [f32; 2],
}

impl Timing {
    /// What share of the time folding saves.
    fn saved(&self) -> f32 {
        1.0 - self.milliseconds[1] / self.milliseconds[0]
    }
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let Lab { gpu, task, scope, .. } = lab;
    let steps = scope.pick(20, 200, 200);
    let plan = Plan { steps, every: steps, ..Plan::new("to be folded", Normalization::BATCH) };
    let network = digits::train(gpu, task, &plan)?.network;
    let folded = task.network(gpu, Normalization::None, plan.seed)?;
    fold(gpu, &network, &folded)?;

    let networks = [&network, &folded];
    let passes = prepare(lab, networks, task.data.test.len() as u32)?;
    let read = |binding| download::<f32>(&gpu.device, &gpu.queue, binding);
    let difference = apart(&passes.each_ref().map(|pass| read(pass.outputs.binding())));
    let correct = passes.each_ref().map(|pass| download(&gpu.device, &gpu.queue, pass.correct.binding())[0]);

    let sizes = scope.pick(vec![1], vec![1, 64], vec![1, 4, 16, 64, 256]);
    let (runs, samples) = scope.pick((2, 1), (20, 9), (20, 25));
    let timing = |images| {
        let passes = prepare(lab, networks, images)?;
        let kernels = passes.each_ref().map(|pass| pass.works().count());
        Ok(Timing { images, kernels, milliseconds: times(gpu, &passes, runs, samples)? })
    };
    let timings = sizes.into_iter().map(timing).collect::<Result<_>>()?;
    let report = Report { difference, correct, timings };
    Ok(Findings::new(&report)?
        .tables([report.table()])
        .pictures([("folding", report.picture())])
        .checks(report.checks()))
}

/// The largest difference, over the largest of the first values.
fn apart([values, others]: &[Vec<f32>; 2]) -> f32 {
    // A NaN is the largest.
    fn largest(values: impl Iterator<Item = f32>) -> f32 {
        values.map(f32::abs).max_by(f32::total_cmp).unwrap_or(f32::NAN)
    }
    largest(std::iter::zip(values, others).map(|(a, b)| a - b)) / largest(values.iter().copied())
}

/// Folds the batch norms of a network on the device, into the layers of a plain one.
fn fold(gpu: &Gpu, network: &Network, folded: &Network) -> Result<()> {
    let kernel = FoldKernel::new(&gpu.context)?;
    let (from, to) = (network.weights(), folded.weights());
    let mut steps = vec![];
    for ((norm, (weight, _)), (folded_weight, folded_bias)) in network.norms().iter().zip(&from).zip(&to) {
        let outputs = norm.features() as usize;
        let shape = WeightShape::linear(outputs, weight.len as usize / outputs);
        let folded_bias = folded_bias.as_ref().context("a plain network has biases")?;
        let fold = Fold::new(shape, weight.binding(), folded_weight.binding(), folded_bias.binding());
        steps.push(kernel.prepare(norm, &fold)?);
    }
    gpu.submit(|encoder| {
        let mut compute = encoder.begin_compute_pass(&Default::default());
        steps.iter().for_each(|step| step.record(&mut compute));
        drop(compute);
        // No batch norm follows the last layer.
        for ((weight, bias), (to, to_bias)) in from.iter().zip(&to).skip(steps.len()) {
            weight.copy_to(encoder, to);
            if let Some((bias, to_bias)) = bias.as_ref().zip(to_bias.as_ref()) {
                bias.copy_to(encoder, to_bias);
            }
        }
    });
    Ok(())
}

/// Evaluates the first test images.
fn prepare(lab: &Lab, networks: [&Network; 2], images: u32) -> Result<[Pass; 2]> {
    let all: Vec<u32> = (0..images).collect();
    let prepare = |network: &Network| {
        let pass = network.prepare(images, Mode::Evaluate, 1)?;
        pass.evaluate(&lab.gpu, &lab.task.gather_test(&lab.gpu, &pass, &all), Step::default());
        anyhow::Ok(pass)
    };
    Ok([prepare(networks[0])?, prepare(networks[1])?])
}

/// The median time of an evaluation, from samples in turns of so many evaluations in one submission.
fn times(gpu: &Gpu, passes: &[Pass; 2], runs: u32, samples: u32) -> Result<[f32; 2]> {
    let sample = |pass: &Pass| {
        let start = Instant::now();
        gpu.submit(|encoder| {
            let mut compute = encoder.begin_compute_pass(&Default::default());
            (0..runs).for_each(|_| pass.forward(&mut compute));
        });
        gpu.wait()?;
        anyhow::Ok(start.elapsed().as_secs_f32() * 1e3 / runs as f32)
    };
    let mut times = [vec![], vec![]];
    // The first of each allocates.
    passes.iter().try_for_each(|pass| sample(pass).map(drop))?;
    for _ in 0..samples {
        for (pass, times) in passes.iter().zip(&mut times) {
            times.push(sample(pass)?);
        }
    }
    Ok(times.map(median))
}

impl Report {
    fn table(&self) -> Table {
        let mut table = table(["images", "kernels", "folded", "ms", "folded", "time saved"]);
        for timing in &self.timings {
            let Timing { images, kernels, milliseconds: [with, folded] } = timing;
            table.add_row([
                images.to_string(),
                kernels[0].to_string(),
                kernels[1].to_string(),
                format!("{with:.3}"),
                format!("{folded:.3}"),
                format!("{:.0} %", 100.0 * timing.saved()),
            ]);
        }
        table
    }

    fn picture(&self) -> Picture {
        let curve = |label: &str, color, which: usize| {
            let point = |timing: &Timing| (timing.images.into(), timing.milliseconds[which].into());
            Line { dots: true, ..line(label, color, self.timings.iter().map(point).collect()) }
        };
        let all = self.timings.iter().flat_map(|timing| timing.milliseconds);
        let panel = Panel {
            x_scale: Scale::Doublings,
            y_scale: Scale::Decades,
            lines: vec![curve("with batch norms", WITH, 0), curve("folded", THIRD, 1)],
            ..Panel::new(
                &format!("outputs differ by {:.0e} of the largest", self.difference),
                ["images in a batch", "milliseconds of an evaluation"],
                decades(all),
            )
        };
        Picture { title: "Folding at inference: three batch norms less".into(), panels: vec![panel] }
    }

    fn checks(&self) -> Vec<Check> {
        let Self { difference, correct: [with, folded], timings } = self;
        vec![
            Check::new(
                format!("folding: outputs within 1e-5 of the largest ({difference:.1e})"),
                *difference < 1e-5,
            ),
            Check::new(format!("folding: the same answers are right ({with}, {folded})"), with == folded),
            Check::new(
                "folding: three kernels less".into(),
                timings.iter().all(|timing| timing.kernels[0] == timing.kernels[1] + 3),
            ),
        ]
    }
}
