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
                    let frames = Frame::all(&profile, op.into(), shape, PlanRequest::default(), 1).unwrap();
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

/// Mesa 22.3 stops loops without a word: what reads a feature twice in one workgroup may have 65,000 turns in all.
#[test]
fn features_that_are_too_long_for_a_loop_are_not_cached() {
    let cached = |rows| {
        let request = PlanRequest::new().path(Path::Cached).packet(1).workgroup(1).splits(1);
        Plan::new(&DeviceProfile::software(8), TRAINING, Shape::rows(rows, 1), request)
    };
    assert!(cached(27_000).is_ok());
    assert!(matches!(cached(29_000), Err(PlanError::Request { .. })));
}

#[test]
fn records_are_all_merged() {
    for op in [Op::Finalize { records: 5, update_running: true }, Op::FinalizeGradients { records: 5 }] {
        let plan = plan(op, Shape::rows(16, 8));
        assert_eq!((plan.stages.len(), plan.stages[0].grid.total), (1, 5), "{op:?}");
    }
}

#[test]
fn virtual_batches_are_65_536_at_the_most() {
    let of = |batches: u32| {
        let work = Work::from(TRAINING).virtual_batch(Some(2));
        Plan::new(&DeviceProfile::discrete(), work, Shape::rows(2 * batches, 1), PlanRequest::default())
    };
    assert_eq!(of(1 << 16).map(|plan| plan.pieces()), Ok(1 << 16));
    assert!(matches!(of((1 << 16) + 1), Err(PlanError::Request { given, .. }) if given == "65537"));
}

#[test]
fn shapes_without_features_are_refused() {
    for shape in [Shape::rows(272, 0), Shape::rows(0, 0), Shape::channels_first(2, 0, &[3])] {
        for op in [TRAINING, Op::Evaluation, Op::Backward { reduce: true, apply: true }] {
            let plan = Plan::new(&DeviceProfile::discrete(), op, shape, PlanRequest::default());
            assert!(matches!(plan, Err(PlanError::Request { .. })), "{shape}");
        }
    }
}

#[test]
fn a_device_without_workgroups_computes_nothing() {
    let profile = DeviceProfile::discrete();
    assert!(profile.computes());
    assert!(!DeviceProfile { max_workgroups: 0, ..profile }.computes());
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

/// Splits of an evaluation leave nothing to be merged, and are more than 2³² over all its pieces.
#[test]
fn splits_of_many_pieces_of_an_evaluation() {
    let discrete = DeviceProfile::discrete();
    let profile = DeviceProfile { max_binding: (1 << 34) - 4, max_workgroups: 1 << 20, ..discrete };
    let shape = Shape::channels_first(1 << 14, 1, &[1 << 20]);
    let request = PlanRequest::new().packet(1).workgroup(1).splits(u32::MAX);
    let plan = Plan::new(&profile, Op::Evaluation, shape, request).unwrap();
    let splits: u64 = plan.workgroups().into_iter().map(u64::from).sum();
    assert!(plan.pieces() > 2 && splits > 1 << 32, "{plan}");
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

#[test]
fn a_plan_counts_its_dispatches_and_its_scratch() {
    let (shape, vector) = (Shape::rows(1000, 20), 64 * 4);
    let of = |work: Work, request: &str| {
        Plan::new(&DeviceProfile::discrete(), work, shape, request.parse().unwrap()).unwrap()
    };
    let backward = Op::Backward { reduce: true, apply: true };
    for (work, request, dispatches, scratch, bytes) in [
        // Saved statistics, and the moments of each split.
        (Work::from(TRAINING), "split splits=3", 3, (12, 12), (6 + 12) * vector),
        // The sums of each split, two means, and two gradients that may not be wanted.
        (backward.into(), "split splits=3", 3, (10, 6), 10 * vector),
        (Op::Evaluation.into(), "", 1, (0, 1), 6 * vector),
        (Work::from(TRAINING).mask(MaskKind::Lengths), "split splits=3", 4, (12, 12), 18 * vector + 32 * 4),
        (Work::from(TRAINING).mask(MaskKind::Positions), "split splits=3", 3, (12, 12), 18 * vector),
    ] {
        let plan = of(work, request);
        assert_eq!((plan.dispatches(), plan.scratch_vectors()), (dispatches, scratch), "{plan}");
        assert_eq!(plan.scratch_bytes(), bytes, "{plan}");
        assert_eq!((plan.op(), plan.view(), plan.shape()), (work.op, View::Rows, shape), "{plan}");
    }
}

/// Scratch is one binding: 12 vectors of 64 values.
#[test]
fn scratch_is_as_large_as_a_binding_at_the_most() {
    let of = |max_binding| {
        let profile = DeviceProfile { max_binding, ..DeviceProfile::discrete() };
        Plan::new(
            &profile,
            TRAINING,
            Shape::rows(6, 64),
            "split packet=4 workgroup=8 tile=8 splits=3".parse().unwrap(),
        )
    };
    assert!(of(3072).is_ok());
    let limit = "max_storage_buffer_binding_size";
    assert_eq!(of(3068).unwrap_err(), PlanError::DeviceLimit { limit, required: 3072, given: 3068 });
}

#[test]
fn few_storage_buffers_take_another_path() {
    let path = |max_storage_buffers| {
        let profile = DeviceProfile { max_storage_buffers, ..DeviceProfile::discrete() };
        Plan::new(&profile, TRAINING, Shape::rows(64, 1024), PlanRequest::default()).map(|plan| plan.path())
    };
    assert_eq!(path(4), Ok(Path::Persistent));
    assert_eq!(path(3), Ok(Path::Split));
    assert!(matches!(path(2), Err(PlanError::StorageBuffers { required: 3, given: 2 })));
}

#[test]
fn two_byte_accesses_are_of_single_float16() {
    let profile = DeviceProfile { half_access: true, ..DeviceProfile::discrete() };
    for storage in [StorageType::Float32, StorageType::Float16, StorageType::BFloat16] {
        for packet in [1, 4] {
            let work = Work { storage, ..Work::from(TRAINING) };
            let plan =
                Plan::new(&profile, work, Shape::rows(64, 16), PlanRequest::new().packet(packet)).unwrap();
            let wanted = storage == StorageType::Float16 && packet == 1;
            assert_eq!(plan.stored(), Stored { storage, half_access: wanted }, "{plan}");
        }
    }
}

#[test]
fn plans_print_slots_side_by_side_where_there_are_several() {
    let text = |tile| plan_of(&format!("split rows packet=4 workgroup=64 tile={tile} splits=2")).to_string();
    assert!(text(8).contains("64 invocations (8 side by side) of 4 values"), "{}", text(8));
    assert!(text(1).contains("64 invocations of 4 values; "), "{}", text(1));
}

fn plan_of(request: &str) -> Plan {
    let shape = Shape::rows(1000, 64);
    Plan::new(&DeviceProfile::discrete(), TRAINING, shape, request.parse().unwrap()).unwrap()
}
