//! Any text as a shape: printed and read again it is the same, and plans of it are plans or errors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use testkit::bench::shapes::Case;
use wgpu_batchnorm::{DeviceProfile, Op, Plan, PlanRequest, Shape};

fuzz_target!(|text: &str| {
    let Ok(case) = text.parse::<Case>() else { return };
    assert_eq!(case.to_string().parse(), Ok(case.clone()));
    let shape = Shape::from(&case);
    let sizes = (case.elements() as u64, case.bytes());
    assert_eq!(sizes, (shape.elements(), 4 * shape.elements()), "{shape}");
    for op in [Op::Training { update_running: true }, Op::Evaluation] {
        let _ = Plan::new(&DeviceProfile::discrete(), op, shape, PlanRequest::new());
    }
});
