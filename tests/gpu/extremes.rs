//! Numbers at the end of float32: what can be represented comes out, although what lies between could overflow.

use testkit::close::{assert_output, assert_trained_within};
use testkit::layer::{cut, descriptor, layer};
use testkit::layout::feature_of;
use testkit::plans::{elementwise, plans};
use testkit::random::{state, tensor};
use testkit::scales::{BACKWARD, FORWARD};
use testkit::train::{evaluate, train};
use wgpu_batchnorm::{BatchNormDescriptor, Convention, Path, PlanRequest, Shape, cpu};

/// Holds x against the reference on these plans.
#[track_caller]
fn check_plans(
    what: &str,
    descriptor: BatchNormDescriptor<'static>,
    shape: Shape,
    x: &[f32],
    plans: &[PlanRequest],
    tolerances: [f64; 2],
) {
    let before = cut(&descriptor, &state(shape.features(), 331));
    let dy = tensor(shape, 332);
    let reference = cpu::Layer::with_state(&descriptor, &before);
    for plan in plans {
        let got = train(&layer(&descriptor, &before), shape, x, &dy, *plan);
        assert!(got.y.iter().all(|v| v.is_finite()), "{what}: y of {shape}, [{plan}]");
        assert!(got.dx.iter().all(|v| v.is_finite()), "{what}: dx of {shape}, [{plan}]");
        assert_trained_within(
            &format!("{what}: {shape}, [{plan}]"),
            &got,
            shape,
            &reference,
            [x, &dy],
            tolerances,
        );
    }
}

#[track_caller]
fn check(what: &str, descriptor: BatchNormDescriptor<'static>, shape: Shape, x: &[f32]) {
    check_plans(what, descriptor, shape, x, &plans(shape), [FORWARD, BACKWARD]);
}

fn shapes() -> [Shape; 3] {
    [Shape::rows(64, 8), Shape::channels_first(8, 3, &[3, 3]), Shape::channels_first(8, 3, &[4, 4])]
}

/// The place of each value among its feature's.
fn places(shape: Shape) -> Vec<usize> {
    let mut next = vec![0; shape.features() as usize];
    (0..shape.elements() as usize)
        .map(|i| {
            let next = &mut next[feature_of(shape, i)];
            *next += 1;
            *next - 1
        })
        .collect()
}

/// The variance is 3·10³⁸, and the unbiased one of four values 4·10³⁸: beyond float32, but not its tenth.
#[test]
fn three_values_of_2e19_and_one_of_its_negative() {
    for shape in [Shape::rows(4, 1), Shape::rows(4, 8), Shape::channels_first(1, 3, &[4])] {
        let x: Vec<f32> = places(shape).into_iter().map(|i| if i == 3 { -2e19 } else { 2e19 }).collect();
        for convention in [Convention::Burn, Convention::PyTorch] {
            let d = BatchNormDescriptor {
                momentum: Some(0.1),
                ..BatchNormDescriptor::with_defaults_of(convention, shape.features())
            };
            check("2e19", d, shape, &x);
        }
    }
}

/// Without weight and bias, so that y is all of the result.
fn bare(features: u32, eps: f32) -> BatchNormDescriptor<'static> {
    BatchNormDescriptor { weight: false, bias: false, eps, ..descriptor(features) }
}

#[test]
fn the_largest_eps() {
    for shape in shapes() {
        for scale in [1.0, 1e10, 5e18] {
            let x: Vec<f32> = tensor(shape, 333).iter().map(|v| v * scale).collect();
            check("eps", bare(shape.features(), f32::MAX), shape, &x);
        }
    }
}

#[test]
fn a_variance_near_the_largest_float_with_any_eps() {
    for shape in shapes() {
        let x: Vec<f32> =
            places(shape).into_iter().map(|i| if i % 2 == 0 { 1.8e19 } else { -1.8e19 }).collect();
        for eps in [1e-5, 1.0, 1e38, f32::MAX] {
            check(&format!("eps {eps:e}"), bare(shape.features(), eps), shape, &x);
        }
    }
}

#[test]
fn evaluation_with_the_largest_running_variance_and_eps() {
    for shape in shapes() {
        let mut before = state(shape.features(), 334);
        before.running_var.fill(f32::MAX);
        let x: Vec<f32> = tensor(shape, 335).iter().map(|v| v * 1e19).collect();
        for eps in [1e-5, f32::MAX] {
            let d = bare(shape.features(), eps);
            let before = cut(&d, &before);
            let want =
                cpu::evaluate(&x, shape, &cpu::Layer::with_state(&d, &before), &cpu::Options::default());
            for plan in elementwise(shape) {
                let y = evaluate(&layer(&d, &before), shape, &x, plan);
                assert!(y.iter().all(|v| v.is_finite()), "{shape}, [{plan}]");
                assert_output(&format!("{shape}, [{plan}]"), &y, shape, &x, &want, FORWARD);
            }
        }
    }
}

/// All values are 0 but the first, middle or last, so that the variance of all just fits, and that of a few would not. One
/// value far from all others costs some digits.
#[track_caller]
fn check_one_large(shape: Shape, plans: &[PlanRequest]) {
    let count = shape.count() as usize;
    // No value is further from the mean than docs/numbers.md promises to be right.
    let large = (3e38 * shape.count() as f64).sqrt().min(7e19) as f32;
    for place in [0, count / 2, count - 1] {
        let x: Vec<f32> = places(shape).into_iter().map(|i| if i == place { large } else { 0.0 }).collect();
        let what = format!("{large:e} at {place}");
        check_plans(&what, descriptor(shape.features()), shape, &x, plans, [2e-6; 2]);
    }
}

#[test]
fn a_variance_that_just_fits_on_every_plan() {
    for shape in shapes() {
        check_one_large(shape, &plans(shape));
    }
}

#[test]
fn a_variance_that_just_fits_with_few_values_an_invocation() {
    let narrow = PlanRequest::new().packet(1);
    let split = narrow.path(Path::Split);
    check_one_large(
        Shape::rows(1024, 1),
        &[
            narrow.path(Path::Cached).workgroup(256),
            narrow.path(Path::Persistent).workgroup(256).tile(1),
            split.workgroup(1).splits(512),
            split.workgroup(1).splits(1024),
            split.workgroup(8).splits(128),
            split.workgroup(256).splits(4),
        ],
    );
    check_one_large(
        Shape::channels_first(16, 2, &[8, 8]),
        &[split.workgroup(8).tile(1).splits(128), narrow.path(Path::Cached).workgroup(64)],
    );
}

/// Where all values are the same, their spacing squared may be beyond float32: every shift is one of them exactly.
#[test]
fn huge_constants_have_no_variance() {
    for batch in [3, 5, 7, 13, 43, 301] {
        let shape = Shape::rows(batch, 4);
        let d = BatchNormDescriptor { momentum: Some(1.0), ..descriptor(4) };
        for value in (0..12).map(|k| 1.37e36 * (k as f32 * 0.7).exp2()).filter(|value| value.is_finite()) {
            let x = vec![value; shape.elements() as usize];
            for plan in [
                "cached rows packet=1 workgroup=1",
                "split rows packet=4 workgroup=8",
                "cached planes packet=1",
            ] {
                let plan: PlanRequest = plan.parse().unwrap();
                let got = train(&layer(&d, &state(4, 705)), shape, &x, &x, plan).state;
                let means = got.running_mean.iter().all(|mean| *mean == value);
                assert!(means && got.running_var == [0.0; 4], "{batch} of {value:e}, [{plan}]: {got:?}");
            }
        }
    }
}
