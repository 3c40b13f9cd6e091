// The layer's state: C float32 each, at these places of one buffer.

fn weight_index(feature: u32) -> u32 {
    return feature;
}

fn bias_index(feature: u32) -> u32 {
    return params.state_stride + feature;
}

fn running_mean_index(feature: u32) -> u32 {
    return 2u * params.state_stride + feature;
}

fn running_var_index(feature: u32) -> u32 {
    return 3u * params.state_stride + feature;
}
