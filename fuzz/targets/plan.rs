//! Any text as a plan's request: printed and read again it is the same, and a plan that follows it leads to itself again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgpu_batchnorm::{DeviceProfile, Op, Plan, PlanRequest, Shape, Work};

fuzz_target!(|text: &str| {
    let Ok(request) = text.parse::<PlanRequest>() else { return };
    assert_eq!(request.to_string().parse(), Ok(request));
    for profile in [DeviceProfile::discrete(), DeviceProfile::software(8)] {
        for op in [
            Op::Training { update_running: true },
            Op::Evaluation,
            Op::Backward { reduce: true, apply: true },
        ] {
            for shape in [Shape::rows(4096, 256), Shape::channels_first(32, 64, &[56, 56]), Shape::rows(3, 5)]
            {
                let Ok(plan) = Plan::new(&profile, Work::from(op), shape, request) else { continue };
                let again = Plan::new(&profile, Work::from(op), shape, plan.request());
                assert_eq!(again.as_ref(), Ok(&plan));
            }
        }
    }
});
