//! Builds the embedded guest, `guest.elf`, from the sources in `guest/`.

#[path = "guest/compile.rs"]
mod compile;

use std::path::PathBuf;

fn build() -> Result<(), String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("guest");
    let sources = compile::sources_in(&folder)?;
    compile::build(&compile::Kernel {
        name: "guest",
        mode: compile::Mode::Long,
        sources: &sources,
        include: std::slice::from_ref(&folder),
        linker_script: &folder.join("guest.ld"),
        debug: false,
    })?;
    Ok(())
}

fn main() {
    println!("cargo:rerun-if-changed=guest");
    if let Err(message) = build() {
        eprintln!("{message}");
        std::process::exit(1);
    }
}
