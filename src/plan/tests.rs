use super::frame::Frame;
use super::*;

const TRAINING: Op = Op::Training { update_running: true };

fn plan(op: Op, shape: Shape) -> Plan {
    Plan::new(&DeviceProfile::discrete(), op, shape, PlanRequest::default()).unwrap()
}

#[test]
fn a_few_values_per_feature_are_persistent() {
    assert_eq!(plan(TRAINING, Shape::rows(64, 1024)).path(), Path::Persistent);
    assert_eq!(plan(TRAINING, Shape::channels_first(32, 2048, &[7, 7])).path(), Path::Persistent);
}

#[test]
fn larger_workgroups_hold_larger_features() {
    let plan = |size, planes: [u32; 2], op| {
        let profile = DeviceProfile { max_workgroup: size, ..DeviceProfile::discrete() };
        let shape = Shape::channels_first(32, 512, &planes);
        Plan::new(&profile, op, shape, PlanRequest::default()).unwrap()
    };
    let backward = Op::Backward { reduce: true, apply: true };
    for op in [TRAINING, backward] {
        assert_ne!(plan(256, [15, 15], op).path(), Path::Persistent);
        let held = plan(1024, [15, 15], op);
        assert_eq!((held.path(), held.workgroup(), held.stages[0].grid.held), (Path::Persistent, 512, 16));
        // 16 packets of four values take 192 registers of each invocation.
        assert_ne!(plan(1024, [28, 28], op).path(), Path::Persistent);
    }
}

#[test]
fn many_values_per_feature_are_split() {
    let plan = plan(TRAINING, Shape::channels_first(1, 3, &[1024, 1024]));
    assert_eq!(plan.path(), Path::Split);
    assert!(plan.workgroups()[0] > 512);
}

#[test]
fn no_invocation_exceeds_the_loop_budget() {
    for profile in [DeviceProfile::discrete(), DeviceProfile::software(8), DeviceProfile::software(4)] {
        // A device that binds whole tensors, and one that binds pieces.
        let whole = DeviceProfile { max_binding: u64::from(u32::MAX) * 4, ..profile };
        for count in [1u32, 65_535, 65_536, 2_000_003, 1 << 24, 1 << 31] {
            let (rows, planes) = (Shape::rows(count, 1), Shape::channels_first(1, 1, &[count]));
            for (profile, shape) in [(whole, rows), (whole, planes), (profile, rows)] {
                for op in [TRAINING, Op::Evaluation, Op::Backward { reduce: true, apply: true }] {
                    let frames = Frame::all(&profile, op.into(), shape, PlanRequest::default()).unwrap();
                    let plan = Plan::new(&profile, op, shape, PlanRequest::default()).unwrap();
                    assert!(plan.splits() <= MAX_SPLITS, "{plan}");
                    for grid in plan.stages.iter().filter(|s| s.kernel.sees_tensor()).map(|stage| stage.grid)
                    {
                        assert!(frames[0].iterations(&grid) <= 65_535, "{plan}: {grid:?}");
                        assert!(u64::from(grid.splits) * u64::from(grid.slice) >= u64::from(grid.total));
                        assert!(u64::from(grid.splits - 1) * u64::from(grid.slice) < u64::from(grid.total));
                    }
                }
            }
        }
    }
}

/// The partial results of all pieces fit the scratch and the merge, however many pieces there are.
#[test]
fn pieces_leave_what_can_be_merged() {
    for profile in [DeviceProfile::discrete(), DeviceProfile::integrated(), DeviceProfile::software(8)] {
        for max_binding in [1 << 20, 1 << 24, 1 << 27] {
            let profile = DeviceProfile { max_binding, ..profile };
            for op in [TRAINING, Op::Moments, Op::GradientSums, Op::Backward { reduce: true, apply: true }] {
                let elements = 40 * max_binding / 4;
                for features in [1, 64, 1024] {
                    let rows = Shape::rows((elements / features) as u32, features as u32);
                    let plan = Plan::new(&profile, op, rows, PlanRequest::default()).unwrap();
                    assert!(plan.pieces() >= 40 && plan.splits() as usize >= plan.pieces(), "{plan}");
                    assert!(
                        plan.scratch_vectors * vector_stride(features as u32) * 4 <= max_binding,
                        "{plan}"
                    );
                }
            }
        }
    }
}

#[test]
fn plans_print_what_they_cost() {
    let plan = plan(TRAINING, Shape::channels_first(32, 64, &[56, 56]));
    let text = plan.to_string();
    assert!(text.contains("split over planes"), "{text}");
    assert!(text.contains(&format!("{} bytes moved", 3 * 32 * 64 * 56 * 56 * 4)), "{text}");
}

#[test]
fn a_plan_as_text_leads_to_the_same_plan() {
    for profile in [DeviceProfile::discrete(), DeviceProfile::integrated(), DeviceProfile::software(8)] {
        for shape in [
            Shape::channels_first(32, 64, &[56, 56]),
            Shape::channels_last(32, &[56, 56], 64),
            Shape::channels_first(1, 3, &[1024, 1024]),
            Shape::rows(65_536, 8),
            Shape::rows(64, 1024),
            Shape::channels_first(4, 100, &[7, 7]),
        ] {
            for op in [TRAINING, Op::Evaluation, Op::Backward { reduce: true, apply: true }] {
                let plan = Plan::new(&profile, op, shape, PlanRequest::default()).unwrap();
                let text = plan.request().to_string();
                let again = Plan::new(&profile, op, shape, text.parse().unwrap()).unwrap();
                assert_eq!(again.stages, plan.stages, "{text}");
            }
        }
    }
}

/// Of several pieces, no dispatch sees all: what is summed up over them is merged, also where dz is the only gradient of a
/// tensor.
#[test]
fn pieces_have_one_path_whatever_gradient_is_wanted() {
    let profile = DeviceProfile { max_binding: 8192, ..DeviceProfile::software(8) };
    let epilogue = Epilogue { activation: Activation::Relu, residual: true };
    for apply in [false, true] {
        let work = Work::from(Op::Backward { reduce: true, apply }).epilogue(epilogue);
        let work = work.residual_gradient(ResidualGradient::Write);
        let plan = |request| Plan::new(&profile, work, Shape::rows(1000, 8), request);
        let chosen = plan(PlanRequest::new().splits(1)).unwrap();
        assert_eq!((chosen.path(), chosen.pieces()), (Path::Split, 4), "{chosen}");
        for path in [Path::Cached, Path::Persistent] {
            let error = plan(PlanRequest::new().path(path)).unwrap_err();
            assert!(error.to_string().contains("in several pieces"), "{error}");
        }
    }
}
