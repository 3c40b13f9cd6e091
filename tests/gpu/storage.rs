//! 16-bit storage: every pattern of bits, every rounding, and what is asked for and said of it. Layers that change nothing
//! (running mean 0, variance 1 - eps, weight 1, bias -0) show what loads and stores do.

use testkit::gpu::{gpu, whole};
use testkit::layer::{descriptor, layer_in};
use testkit::prepare::{self, Choices, Gradients};
use testkit::profiles::by_half_access;
use testkit::stored::{decode, download_bits, encode, upload_bits};
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, BindingError, Context, DeviceProfile, Op, Plan, PlanError, PlanRequest,
    PrepareError, Shape, State, StorageType, Tensor, Training, Work,
};

const HALVES: [StorageType; 2] = [StorageType::Float16, StorageType::BFloat16];
const EPS: f32 = 1.0 / 1024.0;

/// A layer whose y is weight · x, in float32 exactly where that is one.
fn scaling(context: &Context, weight: Vec<f32>) -> BatchNorm {
    let features = weight.len();
    let descriptor = BatchNormDescriptor { eps: EPS, ..descriptor(features as u32) };
    let state = State {
        weight,
        // Minus zero is what changes no zero.
        bias: vec![-0.0; features],
        running_mean: vec![0.0; features],
        running_var: vec![1.0 - EPS; features],
        num_batches_tracked: 0,
    };
    layer_in(context, &descriptor, &state)
}

/// Whether what was stored is what was to be: its bits; or any NaN; or, where float32 itself may be flushed, a zero.
fn is(storage: StorageType, got: u32, want: u32) -> bool {
    let [value, wanted] = [got, want].map(|bits| decode(storage, bits));
    got == want || (value.is_nan() && wanted.is_nan()) || (wanted.abs() < f32::MIN_POSITIVE && value == 0.0)
}

#[track_caller]
fn round_trips(context: &Context, storage: StorageType, shape: Shape, plan: &str, in_place: bool) {
    let plan: PlanRequest = plan.parse().unwrap();
    let len = shape.elements() as usize;
    // Every pattern, and the first ones again where the tensor is longer.
    let bits: Vec<u32> = (0..len as u32).map(|bits| bits & 0xffff).collect();
    let norm = scaling(context, vec![1.0; shape.features() as usize]);
    let (x, y) = (upload_bits(storage, &bits), gpu().empty(len.div_ceil(2)));
    let output = if in_place { &x } else { &y };
    let choices = Choices { storage, ..plan.into() };
    let step = prepare::evaluation(&norm, shape, whole(&x), whole(output), choices);
    let gradients = Gradients { dx: Some(whole(output)), ..Default::default() };
    let back = prepare::backward(&norm, &step, whole(&x), gradients, plan);
    for (name, step) in [("y", &step as &dyn wgpu_batchnorm::Step), ("dx", &back)] {
        gpu().run(|pass| step.record(pass)).unwrap();
        for (i, (&got, &want)) in download_bits(storage, output, len).iter().zip(&bits).enumerate() {
            assert!(is(storage, got, want), "{}: {name}[{i}] is {got:#06x}, not {want:#06x}", step.plan());
        }
    }
}

#[test]
fn every_pattern_of_bits_stays_what_it_is() {
    for (_, context) in by_half_access() {
        for storage in HALVES {
            for in_place in [false, true] {
                for packet in [1, 4, 8, 16] {
                    let rows = format!("rows packet={packet}");
                    round_trips(context, storage, Shape::rows(4096, 16), &rows, in_place);
                }
                // Planes of 257 odd values: halves of a word are in different workgroups.
                round_trips(context, storage, Shape::channels_first(51, 5, &[257]), "planes", in_place);
            }
        }
    }
}

/// float32 values between all neighbours of the type: in the middle, and next to it on both sides; and beyond the largest.
fn ties(storage: StorageType) -> Vec<f32> {
    let largest = encode(storage, f32::INFINITY) - 1;
    let middle = |bits: u32| {
        let [low, high] = [bits, bits + 1].map(|bits| f64::from(decode(storage, bits)));
        // The largest's neighbour would be twice as large as the one before the last exponent.
        let high = if high.is_finite() { high } else { 2.0 * low - f64::from(decode(storage, bits - 1)) };
        ((low + high) / 2.0) as f32
    };
    let around =
        |value: f32| [-1, 0, 1].map(|step: i32| f32::from_bits((value.to_bits() as i32 + step) as u32));
    let mut all: Vec<f32> = (0..=largest).map(middle).flat_map(around).collect();
    // A NaN whose bits would become those of zero if they were rounded up.
    let nan = f32::from_bits(0x7fff_ffff);
    all.extend([f32::MAX, 65536.0, 1e6, f32::MIN_POSITIVE, f32::NAN, nan, 0.0]);
    // The product with 1 has to be the value.
    all.retain(|value| value.is_nan() || *value == 0.0 || value.abs() >= f32::MIN_POSITIVE);
    let negative: Vec<f32> = all.iter().map(|value| -value).collect();
    all.extend(negative);
    all
}

