//! Which cases there are: every shader of the layer at least once, and wherever a plan allows it with more than 1,024
//! loads of each invocation, that is with a second block of the accumulation, whose last segment is not full.

use wgpu_batchnorm::{Path, PlanRequest, View};

use crate::problem::Extent;
use crate::tensors::Placement;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Training, then all gradients.
    Training,
    /// The running statistics normalize and move; then all gradients.
    Frozen,
    /// Evaluation, then dx.
    Evaluation,
    /// Training, then the gradients of weight and bias only.
    WithoutInputGradient,
}

#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub work: Work,
    pub extent: Extent,
    pub placement: Placement,
    pub plan: PlanRequest,
    /// Whether it is planned as for a GPU, with invocations that share what they sum up.
    pub gpu: bool,
    /// Whether each invocation of a dispatch over the tensor makes more than 1,024 loads on average.
    pub long: bool,
    /// How many times the usual tolerances are granted.
    pub slack: f64,
}

impl Spec {
    pub fn name(&self) -> String {
        let Self { work, extent, placement, plan, gpu, .. } = self;
        let Extent { outer, features, inner } = extent;
        let work = match work {
            Work::Training => "training",
            Work::Frozen => "frozen",
            Work::Evaluation => "evaluation",
            Work::WithoutInputGradient => "training without dx",
        };
        let path = plan.path.map_or_else(|| "default path".to_owned(), |path| path.to_string());
        let view = plan.view.map_or_else(|| "any view".to_owned(), |view| view.to_string());
        let placement = match placement {
            Placement::Separate => "",
            Placement::Shared => ", shared",
            Placement::InPlace => ", in place",
        };
        let chunks = plan.chunks.map_or_else(String::new, |chunks| format!(", chunks {chunks}"));
        let gpu = if *gpu { ", as on a GPU" } else { "" };
        format!(
            "{work} {outer}x{features}x{inner}, {path}, {view} x{}{chunks}{placement}{gpu}",
            plan.width.unwrap_or(1)
        )
    }
}

/// A view and width, and tensors for it whose last block of features is not full.
struct Frame {
    view: View,
    width: u32,
    extent: Extent,
    /// Invocations of a workgroup on the resident path, and on the others.
    lanes: [u32; 2],
}

const fn frame(view: View, width: u32, [outer, features, inner]: [u32; 3], lanes: [u32; 2]) -> Frame {
    Frame { view, width, extent: Extent { outer, features, inner }, lanes }
}

const FRAMES: [Frame; 6] = [
    frame(View::Planes, 1, [5, 3, 1999], [4, 4]),
    frame(View::Planes, 4, [9, 3, 1996], [2, 2]),
    frame(View::Planes, 16, [33, 2, 2032], [2, 2]),
    frame(View::Rows, 1, [6607, 5, 1], [16, 16]),
    frame(View::Rows, 4, [5501, 12, 1], [8, 8]),
    frame(View::Rows, 16, [2741, 48, 1], [8, 4]),
];

const PLACEMENTS: [Placement; 3] = [Placement::Separate, Placement::Shared, Placement::InPlace];

impl Frame {
    fn spec(&self, work: Work, path: Option<Path>, placement: Placement) -> Spec {
        let resident = path == Some(Path::Resident);
        let plan = PlanRequest {
            path,
            view: Some(self.view),
            width: Some(self.width),
            lanes: Some(self.lanes[usize::from(!resident)]),
            chunks: Some(if resident { 1 } else { 2 }),
        };
        Spec { work, extent: self.extent, placement, plan, gpu: false, long: true, slack: 1.0 }
    }

    /// A tensor of which an invocation holds up to so many loads, some one less.
    fn held(&self, work: Work, held: u32, placement: Placement) -> Spec {
        let (width, features) = (self.width, 3);
        let extent = match self.view {
            // 8 invocations of one feature.
            View::Planes => Extent { outer: 8 * held / 3, features, inner: 3 * width },
            // 2 invocations of each of 4 columns, of which there are 3.
            _ => Extent { outer: 2 * held - 1, features: features * width, inner: 1 },
        };
        let (path, lanes) = (Some(Path::Held), Some(8));
        let plan = PlanRequest { path, view: Some(self.view), width: Some(width), lanes, chunks: None };
        Spec { work, extent, placement, plan, gpu: false, long: false, slack: 1.0 }
    }
}

/// Sums of so many chunks that an invocation of the merging kernels reads more than 1,024 of them.
///
/// It merges them one after the other, so that their rounding errors add up, beyond the usual tolerances with some
/// data: with 5,000 chunks of two values y was off by 8.5e-7 and dweight by 2.4e-6. On wgpu it is no better.
fn many_chunks(features: u32, width: u32, lanes: u32) -> Spec {
    let frame = frame(View::Rows, width, [5199, features, 1], [lanes; 2]);
    let mut spec = frame.spec(Work::Training, Some(Path::Split), Placement::Separate);
    spec.plan.chunks = Some(2600);
    Spec { long: false, slack: 4.0, ..spec }
}

/// Workgroups of 64 invocations, as plans for GPUs have them.
fn as_on_a_gpu() -> impl Iterator<Item = Spec> {
    let planes = frame(View::Planes, 1, [1, 1, 67_001], [64; 2]);
    let rows = frame(View::Rows, 1, [13_411, 5, 1], [64; 2]);
    [planes, rows].into_iter().flat_map(|frame| {
        [Path::Resident, Path::Split].map(|path| {
            let mut spec = frame.spec(Work::Training, Some(path), Placement::Separate);
            spec.plan.chunks = Some(1);
            Spec { gpu: true, ..spec }
        })
    })
}

/// An empty batch is counted, and has zero gradients.
fn empty(features: u32) -> Spec {
    let extent = Extent { outer: 0, features, inner: 1 };
    let (work, plan) = (Work::Training, PlanRequest::default());
    Spec { work, extent, placement: Placement::Separate, plan, gpu: false, long: false, slack: 1.0 }
}

pub fn all() -> Vec<Spec> {
    let mut all = vec![empty(5), empty(12), many_chunks(5, 1, 8), many_chunks(12, 4, 4)];
    all.extend(as_on_a_gpu());
    for frame in &FRAMES {
        for placement in PLACEMENTS {
            all.push(frame.spec(Work::Evaluation, None, placement));
            for path in [Path::Resident, Path::Split] {
                all.push(frame.spec(Work::Training, Some(path), placement));
            }
            all.extend([4, 8, 16].map(|held| frame.held(Work::Training, held, placement)));
        }
        for path in [Path::Resident, Path::Split] {
            all.push(frame.spec(Work::Frozen, Some(path), Placement::Separate));
        }
        all.push(frame.held(Work::Frozen, 8, Placement::Separate));
        all.push(frame.spec(Work::WithoutInputGradient, Some(Path::Split), Placement::Separate));
    }
    all
}
