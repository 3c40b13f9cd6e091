//! What is drawn at random has the stated distribution, and the way back draws the same.

use batchnorm_experiments::kernels::{Kernels, Step};

use super::{BENCH, random};

#[test]
fn noise_has_the_stated_distribution_and_gradient() {
    let t = &*BENCH;
    let (rows, features) = (4000u32, 3u32);
    let len = (rows * features) as usize;
    let run = |seed: u32, layer: u32, value: f32, backward: bool| {
        let x = t.upload(&vec![value; len]);
        let step = t.step(Step { seed, slot: 3, ..Default::default() });
        let prepare = if backward { Kernels::noise_backward } else { Kernels::noise };
        t.run(&prepare(&t.kernels, &step, [rows, features], layer, x.binding()));
        t.download::<f32>(&x)
    };
    let (shift, both, scale) = (run(1, 0, 0.0, false), run(1, 0, 1.0, false), run(1, 0, 1.0, true));
    for ((m, y), s) in shift.iter().zip(&both).zip(&scale) {
        assert!((m + s - y).abs() < 1e-5, "the gradient is the scale of the forward pass");
    }
    let feature = |values: &[f32], c: usize| -> (f64, f64) {
        let values: Vec<f64> = values.iter().skip(c).step_by(features as usize).map(|&v| v.into()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, var.sqrt())
    };
    for c in 0..features as usize {
        let (mean, std) = feature(&shift, c);
        assert!(
            mean.abs() < 0.51 && (std - 0.1 / 3f64.sqrt()).abs() < 0.003,
            "shift: mean {mean}, std {std}"
        );
        let (mean, std) = feature(&scale, c);
        assert!((0.99..1.26).contains(&mean) && (std - 0.1).abs() < 0.006, "scale: mean {mean}, std {std}");
    }
    assert_ne!(feature(&shift, 0).0, feature(&shift, 1).0);
    for (seed, layer) in [(2, 0), (1, 1)] {
        assert!((feature(&run(seed, layer, 0.0, false), 0).0 - feature(&shift, 0).0).abs() > 1e-3);
    }
}

#[test]
fn dropout_drops_its_share_and_the_way_back_drops_the_same() {
    let t = &*BENCH;
    let len = 10_000u32;
    let x: Vec<f32> = random(60, len as usize).iter().map(|v| v + 2.0).collect();
    let run = |step: Step, layer: u32, share: f32| {
        let (step, source) = (t.step(step), t.upload(&x));
        let (y, gradient) = (t.unwritten(len as usize), t.upload(&x));
        t.run(&t.kernels.dropout(&step, [len, layer], share, source.binding(), y.binding()));
        t.run(&t.kernels.dropout_backward(&step, [len, layer], share, gradient.binding()));
        let y: Vec<f32> = t.download(&y);
        assert_eq!(t.download::<f32>(&gradient), y, "y is x times what the gradient is times");
        y
    };
    let step = Step { seed: 1, slot: 2, ..Default::default() };
    assert_eq!(run(step, 0, 0.0), x, "nothing is dropped");
    for share in [0.25f32, 0.5, 0.9] {
        let y = run(step, 0, share);
        for (&x, &y) in x.iter().zip(&y) {
            let kept = x / (1.0 - share);
            assert!(y == 0.0 || (y - kept).abs() <= 1e-6 * kept.abs(), "{y} of {x}");
        }
        let dropped = y.iter().filter(|&&y| y == 0.0).count() as f32 / len as f32;
        // Four standard deviations.
        let bound = 4.0 * (share * (1.0 - share) / len as f32).sqrt();
        assert!((dropped - share).abs() < bound, "{dropped} instead of {share}");
        for (other, layer) in [(Step { seed: 2, ..step }, 0), (Step { slot: 3, ..step }, 0), (step, 1)] {
            let other = run(other, layer, share);
            let same = y.iter().zip(&other).filter(|(y, other)| (**y == 0.0) == (**other == 0.0)).count();
            let independent = share * share + (1.0 - share) * (1.0 - share);
            assert!((same as f32 / len as f32 - independent).abs() < 0.03, "{same} of {len} are alike");
        }
    }
}
