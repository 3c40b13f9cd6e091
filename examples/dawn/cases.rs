//! Which cases there are: every shader of the layer at least once, and wherever a plan allows it with more than 1,024
//! loads of each invocation, that is with a second block of the accumulation, whose last segment is not full.

use wgpu_batchnorm::{Activation, Epilogue, MaskKind, Path, PlanRequest, StorageType, View};

use crate::problem::Extent;
use crate::tensors::Placement;
use crate::{options, pieces};

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
    /// Training and all gradients, over records of several parts.
    Parts,
}

#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub work: Work,
    pub extent: Extent,
    pub placement: Placement,
    pub plan: PlanRequest,
    pub storage: StorageType,
    pub epilogue: Epilogue,
    pub mask: Option<MaskKind>,
    /// With a guard and a flag, the flag.
    pub flag: Option<u32>,
    /// Whether dx is left out, in which case the residual's gradient is wanted all the same.
    pub without_dx: bool,
    /// Whether float16 is accessed by two bytes.
    pub half_access: bool,
    /// Whether the layer's vectors are the caller's, in one buffer where the tensors are, too.
    pub own_vectors: bool,
    /// Whether it is planned as for a GPU, with invocations that share what they sum up.
    pub gpu: bool,
    /// Whether a binding is so small that tensors are cut into pieces.
    pub pieces: bool,
    /// Whether each invocation of a dispatch over the tensor makes more than 1,024 loads on average.
    pub long: bool,
}

impl Spec {
    pub fn new(work: Work, extent: Extent, placement: Placement, plan: PlanRequest) -> Self {
        Self {
            work,
            extent,
            placement,
            plan,
            storage: StorageType::default(),
            epilogue: Epilogue::default(),
            mask: None,
            flag: None,
            without_dx: work == Work::WithoutInputGradient,
            half_access: false,
            own_vectors: false,
            gpu: false,
            pieces: false,
            long: false,
        }
    }

    /// Whether nothing is fused into float32 kernels of packets that a GPU loads ahead.
    fn is_plain(&self) -> bool {
        let fused = self.epilogue != Epilogue::default() || self.mask.is_some() || self.flag.is_some();
        let planned = self.plan.packet.is_some_and(|packet| packet < 16);
        planned && !fused && !self.gpu && !self.pieces && self.storage == StorageType::Float32
    }

    pub fn name(&self) -> String {
        let Self { work, extent, placement, plan, storage, half_access, own_vectors, gpu, .. } = self;
        let Extent { outer, features, inner } = extent;
        let work = match work {
            Work::Training => "training",
            Work::Frozen => "frozen",
            Work::Evaluation => "evaluation",
            Work::WithoutInputGradient => "training without dx",
            Work::Parts => "training in parts",
        };
        let placement = match placement {
            Placement::Separate => "",
            Placement::Shared => ", shared",
            Placement::InPlace => ", in place",
            Placement::ResidualInPlace => ", residual in place",
        };
        let gpu = if *gpu { ", as on a GPU" } else { "" };
        let by = if *half_access { " by two bytes" } else { "" };
        let vectors = if *own_vectors { ", vectors of the caller's" } else { "" };
        let epilogue = match self.epilogue {
            Epilogue { activation: Activation::Identity, residual: false, .. } => String::new(),
            Epilogue { activation, residual, .. } => {
                let residual = if residual { " with a residual" } else { "" };
                let without = if self.without_dx { " without dx" } else { "" };
                format!(", {activation:?}{residual}{without}")
            }
        };
        let mask = self.mask.map_or(String::new(), |mask| format!(", masked by {mask:?}"));
        let flag = self.flag.map_or(String::new(), |flag| format!(", guarded, flag {flag}"));
        let pieces = if self.pieces { ", in pieces" } else { "" };
        let beside = format!("{vectors}{gpu}{epilogue}{mask}{flag}{pieces}");
        format!("{work} {outer}x{features}x{inner} of {storage}{by}, {plan}{placement}{beside}")
    }
}

