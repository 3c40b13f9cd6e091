//! The batch normalizations of a ResNet-50 on 224×224 images (He et al. 2015, table 1).

/// Features, and the side of the square planes, in order.
pub fn layers() -> impl Iterator<Item = (u32, u32)> {
    let stages = [(3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)];
    let blocks = stages.into_iter().enumerate().flat_map(|(stage, (blocks, width, side))| {
        (0..blocks).flat_map(move |block| {
            // The first block of a later stage halves the planes in its second convolution.
            let before = if block == 0 && stage > 0 { 2 * side } else { side };
            let shortcut = (block == 0).then_some((4 * width, side));
            [(width, before), (width, side), (4 * width, side)].into_iter().chain(shortcut)
        })
    });
    std::iter::once((64, 112)).chain(blocks)
}
