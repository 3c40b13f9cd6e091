//! Shapes and plans in which every walk ends unevenly: a last tile, split, slice, segment, block and level of a merge that
//! is not full, in every view and packet width.

use std::fmt::{Display, Formatter, Result as FmtResult};

use wgpu_batchnorm::{PlanRequest, Shape, StorageType, View};

/// A shape and a plan for it.
#[derive(Clone, Copy)]
pub struct Case {
    pub shape: Shape,
    pub storage: StorageType,
    pub plan: PlanRequest,
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{} of {}, [{}]", self.shape, self.storage, self.plan)
    }
}

impl Case {
    pub fn new(shape: Shape, plan: &str) -> Self {
        let plan = plan.parse().unwrap_or_else(|error| panic!("{error}"));
        Self { shape, storage: StorageType::Float32, plan }
    }

    /// The same with tensors stored so.
    pub fn stored(self, storage: StorageType) -> Self {
        Self { storage, ..self }
    }
}

/// Invocations that share a slot and invocations that do not, in each path. The workgroup of 32 is more than a vector of
/// any software adapter, so that some of its invocations run after others.
pub const CACHED: [&str; 2] = ["cached workgroup=32 tile=2", "cached workgroup=4 tile=4"];
pub const SPLIT: [&str; 2] = [
    "split workgroup=4 tile=2 splits=5 apply_tile=4 apply_splits=7",
    "split workgroup=4 tile=4 splits=3 apply_tile=2 apply_splits=1",
];
pub const PERSISTENT: [&str; 1] = ["persistent workgroup=32 tile=2 held=4"];

/// Packets of a slot: more than 16³ and 32², the segments and blocks of slices, and a multiple of no power of two.
const PLANES: u32 = 117;
const PLANE: u32 = 37;

/// A shape whose slots have so many planes of so many packets, or rows; its slots fill no tile.
fn shape(view: View, packet: u32, planes: u32, plane: u32) -> Shape {
    let features = if packet >= 8 { 3 } else { 5 };
    match view {
        View::Rows => Shape::rows(planes * plane, features * packet),
        _ => Shape::channels_first(planes, features, &[plane * packet]),
    }
}

/// Every path in a view and packet width.
pub fn cases(view: View, packet: u32) -> Vec<Case> {
    let long = shape(view, packet, PLANES, PLANE);
    let short = shape(view, packet, 9, 7);
    let case = |shape| move |plan: &str| Case::new(shape, &format!("{plan} {view} packet={packet}"));
    let walks = CACHED.into_iter().chain(SPLIT).map(case(long));
    walks.chain(PERSISTENT.into_iter().map(case(short))).collect()
}

/// More splits than an invocation merges in two levels of 40: one more than fill a level of the third, and of the second.
/// The last split is half as long as the others.
pub fn many_splits() -> [Case; 2] {
    [
        Case::new(Shape::rows(3281, 36), "split rows packet=4 workgroup=4 tile=4 splits=1641"),
        Case::new(
            Shape::channels_first(1, 9, &[3201]),
            "split planes packet=1 workgroup=4 tile=4 splits=1601",
        ),
    ]
}

/// Few splits, each merged by an invocation of its own where a workgroup has more than one for a feature.
pub fn few_splits() -> [Case; 2] {
    let plan = "workgroup=4 tile=2 splits=5";
    [
        Case::new(Shape::rows(245, 20), &format!("split rows packet=4 {plan}")),
        Case::new(Shape::channels_first(35, 5, &[28]), &format!("split planes packet=4 {plan}")),
    ]
}
