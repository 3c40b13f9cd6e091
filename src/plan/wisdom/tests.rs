mod random;

use proptest::prelude::*;

use super::*;
use crate::plan::{
    Activation, CustomActivation, Epilogue, MaskKind, Op, Path, PreActivation, ResidualGradient,
};
use crate::tensor::StorageType;
use random::{entries, shapes, wisdoms, works};

proptest! {
    #[test]
    fn what_is_printed_is_read_back(wisdom in wisdoms()) {
        let text = wisdom.to_string();
        prop_assert_eq!(text.parse::<Wisdom>(), Ok(wisdom), "{}", text);
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,200}", lines in prop::collection::vec("[\\[\\]a-z0-9x=; ]{0,40}", 0..8)) {
        let _ = text.parse::<Wisdom>();
        let text = format!("wgpu-batchnorm wisdom 1\n[device]\n{}", lines.join("\n"));
        if let Err(error) = text.parse::<Wisdom>() {
            prop_assert!(error.line >= 2 && error.line <= 2 + lines.len(), "{error}");
        }
    }

    #[test]
    fn a_text_with_a_byte_changed_is_wisdom_or_an_error(wisdom in wisdoms(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = wisdom.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(read) = text.parse::<Wisdom>() {
            // Whatever it says now, it says the same when it is printed.
            prop_assert_eq!(read.to_string().parse::<Wisdom>(), Ok(read));
        }
    }

    #[test]
    fn merging_keeps_all_and_believes_the_other(a in wisdoms(), b in wisdoms(), shared in (shapes(), works(), entries(), entries())) {
        let (shape, work, old, new) = shared;
        let (mut before, mut other) = (a, b);
        before.insert("shared", shape, work, old);
        other.insert("shared", shape, work, new);
        let mut merged = before.clone();
        merged.merge(other.clone());
        prop_assert_eq!(merged.get("shared", shape, work), Some(new));
        for (device, entries) in &before.devices {
            for (key, entry) in entries {
                let newer = other.devices.get(device).and_then(|entries| entries.get(key));
                prop_assert_eq!(merged.devices[device].get(key), Some(newer.unwrap_or(entry)));
            }
        }
        let mut again = merged.clone();
        again.merge(other);
        prop_assert_eq!(again, merged);
    }

    #[test]
    fn keys_are_read_back(shape in shapes(), work in works()) {
        let key = Key::new(shape, &work).unwrap();
        prop_assert_eq!(Key::parse(&key.to_string()), Some(key));
    }
}

const TRAINING: Op = Op::Training { update_running: true };
const SHAPE: Shape = Shape::channels_last(8, &[5, 5], 12);

fn entry(splits: u32) -> WisdomEntry {
    let time = Duration::from_micros(1);
    WisdomEntry::new(PlanRequest::new().path(Path::Split).splits(splits), time, time, time)
}

#[test]
fn what_makes_plans_differ_is_in_the_key() {
    let backward = Op::Backward { reduce: true, apply: true };
    let relu = Epilogue { activation: Activation::Relu, residual: false };
    let added = Epilogue { residual: true, ..relu };
    let work = Work::from(TRAINING);
    let custom = |value| Activation::Custom(CustomActivation { value, derivative: "return 1.0;" });
    let with = |activation| work.epilogue(Epilogue { activation, residual: false });
    let backward_of = |epilogue| Work::from(backward).epilogue(epilogue);
    let works = [
        work,
        Op::Evaluation.into(),
        backward.into(),
        Op::Backward { reduce: true, apply: false }.into(),
        Op::Backward { reduce: false, apply: true }.into(),
        work.storage(StorageType::Float16),
        work.storage(StorageType::BFloat16),
        work.epilogue(relu),
        work.epilogue(added),
        with(custom("return v;")),
        with(custom("return v * v;")),
        backward_of(relu),
        backward_of(added),
        backward_of(added).residual_gradient(ResidualGradient::Write),
        backward_of(added).residual_gradient(ResidualGradient::Add),
        backward_of(relu).pre_activation(PreActivation::SignOfOutput),
        work.separate_vectors(true),
        work.mask(MaskKind::Lengths),
        work.mask(MaskKind::Positions),
        work.guard(true),
        work.commit(true),
        work.virtual_batch(Some(2)),
        work.virtual_batch(Some(4)),
    ];
    let mut wisdom = Wisdom::new();
    for (i, work) in works.into_iter().enumerate() {
        wisdom.insert("a", SHAPE, work, entry(i as u32 + 1));
        wisdom.insert("a", Shape::rows(9, 12), work, entry(99));
        wisdom.insert("b", SHAPE, work, entry(98));
    }
    assert_eq!(wisdom.len(), 3 * works.len());
    for (i, work) in works.into_iter().enumerate() {
        assert_eq!(wisdom.get("a", SHAPE, work), Some(entry(i as u32 + 1)), "{work:?}");
    }
    assert_eq!(wisdom.get("c", SHAPE, TRAINING), None);
}

