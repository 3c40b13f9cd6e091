//! Where a walk through a feature begins and ends.

use std::collections::BTreeSet;

use wgpu_batchnorm::{Plan, View};

use crate::layout::Layout;

/// Packets after which a level of slices ends: 16, 16² and 16³ of sums, 32 and 32² of moments; and the first few packets,
/// which are read twice.
const LEVELS: [u64; 6] = [4, 16, 32, 256, 1024, 4096];

/// The values of a feature at which something begins or ends, by the plan's first dispatch: splits, the slices of
/// invocations, segments and blocks, planes, the tensor.
pub fn ends(plan: &Plan) -> Vec<u64> {
    let layout = Layout::of(plan.shape());
    // In rows a packet is one value of each of its features.
    let packet = if plan.view() == View::Planes { u64::from(plan.packet()) } else { 1 };
    let request = plan.request();
    let (tile, splits) = (request.tile.unwrap_or(1), request.splits.unwrap_or(1));
    let sharers = u64::from(plan.workgroup() / tile);
    let total = layout.count() as u64 / packet;
    let slice = total.div_ceil(splits.into()).next_multiple_of(sharers);
    let last_split = total.div_ceil(slice) - 1;

    let mut packets = BTreeSet::from([0, total - 1]);
    for split in [0, 1, last_split.saturating_sub(1), last_split] {
        let (begin, end) = (split * slice, ((split + 1) * slice).min(total));
        if begin >= end {
            continue;
        }
        packets.extend([begin, end - 1]);
        for invocation in [0, 1, sharers - 1].into_iter().filter(|&i| begin + i < end) {
            let first = begin + invocation;
            let turns = (end - 1 - first) / sharers;
            packets.extend([first, first + turns * sharers]);
            for level in LEVELS.into_iter().filter(|&level| level <= turns) {
                packets.extend([first + (level - 1) * sharers, first + level * sharers]);
            }
        }
    }
    let plane = (layout.inner as u64 / packet).max(1);
    packets.extend([plane - 1, plane, total - plane]);
    let values = packets.into_iter().filter(|&p| p < total).flat_map(|p| [p * packet, (p + 1) * packet - 1]);
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The place in the tensor of a feature's value.
pub fn place(layout: Layout, feature: usize, value: u64) -> usize {
    let (outer, inner) = (value as usize / layout.inner, value as usize % layout.inner);
    (outer * layout.features + feature) * layout.inner + inner
}

/// Tensors with one value of each feature set: in so many runs, each of the ends in turn.
pub fn one_hot(plan: &Plan, hot: f32, most: usize) -> Vec<Vec<f32>> {
    let (layout, ends) = (Layout::of(plan.shape()), ends(plan));
    let runs = ends.len().div_ceil(layout.features).min(most);
    let run = |run: usize| {
        let mut tensor = vec![0.0; plan.shape().elements() as usize];
        for feature in 0..layout.features {
            let end = ends[(run * layout.features + feature) % ends.len()];
            tensor[place(layout, feature, end)] = hot;
        }
        tensor
    };
    (0..runs).map(run).collect()
}
