//! What of a tensor a dispatch binds: rows of the view outer × features × inner, no more than fit a binding and indices.

use super::{DeviceProfile, PlanError, Work};
use crate::tensor::{MAX_ELEMENTS, Shape};

/// Rows of a tensor that a dispatch works on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    /// The first of its rows.
    pub first: u64,
    /// How many.
    pub rows: u64,
    /// The virtual batch that they are of.
    pub batch: u32,
}

/// The pieces of each virtual batch, in the tensor's order. `ends` are the rows before which a range of some tensor ends.
pub(super) fn pieces(
    profile: &DeviceProfile,
    work: &Work,
    shape: Shape,
    ends: &[u64],
) -> Result<Vec<Vec<Piece>>, PlanError> {
    let cutter = Cutter { profile, shape, row_bytes: work.row_bytes(shape), ends };
    let rows = shape.outer();
    let size = match work.virtual_batch {
        None => rows.max(1),
        Some(0) => return Err(PlanError::request("virtual batches of at least 1 example", 0)),
        Some(examples) => u64::from(examples) * shape.example_rows(),
    };
    let batches = rows.div_ceil(size).max(1);
    if batches > MAX_BATCHES {
        return Err(PlanError::request("at most 65,536 virtual batches", batches));
    }
    let (required, given) = (rows.saturating_mul(cutter.row_bytes) / MAX_PIECES, profile.max_binding);
    if required > given {
        let limit = "max_storage_buffer_binding_size";
        return Err(PlanError::DeviceLimit { limit, required, given });
    }
    (0..batches).map(|b| cutter.cut(b as u32, b * size, rows.min((b + 1) * size))).collect()
}

/// The most virtual batches, each of which has dispatches of its own.
const MAX_BATCHES: u64 = 1 << 16;

/// The most pieces of about a binding's size: 8 TiB by the bindings that WebGPU grants. A larger tensor is a mistake, and
/// its plan would take gigabytes.
const MAX_PIECES: u64 = 1 << 16;

struct Cutter<'a> {
    profile: &'a DeviceProfile,
    shape: Shape,
    row_bytes: u64,
    ends: &'a [u64],
}

