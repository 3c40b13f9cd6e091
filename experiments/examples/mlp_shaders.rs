//! Writes the full source of every shader of the experiments into a folder, for tools that compile them:
//! `cargo run -p batchnorm-experiments --example mlp_shaders -- target/shaders`.

use std::path::PathBuf;

use batchnorm_experiments::kernels::SOURCES;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/shaders".into()));
    std::fs::create_dir_all(&folder)?;
    for (name, source) in SOURCES {
        std::fs::write(folder.join(name), source)?;
    }
    println!("{} shaders in {}", SOURCES.len(), folder.display());
    Ok(())
}