/// A view and packet, and tensors for it whose last tile is not full.
#[derive(Clone, Copy)]
pub struct Frame {
    view: View,
    packet: u32,
    extent: Extent,
    /// Invocations of a workgroup on the cached path, and on the others.
    workgroups: [u32; 2],
    /// Of planes: whether each invocation has a feature of its own, instead of a share of the workgroup's one.
    exclusive: bool,
}

pub const fn frame(
    view: View,
    packet: u32,
    [outer, features, inner]: [u32; 3],
    workgroups: [u32; 2],
) -> Frame {
    Frame { view, packet, extent: Extent { outer, features, inner }, workgroups, exclusive: false }
}

pub const FRAMES: [Frame; 6] = [
    frame(View::Planes, 1, [5, 3, 1999], [4, 4]),
    frame(View::Planes, 4, [9, 3, 1996], [2, 2]),
    frame(View::Planes, 16, [33, 2, 2032], [2, 2]),
    frame(View::Rows, 1, [6607, 5, 1], [16, 16]),
    frame(View::Rows, 4, [5501, 12, 1], [8, 8]),
    frame(View::Rows, 16, [2741, 48, 1], [8, 4]),
];

const EXCLUSIVE: [Frame; 3] = [
    Frame { exclusive: true, ..frame(View::Planes, 1, [3, 5, 1999], [4, 4]) },
    Frame { exclusive: true, ..frame(View::Planes, 4, [9, 7, 1996], [4, 4]) },
    Frame { exclusive: true, ..frame(View::Planes, 16, [33, 3, 2032], [2, 2]) },
];

pub const PLACEMENTS: [Placement; 3] = [Placement::Separate, Placement::Shared, Placement::InPlace];

impl Frame {
    pub fn spec(&self, work: Work, path: Option<Path>, placement: Placement) -> Spec {
        let cached = path == Some(Path::Cached);
        let mut plan = self.plan(self.workgroups[usize::from(!cached)]).splits(if cached { 1 } else { 2 });
        plan.path = path;
        Spec { long: true, ..Spec::new(work, self.extent, placement, plan) }
    }

    fn plan(&self, workgroup: u32) -> PlanRequest {
        let plan = PlanRequest::new().view(self.view).packet(self.packet).workgroup(workgroup);
        match self.view {
            View::Planes => plan.tile(if self.exclusive { workgroup } else { 1 }),
            _ => plan,
        }
    }

    /// A tensor of which an invocation holds up to so many packets, some one less.
    pub fn persistent(&self, work: Work, held: u32, placement: Placement) -> Spec {
        let (packet, features) = (self.packet, 3);
        let extent = match self.view {
            // 8 invocations of one feature.
            View::Planes => Extent { outer: 8 * held / 3, features, inner: 3 * packet },
            // 2 invocations of each of 4 packets of a row, of which there are 3.
            _ => Extent { outer: 2 * held - 1, features: features * packet, inner: 1 },
        };
        let mut plan = self.plan(8).path(Path::Persistent);
        plan.held = Some(held);
        Spec::new(work, extent, placement, plan)
    }
}

/// So many splits that an invocation of the merging kernels has more than one of its third level's.
fn many_splits(features: u32, packet: u32, workgroup: u32) -> Spec {
    let frame = frame(View::Rows, packet, [7999, features, 1], [workgroup; 2]);
    let mut spec = frame.spec(Work::Training, Some(Path::Split), Placement::Separate);
    spec.plan.splits = Some(4000);
    Spec { long: false, ..spec }
}

/// Workgroups of 64 invocations, as plans for GPUs have them.
fn as_on_a_gpu() -> impl Iterator<Item = Spec> {
    let planes = frame(View::Planes, 1, [1, 1, 67_001], [64; 2]);
    let rows = frame(View::Rows, 1, [13_411, 5, 1], [64; 2]);
    [planes, rows].into_iter().flat_map(|frame| {
        [Path::Cached, Path::Split].map(|path| {
            let mut spec = frame.spec(Work::Training, Some(path), Placement::Separate);
            spec.plan.splits = Some(1);
            Spec { gpu: true, ..spec }
        })
    })
}

/// An empty batch is counted, and has zero gradients.
fn empty(features: u32) -> Spec {
    let extent = Extent { outer: 0, features, inner: 1 };
    Spec::new(Work::Training, extent, Placement::Separate, PlanRequest::default())
}