impl Cutter<'_> {
    fn cut(&self, batch: u32, mut first: u64, end: u64) -> Result<Vec<Piece>, PlanError> {
        let mut pieces = Vec::new();
        while first < end {
            let range_end = self.ends.iter().copied().find(|&end| end > first).unwrap_or(end);
            let rows = self.most_rows(first)?.min(range_end.min(end) - first);
            pieces.push(Piece { first, rows, batch });
            first += rows;
        }
        Ok(pieces)
    }

    /// The most rows from here on that a dispatch can bind: to an aligned end, where that is possible.
    fn most_rows(&self, first: u64) -> Result<u64, PlanError> {
        let granule = self.profile.bindings().granule();
        let (begin, row) = (first as u128 * u128::from(self.row_bytes), self.row_bytes.max(1));
        let before = (begin % u128::from(granule)) as u64;
        // What is bound is rounded up to words.
        let bindable = (self.profile.max_binding & !3).saturating_sub(before) / row;
        let rows = bindable.min(MAX_ELEMENTS / self.shape.row().max(1));
        if rows == 0 {
            let (required, limit) = (before + row, self.profile.max_binding);
            return Err(PlanError::ExampleTooLarge { required, limit });
        }
        let aligned = self.profile.bindings().aligned_rows(row);
        let past = (first + rows) % aligned;
        Ok(if past < rows { rows - past } else { rows })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Op;
    use super::*;

    const TRAINING: Op = Op::Training { update_running: true };

    fn cut(max_binding: u64, shape: Shape, work: Work, ends: &[u64]) -> Vec<Vec<(u64, u64)>> {
        let profile = DeviceProfile { max_binding, ..DeviceProfile::discrete() };
        let batches = pieces(&profile, &work, shape, ends).unwrap();
        batches.iter().map(|pieces| pieces.iter().map(|piece| (piece.first, piece.rows)).collect()).collect()
    }

    #[test]
    fn tensors_that_fit_are_whole() {
        assert_eq!(cut(1 << 20, Shape::rows(1000, 10), TRAINING.into(), &[]), [[(0, 1000)]]);
    }

    #[test]
    fn pieces_fit_a_binding_and_end_aligned() {
        // 40 bytes a row: 32 rows are the first that end at a multiple of 256 bytes.
        assert_eq!(cut(4096, Shape::rows(250, 10), TRAINING.into(), &[]), [[(0, 96), (96, 96), (192, 58)]]);
        // Channels first: 3 · 100 values are an example.
        assert_eq!(
            cut(3000, Shape::channels_first(5, 3, &[100]), TRAINING.into(), &[]),
            [[(0, 2), (2, 2), (4, 1)]]
        );
        // Of channels last, an example may be cut.
        assert_eq!(
            cut(1024, Shape::channels_last(1, &[100], 4), TRAINING.into(), &[]),
            [[(0, 64), (64, 36)]]
        );
    }

    #[test]
    fn tensors_of_too_many_pieces_are_refused() {
        let profile = DeviceProfile::discrete();
        let of = |batch| {
            let shape = Shape::channels_first(batch, 512, &[512]);
            pieces(&profile, &TRAINING.into(), shape, &[]).map(|batches| batches[0].len())
        };
        // 128 examples of a MiB fill a binding.
        assert_eq!(of(128 << 16), Ok(1 << 16));
        let (limit, given) = ("max_storage_buffer_binding_size", 128 << 20);
        assert_eq!(of(1 << 31), Err(PlanError::DeviceLimit { limit, required: 1 << 35, given }));
    }

    #[test]
    fn pieces_end_where_a_range_ends() {
        assert_eq!(
            cut(1 << 20, Shape::rows(100, 64), TRAINING.into(), &[30, 50]),
            [[(0, 30), (30, 20), (50, 50)]]
        );
    }

    #[test]
    fn virtual_batches_are_whole_where_they_fit() {
        let work = Work::from(TRAINING).virtual_batch(Some(3));
        assert_eq!(
            cut(1 << 20, Shape::channels_last(7, &[2], 5), work, &[]),
            [[(0, 6)], [(6, 6)], [(12, 2)]]
        );
        let none = Work::from(TRAINING).virtual_batch(Some(0));
        assert!(pieces(&DeviceProfile::discrete(), &none, Shape::rows(4, 2), &[]).is_err());
    }

    #[test]
    fn a_piece_that_begins_unaligned_fits_too() {
        // 28 bytes a row, in virtual batches of 20: the second begins 48 bytes into its binding, its rest 240.
        let work = Work::from(TRAINING).virtual_batch(Some(20));
        let cuts = cut(512, Shape::rows(40, 7), work, &[]);
        assert_eq!(cuts, [[(0, 18), (18, 2)], [(20, 16), (36, 4)]]);
    }

    #[test]
    fn more_elements_than_indices_are_cut() {
        let cuts = cut(u64::MAX, Shape::channels_last(1 << 31, &[8], 1), TRAINING.into(), &[]);
        assert_eq!(cuts[0].iter().map(|(_, rows)| rows).sum::<u64>(), 1 << 34);
        assert!(cuts[0].len() == 5 && cuts[0].iter().all(|(_, rows)| *rows <= MAX_ELEMENTS), "{cuts:?}");
    }

    #[test]
    fn an_example_that_fits_no_binding_is_refused() {
        let profile = DeviceProfile { max_binding: 1024, ..DeviceProfile::discrete() };
        let shape = Shape::channels_first(2, 1, &[257]);
        let error = pieces(&profile, &TRAINING.into(), shape, &[]).unwrap_err();
        assert_eq!(error, PlanError::ExampleTooLarge { required: 1028, limit: 1024 });
    }
}
