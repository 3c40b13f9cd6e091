//! Writes the full source of every shader that the layer may hand to a device into a folder, to be read, validated or
//! translated by other tools: `cargo run --example shaders -- target/shaders`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/shaders".into()));
    std::fs::create_dir_all(&folder)?;
    let mut shaders = wgpu_batchnorm::shaders();
    shaders.push(("fold_preceding".into(), wgpu_batchnorm::fold::shader()));
    for (name, source) in &shaders {
        std::fs::write(folder.join(name).with_extension("wgsl"), source)?;
    }
    println!("{} shaders in {}", shaders.len(), folder.display());
    Ok(())
}
