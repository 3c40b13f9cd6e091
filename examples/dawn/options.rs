//! Cases of what is asked for beside the tensors: epilogues, masks, a guard and a flag.

use wgpu_batchnorm::{Activation, Epilogue, MaskKind, Path, View};

use crate::cases::{FRAMES, Frame, PLACEMENTS, Spec, Work, frame};
use crate::tensors::Placement;

/// Every epilogue in every kernel that has one, each in another view, packet and placement.
pub fn with_epilogues() -> impl Iterator<Item = Spec> {
    let (relu, leaky) = (Activation::Relu, Activation::LeakyRelu { slope: 0.1 });
    let epilogues = [
        (relu, true),
        (leaky, false),
        (Activation::Silu, true),
        (Activation::Gelu, true),
        (relu, false),
        (leaky, true),
        (Activation::Silu, false),
        (Activation::Identity, true),
        (Activation::Gelu, true),
        (relu, true),
        (leaky, true),
        (Activation::Silu, true),
    ];
    let with = |(k, (activation, residual)): (usize, (Activation, bool))| {
        let (view, packet) = [(View::Planes, 4), (View::Rows, 1), (View::Rows, 16)][k % 3];
        let extent = if view == View::Planes { [9, 3, 7 * packet] } else { [201, 3 * packet, 1] };
        let frame = frame(view, packet, extent, [4, 4]);
        let placements =
            [PLACEMENTS[k % 3], if residual { Placement::ResidualInPlace } else { PLACEMENTS[2] }];
        let placement = placements[k / 3 % 2];
        let mut all = vec![frame.spec(Work::Evaluation, None, placement)];
        let paths = [Path::Cached, Path::Split].map(|path| frame.spec(Work::Training, Some(path), placement));
        all.extend(paths);
        all.push(frame.persistent(Work::Training, [4, 8, 16][k % 3], placement));
        // dz alone.
        let without = all.clone().into_iter().filter(|_| residual);
        all.extend(without.map(|spec| Spec { without_dx: true, ..spec }));
        let mut epilogue = Epilogue::default();
        (epilogue.activation, epilogue.residual) = (activation, residual);
        all.into_iter().map(move |spec| Spec { epilogue, long: false, ..spec })
    };
    epilogues.into_iter().enumerate().flat_map(with)
}

/// A mask in every kernel that has one, in each view and packet: of positions where slices are long, else of either kind;
/// and a guard and a flag in every kernel that moves running statistics.
pub fn with_masks() -> impl Iterator<Item = Spec> {
    let with = |(k, frame): (usize, Frame)| {
        let placement = PLACEMENTS[k % 3];
        let paths = [Path::Cached, Path::Split].map(|path| frame.spec(Work::Training, Some(path), placement));
        let positions = paths.map(|spec| Spec { mask: Some(MaskKind::Positions), ..spec });
        let kind = [MaskKind::Lengths, MaskKind::Positions][k % 2];
        let frozen = frame.spec(Work::Frozen, Some(Path::Split), placement);
        let evaluation = frame.spec(Work::Evaluation, None, PLACEMENTS[(k + 1) % 3]);
        let persistent = frame.persistent(Work::Training, [4, 8, 16][k % 3], placement);
        let others =
            [frozen, evaluation, persistent].map(|spec| Spec { mask: Some(kind), long: false, ..spec });
        positions.into_iter().chain(others)
    };
    let flags = |(k, frame): (usize, Frame)| {
        let placement = PLACEMENTS[k % 3];
        let paths = [Path::Cached, Path::Split].map(|path| frame.spec(Work::Training, Some(path), placement));
        let flag = Some(k as u32 % 2 * 5);
        let all = paths.into_iter().chain([frame.persistent(Work::Training, [4, 8, 16][k % 3], placement)]);
        all.map(move |spec| Spec { flag, ..spec })
    };
    let frames = || FRAMES.into_iter().enumerate();
    frames().flat_map(with).chain(frames().flat_map(flags))
}
