use super::*;
use crate::plan::Op;

const TRAINING: Op = Op::Training { update_running: true };
const BACKWARD: Op = Op::Backward { reduce: true, apply: true };
const PROFILES: [fn() -> DeviceProfile; 3] =
    [DeviceProfile::discrete, DeviceProfile::integrated, || DeviceProfile::software(8)];

/// Runs a search over what a model says of plans; the plans that it proposed, in order, and the best.
fn search(
    profile: &DeviceProfile,
    works: &[Op],
    shape: Shape,
    time: impl Fn(&[Plan]) -> f64,
) -> (Vec<Vec<Plan>>, Vec<Plan>) {
    let works = works.iter().map(|&op| op.into()).collect();
    let mut search = Search::new(profile, works, shape).unwrap();
    let mut proposed = Vec::new();
    while let Some(plans) = search.next() {
        proposed.push(plans.clone());
        let taken = time(&plans);
        search.tell(plans, taken);
        assert!(proposed.len() < 1000, "it ends");
    }
    (proposed, search.best)
}

fn default(profile: &DeviceProfile, op: Op, shape: Shape) -> Plan {
    Plan::new(profile, op, shape, PlanRequest::default()).unwrap()
}

#[test]
fn the_default_comes_first_and_every_plan_once() {
    for profile in PROFILES.map(|profile| profile()) {
        for shape in [Shape::channels_first(8, 16, &[12, 12]), Shape::rows(300, 40), Shape::rows(64, 7)] {
            for op in [TRAINING, Op::Evaluation, BACKWARD, Op::Backward { reduce: true, apply: false }] {
                let (proposed, _) = search(&profile, &[op], shape, |_| 1.0);
                assert_eq!(proposed[0], [default(&profile, op, shape)]);
                let requests: HashSet<_> = proposed.iter().map(|plans| plans[0].request()).collect();
                assert_eq!(requests.len(), proposed.len(), "{shape} {op:?}");
                assert!(proposed.len() > 3, "{shape} {op:?}: {proposed:?}");
                // What is proposed can be requested, and is the same plan then.
                for plan in proposed.iter().flatten() {
                    let again = Plan::new(&profile, op, shape, plan.request()).unwrap();
                    assert_eq!(again.stages, plan.stages);
                }
            }
        }
    }
}

#[test]
fn every_path_is_tried_where_the_model_does_not_rule_it_out() {
    let shape = Shape::channels_first(8, 64, &[12, 12]);
    let (proposed, _) = search(&DeviceProfile::discrete(), &[TRAINING], shape, |_| 1.0);
    for path in [Path::Persistent, Path::Cached, Path::Split] {
        assert!(proposed.iter().any(|plans| plans[0].path() == path), "{path}");
    }
}

#[test]
fn it_climbs_to_a_best_that_the_model_does_not_know() {
    let (profile, shape) = (DeviceProfile::software(8), Shape::channels_first(32, 64, &[56, 56]));
    // A device that likes 512 workgroups in the first dispatch, and 32 invocations in the last.
    let time = |plans: &[Plan]| {
        let way = plans[0].chosen.unwrap();
        let far = |given: u32, best: f64| (f64::from(given) / best).log2().abs();
        let path = if way.path == Path::Split { 1.0 } else { 5.0 };
        path + far(way.first.splits, 64.0) + far(way.second.workgroup, 32.0)
    };
    let (_, best) = search(&profile, &[TRAINING], shape, time);
    let way = best[0].chosen.unwrap();
    assert_eq!((way.path, way.second.workgroup), (Path::Split, 32));
    assert!((48..=96).contains(&way.first.splits), "{}", best[0].request());
}

#[test]
fn a_step_has_a_plan_for_each_work() {
    let (profile, shape) = (DeviceProfile::software(8), Shape::channels_first(32, 64, &[56, 56]));
    let cached = |plan: &Plan| if plan.path() == Path::Cached { 1.0 } else { 2.0 };
    let (proposed, best) =
        search(&profile, &[TRAINING, BACKWARD], shape, |plans| plans.iter().map(cached).sum());
    assert!(proposed.iter().all(|plans| plans.len() == 2));
    assert_eq!([best[0].path(), best[1].path()], [Path::Cached; 2]);
    assert_eq!([best[0].op(), best[1].op()], [TRAINING, BACKWARD]);
}

#[test]
fn what_little_differs_is_not_better() {
    let (profile, shape) = (DeviceProfile::software(8), Shape::rows(300, 40));
    let first = default(&profile, TRAINING, shape);
    let (_, best) = search(&profile, &[TRAINING], shape, |plans| if plans[0] == first { 1.0 } else { 0.985 });
    assert_eq!(best, [first]);
}

#[test]
fn an_empty_batch_has_one_plan() {
    let (proposed, _) = search(&DeviceProfile::discrete(), &[TRAINING], Shape::rows(0, 8), |_| 1.0);
    assert_eq!(proposed.len(), 1);
}

#[test]
fn software_drivers_compile_no_large_loops() {
    let profile = DeviceProfile::software(8);
    for shape in [Shape::rows(64, 2048), Shape::channels_first(4, 256, &[4, 4])] {
        let (proposed, _) = search(&profile, &[TRAINING], shape, |plans| plans[0].packet().into());
        for way in proposed.iter().filter_map(|plans| plans[0].chosen) {
            assert!(way.path != Path::Persistent || way.first.held * way.first.packet <= 32, "{way:?}");
        }
    }
}