#[test]
fn what_makes_no_plan_differ_is_not() {
    let mut wisdom = Wisdom::new();
    let leaky = |slope| Epilogue { activation: Activation::LeakyRelu { slope }, residual: false };
    wisdom.insert("a", SHAPE, Work::from(TRAINING).epilogue(leaky(0.1)).virtual_batch(Some(2)), entry(1));
    // Rows that lie alike; a virtual batch of as many of them.
    let rows = Shape::rows(200, 12);
    let other =
        Work::from(Op::Training { update_running: false }).epilogue(leaky(0.2)).virtual_batch(Some(50));
    assert_eq!(wisdom.get("a", rows, other), Some(entry(1)));
    assert_eq!(wisdom.get("a", rows, other.virtual_batch(Some(2))), None);
    // A backward binds none of the layer's vectors.
    let backward = Work::from(Op::Backward { reduce: true, apply: true });
    wisdom.insert("a", SHAPE, backward, entry(2));
    assert_eq!(wisdom.get("a", SHAPE, backward.separate_vectors(true)), Some(entry(2)));
}

#[test]
fn parts_of_a_batch_and_plans_of_nothing_are_not_remembered() {
    let mut wisdom = Wisdom::new();
    for op in [Op::Moments, Op::Apply, Op::GradientSums, Op::Backward { reduce: false, apply: false }] {
        assert!(!wisdom.insert("a", SHAPE, op, entry(1)), "{op:?}");
    }
    let nothing = WisdomEntry { plan: PlanRequest::default(), ..entry(1) };
    assert!(!wisdom.insert("a", SHAPE, TRAINING, nothing));
    assert!(wisdom.is_empty());
}

#[test]
fn the_text_is_what_docs_tuning_shows() {
    let mut wisdom = Wisdom::new();
    let plan = "split planes packet=16 workgroup=8 tile=8 splits=2".parse().unwrap();
    let times = [3_210_000, 40_000, 3_900_000].map(Duration::from_nanos);
    let relu = Epilogue { activation: Activation::Relu, residual: false };
    let work = Work::from(TRAINING).epilogue(relu);
    let entry = WisdomEntry::new(plan, times[0], times[1], times[2]);
    wisdom.insert(
        "vulkan: llvmpipe (10005:0000), llvmpipe",
        Shape::channels_first(32, 64, &[56, 56]),
        work,
        entry,
    );
    let text = wisdom.to_string();
    assert!(include_str!("../../../docs/tuning.md").contains(text.trim()), "{text}");
}

#[test]
fn errors_name_the_line() {
    let line = "8x12x1 training = split rows splits=3 ; median_ns=5 spread_ns=1 default_ns=6";
    let head = "wgpu-batchnorm wisdom 1\n# a comment\n\n[a device]\r\n";
    assert_eq!(format!("{head}{line}\n").parse::<Wisdom>().unwrap().len(), 1);
    let long = format!("8x12x1 {} = x", "é".repeat(1000));
    for (text, at, required) in [
        (String::new(), 1, "names the format"),
        ("\n\n# nothing\n".into(), 4, "names the format"),
        ("wgpu-batchnorm wisdom 2\n".into(), 1, "names the format"),
        (format!("[a device]\n{line}"), 1, "names the format"),
        (format!("wgpu-batchnorm wisdom 1\n{line}"), 2, "before a plan"),
        (format!("{head}{line}\n{line}"), 6, "one plan"),
        (format!("{head}[a device"), 5, "in brackets"),
        (format!("{head}[]"), 5, "in brackets"),
        (format!("{head}[a  device]"), 5, "in brackets"),
        (format!("{head}8x12x1 training"), 5, "SHAPE WORK = PLAN"),
        (format!("{head}8x12x1 training = split"), 5, "SHAPE WORK = PLAN"),
        (format!("{head}{long}"), 5, "SHAPE WORK = PLAN"),
        (format!("{head}{}", line.replace("8x12x1", "8x12")), 5, "a shape"),
        (format!("{head}{}", line.replace("8x12x1", "8x12x1x1")), 5, "a shape"),
        (format!("{head}{}", line.replace("8x12x1", "8x+12x1")), 5, "a shape"),
        (format!("{head}{}", line.replace("8x12x1", "08x12x1")), 5, "a shape"),
        (format!("{head}{}", line.replace("8x12x1", "8x4294967296x1")), 5, "a shape"),
        (format!("{head}{}", line.replace("training", "trainings")), 5, "a work"),
        (format!("{head}{}", line.replace("training", "relu")), 5, "a work"),
        (format!("{head}{}", line.replace("training", "training commit guard")), 5, "a work"),
        (format!("{head}{}", line.replace("training", "training relu relu")), 5, "a work"),
        (format!("{head}{}", line.replace("training", "training  relu")), 5, "a work"),
        (format!("{head}{}", line.replace("training", "training virtual_batch=x")), 5, "a work"),
        (format!("{head}{}", line.replace("split rows splits=3", "split up")), 5, "a plan"),
        (format!("{head}{}", line.replace("split rows splits=3", " ")), 5, "a plan"),
        (format!("{head}{}", line.replace("splits=3", "splits=99999999999")), 5, "a plan"),
        (format!("{head}{}", line.replace("median_ns=5", "median_ns=-5")), 5, "median_ns=NUMBER"),
        (
            format!("{head}{}", line.replace("median_ns=5", "median_ns=99999999999999999999")),
            5,
            "median_ns=NUMBER",
        ),
        (format!("{head}{line} more=1"), 5, "median_ns=NUMBER"),
    ] {
        let error = text.parse::<Wisdom>().unwrap_err();
        assert_eq!(error.line, at, "{error}");
        assert!(error.required.contains(required), "{required:?} in {error}");
        assert!(error.given.chars().count() <= 80);
    }
}

#[test]
fn names_of_devices_are_one_line() {
    assert_eq!(one_line(" a\n[b]\t c\u{0} "), "a [b] c");
    assert_eq!(one_line("\n"), "unknown");
}
