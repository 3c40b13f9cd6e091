use super::{Moments, Sums, merge};

/// The moments of each feature over all parts, which are merged in order. Twin of shaders/forward/gather_moments.wgsl.
pub fn gather_moments(parts: &[Vec<Moments>]) -> Vec<Moments> {
    gather(parts, merge)
}

/// The gradient sums of each feature over all parts. Twin of shaders/backward/gather_sums.wgsl.
pub fn gather_sums(parts: &[Vec<Sums>]) -> Vec<Sums> {
    gather(parts, |a, b| a + b)
}

fn gather<T: Copy + Default>(parts: &[Vec<T>], merge: impl Fn(T, T) -> T) -> Vec<T> {
    let features = parts.first().map_or(0, Vec::len);
    (0..features).map(|c| parts.iter().map(|part| part[c]).fold(T::default(), &merge)).collect()
}
