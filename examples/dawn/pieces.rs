//! Cases of tensors that are not bound at once: beyond one binding, and in parts.

use wgpu_batchnorm::{Activation, Epilogue, MaskKind, Path, PlanRequest, StorageType, View};

use crate::cases::{PLACEMENTS, Spec, Work, frame};
use crate::problem::Extent;

/// Tensors beyond one binding, in each view and packet, with a storage type, an epilogue, a mask and a placement each: pieces
/// begin between any two words, and their splits are merged together.
pub fn in_pieces() -> impl Iterator<Item = Spec> {
    let with = |(k, (view, packet, extent)): (usize, (View, u32, [u32; 3]))| {
        let frame = frame(view, packet, extent, [4, 4]);
        let mut epilogue = Epilogue::default();
        (epilogue.activation, epilogue.residual) = [
            (Activation::Identity, false),
            (Activation::Relu, true),
            (Activation::LeakyRelu { slope: 0.1 }, false),
            (Activation::Silu, true),
        ][k % 4];
        let mask = [None, Some(MaskKind::Lengths), Some(MaskKind::Positions)][(k + k / 3) % 3];
        let training = frame.spec(Work::Training, Some(Path::Split), PLACEMENTS[k % 3]);
        let frozen = frame.spec(Work::Frozen, Some(Path::Split), PLACEMENTS[(k + 1) % 3]);
        let evaluation = frame.spec(Work::Evaluation, None, PLACEMENTS[(k + 2) % 3]);
        let storage = move |i: usize| StorageType::ALL[(k + i) % 3];
        let all = [training, frozen, evaluation].into_iter().enumerate();
        all.map(move |(i, spec)| Spec {
            storage: storage(i),
            epilogue,
            mask,
            pieces: true,
            long: false,
            ..spec
        })
    };
    let frames = [
        (View::Planes, 1, [81, 3, 37]),
        (View::Planes, 4, [61, 3, 60]),
        (View::Planes, 16, [41, 3, 112]),
        (View::Rows, 1, [2003, 5, 1]),
        (View::Rows, 4, [1201, 12, 1]),
        (View::Rows, 16, [301, 48, 1]),
    ];
    frames.into_iter().enumerate().flat_map(with)
}

/// Every kernel of a batch in parts: of rows and planes, of each storage type, with an epilogue and a mask, and without.
pub fn in_parts() -> impl Iterator<Item = Spec> {
    let plain = [[203, 5, 1], [203, 12, 1]].map(|extent| (extent, StorageType::Float32, false));
    let others = [
        ([301, 5, 1], StorageType::BFloat16, true),
        ([259, 3, 20], StorageType::Float16, true),
        ([259, 3, 7], StorageType::Float32, true),
    ];
    plain.into_iter().chain(others).enumerate().map(|(k, ([outer, features, inner], storage, fused))| {
        let extent = Extent { outer, features, inner };
        let plan = PlanRequest::new().splits(5);
        let mut spec = Spec::new(Work::Parts, extent, PLACEMENTS[k % 2], plan);
        if fused {
            (spec.epilogue.activation, spec.epilogue.residual) = (Activation::Relu, true);
            spec.mask = Some(MaskKind::Lengths);
        }
        Spec { storage, ..spec }
    })
}
