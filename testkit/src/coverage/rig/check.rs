//! What forward and backward leave in each binding, held against what must be there.

use super::super::steps::{
    BATCHES, BIAS, DBIAS, DWEIGHT, DX, DY, DZ, EPS, MEAN, SAVED, VAR, WEIGHT, X, Y, Z,
};
use super::{BEHIND, Placement, Rig, UNWRITTEN, Wanted, bias, bits, weight};
use crate::layout::feature_sums;
use crate::scales::{self, FORWARD};
use crate::stored;

impl Rig {
    #[track_caller]
    fn same(&self, name: &str, got: &[u32], want: impl Iterator<Item = u32>) {
        for (i, (&got, want)) in got.iter().zip(want).enumerate() {
            let floats = [got, want].map(f32::from_bits);
            // Zeros of both signs are the same.
            assert!(got == want || floats == [0.0; 2], "{}: {name}[{i}] is {floats:?}", self.what);
        }
    }

    /// Holds a tensor against these words, and where two values share one, against its halves.
    #[track_caller]
    fn same_tensor(&self, name: &str, got: &[u32], want: &[u32]) {
        let len = self.shape.elements() as usize;
        let of = |words: &[u32]| stored::bits(self.storage, words, len);
        for (i, (got, want)) in of(got).into_iter().zip(of(want)).enumerate() {
            let values = [got, want].map(|bits| stored::decode(self.storage, bits));
            assert!(got == want || values == [0.0; 2], "{}: {name}[{i}] is {values:?}", self.what);
        }
        let behind = [got, want].map(|words| words[words.len() - 1] >> 16);
        let odd = self.storage.bytes() == 2 && len % 2 == 1;
        assert!(!odd || behind == [u32::from(BEHIND); 2], "{}: {behind:x?} is behind {name}", self.what);
    }

    #[track_caller]
    pub(super) fn check_tensors(&self, got: &[Vec<u32>], x: &[f32], dy: &[f32], [y, g]: [&[f32]; 2]) {
        let dx = g.iter().enumerate().map(|(i, g)| g * weight(self.layout.feature(i)));
        let [dx, y, dz] = [self.words(dx), self.words(y.iter().copied()), self.words(g.iter().copied())];
        let (x, dy) = (self.words(x.iter().copied()), self.words(dy.iter().copied()));
        let unwritten = self.unwritten();
        let has_dx = self.wanted != Wanted::Parameters;
        self.same_tensor("z", &got[Z], &self.words(self.z.iter().copied()));
        let has_dz = has_dx && self.epilogue.residual;
        self.same_tensor("dz", &got[DZ], if has_dz { &dz } else { &unwritten });
        if self.placement == Placement::InPlace {
            self.same_tensor("y", &got[X], &y);
            self.same_tensor("the copy of x", &got[Y], &x);
            self.same_tensor("what is not bound", &got[DX], &unwritten);
            match has_dx {
                true => self.same_tensor("dx", &got[DY], &dx),
                false => self.same_tensor("dy", &got[DY], &dy),
            }
        } else {
            self.same_tensor("x", &got[X], &x);
            self.same_tensor("y", &got[Y], &y);
            self.same_tensor("dy", &got[DY], &dy);
            match has_dx {
                true => self.same_tensor("dx", &got[DX], &dx),
                false => self.same_tensor("what is not bound", &got[DX], &unwritten),
            }
        }
    }

    #[track_caller]
    pub(super) fn check_gradients(&self, got: &[Vec<u32>], x: &[f32], dy: &[f32]) {
        let sums = |term: &dyn Fn(usize) -> f32| {
            let sums = feature_sums(self.layout, x.len(), |i| self.if_valid(i, term(i)).into());
            assert!(sums.iter().all(|sum| sum.abs() <= f64::from(1 << 24)), "float32 has no such sum");
            bits(sums.into_iter().map(|sum| sum as f32))
        };
        let (dweight, dbias) = match self.wanted {
            Wanted::Tensors => (vec![UNWRITTEN; self.layout.features], vec![UNWRITTEN; self.layout.features]),
            _ => (sums(&|i| dy[i] * x[i]), sums(&|i| dy[i])),
        };
        self.same("dbias", &got[DBIAS], dbias.into_iter());
        self.same("dweight", &got[DWEIGHT], dweight.into_iter());
    }

    #[track_caller]
    pub(super) fn check_layer(&self, got: &[Vec<u32>], x: &[f32]) {
        let all = self.layout.count();
        let valid = self.mask.as_ref().map_or(all, |mask| mask.valid.iter().filter(|valid| **valid).count());
        let (c, count) = (self.layout.features, valid as f64);
        self.same("weight", &got[WEIGHT], (0..c).map(|c| weight(c).to_bits()));
        self.same("bias", &got[BIAS], (0..c).map(|c| bias(c).to_bits()));
        let moves = self.wanted == Wanted::All;
        self.same("num_batches_tracked", &got[BATCHES], std::iter::repeat_n(6 + u32::from(moves), c));
        let share = if moves { (1.0 / count) as f32 } else { 0.0 };
        let saved = |c: usize| [0.0, 0.0, 1.0, weight(c), share, bias(c)];
        for (vector, got) in got[SAVED].chunks(self.stride).enumerate() {
            let unwritten = got[c..].iter().all(|&word| word == UNWRITTEN);
            assert!(unwritten, "{}: what is between saved vectors is written", self.what);
            for (c, &got) in got[..c].iter().enumerate() {
                let (got, want) = (f32::from_bits(got), saved(c)[vector]);
                assert!(
                    (got - want).abs() <= want.abs() * 2e-7,
                    "{}: saved {vector} of {c}: {got}",
                    self.what
                );
            }
        }
        if !moves {
            self.same("running mean", &got[MEAN], std::iter::repeat_n(0, c));
            return self.same("running variance", &got[VAR], std::iter::repeat_n((1.0 - EPS).to_bits(), c));
        }
        let mean = feature_sums(self.layout, x.len(), |i| self.if_valid(i, x[i]).into());
        let mean: Vec<f64> = mean.into_iter().map(|sum| sum / count).collect();
        let deviation = |i: usize| f64::from(x[i]) - mean[self.layout.feature(i)];
        let square = |i: usize| if self.is_valid(i) { deviation(i).powi(2) } else { 0.0 };
        let var = feature_sums(self.layout, x.len(), |i| square(i) / (count - 1.0));
        for c in 0..c {
            let near = |name: &str, got: u32, want: f64, error: f64| {
                let got = f64::from(f32::from_bits(got));
                let near = (got - want).abs() <= error;
                assert!(near, "{}: {name} of {c}: {got} for {want}", self.what);
            };
            near("running mean", got[MEAN][c], mean[c], FORWARD * scales::mean(mean[c], var[c]));
            // One value alone at the begin of a slice spoils the shift of its first segment.
            near("running variance", got[VAR][c], var[c], 1e-5 * var[c]);
        }
    }
}
