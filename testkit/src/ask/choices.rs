//! Choices of an ask, a number each, and the ask that they are: of these combinations are drawn.

use wgpu_batchnorm::{Activation, MaskKind, Path, PlanRequest, PreActivation, Shape, StorageType, View};

use super::{Ask, Batch, CUSTOM, Mode, PLACEMENTS, Wanted};

const VIEWS: [View; 2] = [View::Planes, View::Rows];
const PACKETS: [u32; 4] = [1, 4, 8, 16];
const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Silu,
    Activation::Gelu,
    CUSTOM,
];
const MASKS: [Option<MaskKind>; 3] = [None, Some(MaskKind::Lengths), Some(MaskKind::Positions)];
pub const BATCHES: [Batch; 4] = [Batch::Whole, Batch::Ranges, Batch::Virtual(0), Batch::Parts];
/// A guard, and a flag.
const GUARDS: [(bool, Option<u32>); 4] = [(false, None), (true, None), (true, Some(1)), (false, Some(0))];
const PATHS: [Path; 5] = [Path::Cached, Path::Persistent, Path::Split, Path::Elementwise, Path::Reduce];
const MODES: [Mode; 3] = [Mode::Training, Mode::Frozen, Mode::Evaluation];
const WANTED: [Wanted; 6] = [
    Wanted { dx: true, dz: false, learns: true },
    Wanted { dx: true, dz: true, learns: true },
    Wanted { dx: false, dz: true, learns: true },
    Wanted { dx: false, dz: true, learns: false },
    Wanted { dx: true, dz: true, learns: false },
    Wanted { dx: false, dz: false, learns: true },
];
const BY: [Option<PreActivation>; 3] =
    [None, Some(PreActivation::Recomputed), Some(PreActivation::SignOfOutput)];

/// Choices in each dimension. The last three are of backward alone.
pub const SIZES: [usize; 14] = [
    VIEWS.len(),
    PACKETS.len(),
    StorageType::ALL.len(),
    PLACEMENTS.len(),
    ACTIVATIONS.len(),
    2,
    MASKS.len(),
    BATCHES.len(),
    GUARDS.len(),
    PATHS.len(),
    MODES.len(),
    WANTED.len(),
    BY.len(),
    2,
];
/// The first choice that is of backward alone.
pub const OF_BACKWARD: usize = 11;

/// A shape of a view and packet width: its last tile, slice and virtual batch are not full, and an invocation can hold its
/// share of a feature.
fn shape(view: View, packet: u32, batch: Batch) -> (Shape, Batch) {
    let in_ranges = batch == Batch::Ranges;
    let (shape, examples) = match view {
        View::Rows => (Shape::rows(if in_ranges { 150 } else { 15 }, 5 * packet), 4),
        _ => (Shape::channels_first(if in_ranges { 133 } else { 5 }, 5, &[3 * packet]), 2),
    };
    (shape, if let Batch::Virtual(_) = batch { Batch::Virtual(examples) } else { batch })
}

/// What a combination of choices asks for, possible or not.
pub fn ask(choices: &[usize]) -> Ask {
    let (view, packet, path) = (VIEWS[choices[0]], PACKETS[choices[1]], PATHS[choices[9]]);
    let (shape, batch) = shape(view, packet, BATCHES[choices[7]]);
    let plan = PlanRequest::new().path(path).view(view).packet(packet).workgroup(8).tile(2);
    let (guard, flag) = GUARDS[choices[8]];
    Ask {
        storage: StorageType::ALL[choices[2]],
        placement: PLACEMENTS[choices[3]],
        mask: MASKS[choices[6]],
        batch,
        guard,
        flag,
        mode: MODES[choices[10]],
        wanted: WANTED[choices[11]],
        by: BY[choices[12]],
        accumulate: choices[13] == 1,
        plan: match path {
            Path::Persistent => plan.held(4),
            Path::Split | Path::Reduce => plan.splits(3),
            _ => plan,
        },
        ..Ask::new(shape, ACTIVATIONS[choices[4]], choices[5] == 1)
    }
}
