//! In which order tests are run on a mutant. The order decides how soon a mutant is killed, and not whether.

use super::list::Mutant;
use super::run::Stages;

/// What tells most mutants of a part of shaders/ soonest. The first that the file's path begins with.
const OF_FILES: &[(&str, &[&str])] = &[
    ("fold/", &["folding::on_the_device"]),
    ("mask/", &["mask_steps::", "masks::few_values", "mask_coverage::ones"]),
    ("lib/float16", &["storage::"]),
    ("lib/bfloat16", &["storage::"]),
    ("lib/halves", &["storage::"]),
    ("forward/guard", &["mask_parts::guards_of_finalized_parts", "guard::"]),
    ("forward/gather_moments", &["parts::"]),
    ("backward/gather_sums", &["parts::"]),
    ("backward/frozen_gradient", &["frozen::"]),
    ("epilogue/", &["activations::", "reference::"]),
    ("backward/", &["drill::gradients", "reference::", "frozen::"]),
    ("", &["drill::", "reference::", "evaluation::"]),
];

/// What tells most of those that are left: twins on every path, exact sums, each option.
const QUICK: &[&str] = &[
    "reference::",
    "drill::",
    "evaluation::",
    "frozen::",
    "semantics::",
    "nonfinite::",
    "numerics::",
    "extremes::",
    "activations::",
    "epilogues::",
    "storage::",
    "parts::",
    "mask_steps::",
    "masks::few_values",
    "mask_coverage::",
    "mask_parts::",
    "coverage::planes",
    "coverage::rows",
    "coverage::surplus",
    "parity::each_path",
    "parity::plans_of_a_gpu",
    "splits::",
];

/// The stages for a mutant.
pub fn stages(mutant: &Mutant) -> Stages {
    let path = mutant.file.to_string_lossy();
    let own = OF_FILES.iter().find(|(begin, _)| path.starts_with(begin)).expect("the last is of all files");
    let quick = QUICK.iter().copied().filter(|test| !own.1.contains(test));
    vec![own.1.to_vec(), quick.collect(), vec![]]
}
