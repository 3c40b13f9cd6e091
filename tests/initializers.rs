//! Every variable of a function is declared with its initial value, in every shader of the repository.
//!
//! WGSL sets a variable without one to zero whenever its declaration is reached, but Tint, the WGSL compiler of
//! Chromium, does not do so in loops: what an earlier turn left is still there. `scripts/dawn/loop_variables.mjs` shows
//! it. Whether a declaration is in a loop is easily overlooked when code moves, hence the rule for all of them.

use std::path::{Path, PathBuf};

/// The declarations of variables in functions that have no initializer.
fn uninitialized(source: &str) -> Vec<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices("var")
        .filter(|(at, word)| {
            let (before, after) = (&code[..*at], &code[at + word.len()..]);
            !before.ends_with(is_name) && !after.starts_with(is_name)
        })
        .map(|(at, _)| code[at..].split(';').next().unwrap_or(""))
        // Variables outside functions name their address space, and most of them cannot have an initializer.
        .filter(|declaration| {
            let space = declaration["var".len()..].trim_start().strip_prefix('<');
            space.is_none_or(|space| space.trim_start().starts_with("function"))
        })
        .filter(|declaration| !declaration.contains('='))
        .map(|declaration| declaration.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// The files of the repository that hold WGSL: shaders, and Rust with shaders in strings.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let skip = ["target", "node_modules"].contains(&&*name) || name.starts_with('.');
            if !skip {
                files(&path, found);
            }
        } else if name.ends_with(".wgsl") || name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_variable_of_every_file_is_initialized() {
    let mut paths = Vec::new();
    files(Path::new(env!("CARGO_MANIFEST_DIR")), &mut paths);
    let mut checked = 0;
    for path in paths {
        let source = std::fs::read_to_string(&path).unwrap();
        let is_shader = path.extension().is_some_and(|extension| extension == "wgsl");
        // Written so that this file is not one of them.
        if is_shader || source.contains(concat!("@", "compute")) {
            let found = uninitialized(&source);
            assert!(found.is_empty(), "{} declares without initializer: {found:?}", path.display());
            checked += usize::from(is_shader);
        }
    }
    assert!(checked >= 40, "only {checked} shader files were found");
}

#[test]
fn every_variable_of_every_composed_shader_is_initialized() {
    for (name, source) in wgpu_batchnorm::shaders() {
        assert!(source.contains("var<uniform>"), "{name} is not a whole shader");
        let found = uninitialized(&source);
        assert!(found.is_empty(), "{name} declares without initializer: {found:?}");
    }
}

#[test]
fn the_check_finds_what_it_is_for() {
    let bad = "
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;
        var<workgroup> shared_values: array<f32, 4>;
        var<private> kept: u32;
        fn f(variable: f32) { // var commented: f32;
            for (var i = 0u; i < 4u; i++) {
                var block: Moments;
                var pair: array<
                    f32, 2>;
                var<function> spaced: u32;
                var fine: f32 = 1.0;
                var also_fine = Moments();
            }
        }";
    assert_eq!(
        uninitialized(bad),
        ["var block: Moments", "var pair: array< f32, 2>", "var<function> spaced: u32"]
    );
}