#[test]
fn every_tie_is_rounded_to_even() {
    for storage in HALVES {
        for (way, context) in by_half_access() {
            for packet in [1, 4] {
                let mut weight = ties(storage);
                weight.resize(weight.len().next_multiple_of(4), 1.0);
                let shape = Shape::rows(1, weight.len() as u32);
                let norm = scaling(context, weight.clone());
                let x = upload_bits(storage, &vec![encode(storage, 1.0); weight.len()]);
                let y = gpu().empty(weight.len());
                let plan = PlanRequest::new().packet(packet);
                let choices = Choices { storage, ..plan.into() };
                let step = prepare::evaluation(&norm, shape, whole(&x), whole(&y), choices);
                gpu().run(|pass| step.record(pass)).unwrap();
                let got = download_bits(storage, &y, weight.len());
                for (&weight, &got) in weight.iter().zip(&got) {
                    let want = encode(storage, weight);
                    let what = format!("{storage} by {way}, packet {packet}: {weight:e}");
                    assert!(is(storage, got, want), "{what} is {got:#06x}, not {want:#06x}");
                }
            }
        }
    }
}

#[test]
fn ranges_hold_whole_words() {
    let shape = Shape::rows(3, 5);
    let norm = scaling(&by_half_access()[0].1, vec![1.0; 5]);
    let (x, y) = (gpu().empty(8), gpu().empty(8));
    for storage in HALVES {
        assert_eq!(shape.bytes_of(storage), 32);
        let range = |size| testkit::gpu::part(&x, 0, size);
        let training = |size| Training::new(range(size), whole(&y)).storage(storage);
        norm.prepare_training(shape, training(32)).unwrap();
        let error = norm.prepare_training(shape, training(30)).unwrap_err();
        let want = BindingError::TooSmall { tensor: Tensor::Input, required: 32, given: 30 };
        assert_eq!(error, PrepareError::Binding(want));
    }
    // In float32 the same buffer is too small; so is a gradient's.
    let error = norm.prepare_training(shape, Training::new(whole(&x), whole(&y))).unwrap_err();
    let want = BindingError::TooSmall { tensor: Tensor::Input, required: 60, given: 32 };
    assert_eq!(error, PrepareError::Binding(want));
    let choices = Choices { storage: StorageType::Float16, ..Default::default() };
    let step = prepare::training(&norm, shape, whole(&x), whole(&y), choices);
    let (dy, dx) = (gpu().empty(8), gpu().empty(7));
    let gradients = Gradients { dx: Some(whole(&dx)), ..Default::default() };
    let error = norm.prepare_backward(&step, gradients.of(whole(&dy))).unwrap_err();
    let want = BindingError::TooSmall { tensor: Tensor::InputGradient, required: 32, given: 28 };
    assert_eq!(error, PrepareError::Binding(want));
}

#[test]
fn plans_say_how_values_are_stored() {
    let op = Op::Training { update_running: true };
    let text = |storage, half_access, shape| {
        let mut profile = DeviceProfile::discrete();
        profile.half_access = half_access;
        let work = Work::from(op).storage(storage);
        Plan::new(&profile, work, shape, PlanRequest::default()).unwrap().to_string()
    };
    let (odd, even) = (Shape::rows(99, 7), Shape::rows(99, 64));
    for (storage, half_access, shape, part) in [
        (StorageType::Float16, true, odd, "of 1 float16 values by two-byte accesses;"),
        (StorageType::Float16, false, odd, "of 1 float16 values by atomics;"),
        (StorageType::BFloat16, true, odd, "of 1 bfloat16 values by atomics;"),
        (StorageType::Float16, true, even, "of 8 float16 values;"),
        (StorageType::BFloat16, false, even, "of 8 bfloat16 values;"),
        (StorageType::Float32, true, odd, "of 1 values;"),
        (StorageType::Float32, true, even, "of 4 values;"),
    ] {
        let text = text(storage, half_access, shape);
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    let halved = text(StorageType::Float16, true, even);
    let bytes = Shape::rows(99, 64).bytes_of(StorageType::Float16) * 2;
    assert!(halved.contains(&format!("{bytes} bytes moved")), "{halved}");
}

#[test]
fn packets_of_8_are_of_16_bit_values() {
    let op = Op::Evaluation;
    let request = PlanRequest::new().packet(8);
    let plan = |storage, features| {
        let work = Work::from(op).storage(storage);
        Plan::new(&DeviceProfile::software(8), work, Shape::rows(9, features), request)
    };
    assert_eq!(plan(StorageType::BFloat16, 24).unwrap().packet(), 8);
    let error = |required, given: &str| PlanError::Request { required, given: given.into() };
    let required = "a packet of 1, 4 or 16 that divides the plane or row";
    assert_eq!(plan(StorageType::Float32, 24), Err(error(required, "8")));
    let required = "a packet of 1, 4, 8 or 16 that divides the plane or row";
    assert_eq!(plan(StorageType::Float16, 12), Err(error(required, "8")));
}
