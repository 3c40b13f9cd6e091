//! In which order tests are run on a mutant. The order decides how soon a mutant is killed, and not whether.

use super::list::Mutant;
use super::run::Stages;

/// What tells most mutants of a part of shaders/ soonest. The first that the file's path begins with.
const OF_FILES: &[(&str, &[&str])] = &[
    ("fold/", &["folding::on_the_device", "folding::no_index"]),
    ("mask/", &["mask_steps::", "masks::few_values", "mask_coverage::ones"]),
    ("lib/float16", &["storage::"]),
    ("lib/bfloat16", &["storage::"]),
    ("lib/halves", &["storage::"]),
    ("forward/guard", &["mask_parts::guards_of_finalized_parts", "nonfinite::one_part"]),
    ("forward/gather_moments", &["parts::"]),
    ("backward/gather_sums", &["parts::"]),
    ("backward/frozen_gradient", &["frozen::"]),
    ("epilogue/positive", &["activations::", "nonfinite::no_nan"]),
    ("epilogue/", &["activations::", "reference::"]),
    ("backward/", &["drill::gradients", "reference::", "frozen::"]),
    ("", &["drill::", "reference::", "evaluation::"]),
];

/// What tells most mutants of a line with this in it.
const OF_LINES: &[(&str, &[&str])] = &[
    ("QUADS", &["indices::arrays"]),
    ("STATS", &["indices::arrays"]),
    ("AHEAD", &["indices::arrays", "parity::plans_of_a_gpu"]),
    ("grouped", &["parity::plans_of_a_gpu"]),
    ("params.groups", &["coverage::surplus"]),
    ("clamped(", &["indices::surplus", "indices::a_last_tile"]),
    ("accumulate", &["backward::gradients_can_be_left_out"]),
    ("_gradient[i]", &["backward::gradients_can_be_left_out"]),
    ("skips", &["guard::skipped"]),
    ("exponent", &["guard::skipped"]),
    ("1e38", &["extremes::"]),
    ("FAN", &["coverage::merges", "splits::", "accuracy::no_sum_is_long"]),
    ("SEGMENT", &["accuracy::", "hard::sorted"]),
    ("RUN", &["accuracy::", "hard::sorted"]),
    ("Barrier", &["indices::"]),
    ("FROZEN", &["backward::running_statistics"]),
    ("valid", &["indices::with_a_mask", "masks::few_values", "masks::a_large_mean"]),
    ("MASKED", &["masks::few_values", "masks::a_large_mean"]),
    ("Saved(", &["coverage::rows_of_single"]),
    ("running", &["semantics::", "counting::"]),
    ("count", &["counting::", "parts::", "masks::few_values"]),
];

/// What has ends: indices that are counted, surplus workgroups, few values, masks, values that are not finite.
const EDGES: &[&str] = &[
    "indices::",
    "coverage::surplus",
    "evaluation::",
    "frozen::",
    "semantics::",
    "nonfinite::",
    "extremes::",
    "mask_steps::",
    "mask_coverage::",
    "masks::few_values",
];

/// Twins on every path, exact sums, and each option.
const TWINS: &[&str] = &[
    "reference::",
    "drill::",
    "backward::",
    "parity::each_path",
    "parity::plans_of_a_gpu",
    "coverage::",
    "numerics::",
    "activations::",
    "epilogues::",
    "storage::",
    "parts::",
    "splits::",
];

/// The stages for a mutant.
pub fn stages(mutant: &Mutant) -> Stages {
    let path = mutant.file.to_string_lossy();
    let own = OF_FILES.iter().find(|(begin, _)| path.starts_with(begin)).expect("the last is of all files");
    let line = OF_LINES.iter().filter(|(part, _)| mutant.before.contains(part)).flat_map(|(_, tests)| *tests);
    vec![own.1.to_vec(), line.copied().collect(), EDGES.to_vec(), TWINS.to_vec(), vec![""]]
}