/// Every kernel of tensors in 16-bit storage, in a view and packet: of odd planes and rows, where packets are single.
fn stored(
    storage: StorageType,
    half_access: bool,
    view: View,
    packet: u32,
    placement: Placement,
) -> Vec<Spec> {
    let extent = match view {
        View::Planes => [9, 3, 7 * packet],
        _ => [201, 3 * packet, 1],
    };
    let frame = frame(view, packet, extent, [4, 4]);
    let mut all = vec![frame.spec(Work::Evaluation, None, placement)];
    all.extend([Path::Cached, Path::Split].map(|path| frame.spec(Work::Training, Some(path), placement)));
    all.push(frame.persistent(Work::Training, 8, placement));
    all.push(frame.spec(Work::WithoutInputGradient, Some(Path::Split), Placement::Separate));
    all.into_iter().map(|spec| Spec { storage, half_access, long: false, ..spec }).collect()
}

/// Each storage type in each view and packet, and in each placement.
fn all_stored() -> impl Iterator<Item = Spec> {
    let types = [(StorageType::Float16, false), (StorageType::BFloat16, false), (StorageType::Float16, true)];
    let with = |(storage, half_access): (StorageType, bool)| {
        let packets = if half_access { vec![1; 3] } else { vec![1, 4, 8, 16] };
        let each = |(k, &packet): (usize, &u32)| {
            let views = [View::Planes, View::Rows].into_iter().enumerate();
            let of = |(v, view)| stored(storage, half_access, view, packet, PLACEMENTS[(k + v) % 3]);
            views.flat_map(of).collect::<Vec<_>>()
        };
        packets.iter().enumerate().flat_map(each).collect::<Vec<_>>()
    };
    types.into_iter().flat_map(with)
}

/// Layers whose vectors are the caller's, each in a buffer of its own and all in one.
fn own_vectors() -> impl Iterator<Item = Spec> {
    let frames = [FRAMES[1], FRAMES[3], FRAMES[4], FRAMES[5]].into_iter();
    let with = |frame: Frame| {
        [Placement::Separate, Placement::Shared].into_iter().flat_map(move |placement| {
            let paths =
                [Path::Cached, Path::Split].map(|path| frame.spec(Work::Training, Some(path), placement));
            let evaluation = frame.spec(Work::Evaluation, None, placement);
            let others = [evaluation, frame.persistent(Work::Training, 8, placement)];
            paths.into_iter().chain(others)
        })
    };
    frames.flat_map(with).map(|spec| Spec { own_vectors: true, ..spec })
}

pub fn all() -> Vec<Spec> {
    let mut all = vec![empty(5), empty(12), many_splits(5, 1, 8), many_splits(12, 4, 4)];
    all.extend(as_on_a_gpu());
    all.extend(all_stored());
    all.extend(own_vectors());
    all.extend(options::with_epilogues());
    all.extend(options::with_masks());
    all.extend(pieces::in_pieces());
    all.extend(pieces::in_parts());
    for frame in &FRAMES {
        for placement in PLACEMENTS {
            all.push(frame.spec(Work::Evaluation, None, placement));
            for path in [Path::Cached, Path::Split] {
                all.push(frame.spec(Work::Training, Some(path), placement));
            }
            all.extend([4, 8, 16].map(|held| frame.persistent(Work::Training, held, placement)));
        }
        for path in [Path::Cached, Path::Split] {
            all.push(frame.spec(Work::Frozen, Some(path), Placement::Separate));
        }
        all.push(frame.persistent(Work::Frozen, 8, Placement::Separate));
        all.push(frame.spec(Work::WithoutInputGradient, Some(Path::Split), Placement::Separate));
    }
    for frame in &EXCLUSIVE {
        for path in [Path::Cached, Path::Split] {
            all.push(frame.spec(Work::Training, Some(path), Placement::Separate));
        }
    }
    // With packets loaded ahead, as only plans for a GPU have them.
    let ahead: Vec<Spec> =
        all.iter().filter(|spec| spec.is_plain()).map(|spec| Spec { gpu: true, ..*spec }).collect();
    all.extend(ahead);
    all
}
