//! Builds the test kernels of `guests/`, which share their sources with the embedded guest.

#[path = "../tools/guest/compile.rs"]
mod compile;

use std::path::{Path, PathBuf};

use compile::{Kernel, Mode};

/// What the kernels take from the embedded guest.
const PROTECTED: &[&str] = &["bytes.c", "check.c", "print.c", "serial.c"];
const RESETS: &[&str] = &["bytes.c", "print.c", "serial.c"];
const LEAK: &[&str] = &["boot.S", "bytes.c", "print.c", "serial.c"];
const LONG: &[&str] = &[
    "acpi.c",
    "apic.c",
    "boot.S",
    "bytes.c",
    "check.c",
    "descriptors.c",
    "interrupt_entry.S",
    "interrupts.c",
    "memory.c",
    "paging.c",
    "pic.c",
    "pit.c",
    "print.c",
    "serial.c",
    "user.c",
    "user_entry.S",
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name)
}

fn build(name: &str, mode: Mode, shared: &[&str]) -> Result<(), String> {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/guest");
    let mut sources = compile::sources_in(&folder(name))?;
    sources.extend(compile::sources_in(&folder("exit"))?);
    sources.extend(shared.iter().map(|file| guest.join(file)));
    compile::build(&Kernel {
        name,
        mode,
        sources: &sources,
        include: &[folder(name), guest.clone()],
        linker_script: &guest.join("guest.ld"),
        debug: false,
    })?;
    Ok(())
}

/// The embedded guest again, with what a debugger wants to know; the code is the same.
fn build_with_symbols() -> Result<(), String> {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/guest");
    compile::build(&Kernel {
        name: "debuggee",
        mode: Mode::Long,
        sources: &compile::sources_in(&guest)?,
        include: std::slice::from_ref(&guest),
        linker_script: &guest.join("guest.ld"),
        debug: true,
    })?;
    Ok(())
}

fn build_all() -> Result<(), String> {
    build("protected", Mode::Protected, PROTECTED)?;
    build("long", Mode::Long, LONG)?;
    build("resets", Mode::Protected, RESETS)?;
    build("leak", Mode::Long, LEAK)?;
    build_with_symbols()
}

fn main() {
    println!("cargo:rerun-if-changed=guests");
    if let Err(message) = build_all() {
        eprintln!("{message}");
        std::process::exit(1);
    }
}
