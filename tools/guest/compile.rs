//! Compiles and links a kernel of our own with the host's C compiler.
//!
//! Build scripts include this file: `tools/build.rs` for the embedded guest, `tests/build.rs` for
//! the test kernels. The result depends on the sources and the compiler only: no build identifier, no
//! path of this machine, and debug information only where it is asked for.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long and how wide the code's registers are.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each build script uses what its kernels need")]
pub(crate) enum Mode {
    /// 64-bit code, put into an ELF32 container because multiboot loaders ask for one.
    Long,
    /// 32-bit code.
    Protected,
}

/// One kernel to be built.
pub(crate) struct Kernel<'a> {
    /// Name of the image, without `.elf`.
    pub(crate) name: &'a str,
    pub(crate) mode: Mode,
    /// C and assembly files. Those whose names end in `_float.c` may use SSE.
    pub(crate) sources: &'a [PathBuf],
    /// Folders searched for headers.
    pub(crate) include: &'a [PathBuf],
    pub(crate) linker_script: &'a Path,
    /// Whether it gets debug information, on which the code does not depend.
    pub(crate) debug: bool,
}

const FLAGS: &[&str] = &[
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-ffreestanding",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-strict-aliasing",
    "-fno-asynchronous-unwind-tables",
    "-fno-ident",
    "-ffp-contract=off",
    "-fcf-protection=none",
];

/// The C and assembly files of `folder`, sorted by name.
pub(crate) fn sources_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut sources: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "c" || e == "S"))
        .collect();
    sources.sort();
    Ok(sources)
}

/// Builds `kernel` in the build script's output folder and returns the image's path.
pub(crate) fn build(kernel: &Kernel<'_>) -> Result<PathBuf, String> {
    let folder = output_folder()?.join(kernel.name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut objects = Vec::new();
    for source in kernel.sources {
        objects.push(compile(kernel, source, &folder)?);
    }
    let image = output_folder()?.join(format!("{}.elf", kernel.name));
    match kernel.mode {
        Mode::Protected => link(kernel, &objects, &image)?,
        Mode::Long => {
            let elf64 = folder.join("kernel.elf64");
            link(kernel, &objects, &elf64)?;
            wrap(&elf64, &image)?;
        }
    }
    Ok(image)
}

fn output_folder() -> Result<PathBuf, String> {
    env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| "OUT_DIR is not set".to_owned())
}

/// The compiler is `CC`, which may carry arguments, or `cc`.
fn compiler() -> (String, Vec<String>) {
    println!("cargo:rerun-if-env-changed=CC");
    let line = env::var("CC").unwrap_or_default();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap_or_else(|| "cc".to_owned()), words.collect())
}

fn mode_flags(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Long => &["-m64", "-mno-red-zone", "-mcmodel=small"],
        Mode::Protected => &["-m32", "-march=i686"],
    }
}

fn compile(kernel: &Kernel<'_>, source: &Path, folder: &Path) -> Result<PathBuf, String> {
    println!("cargo:rerun-if-changed={}", source.display());
    let name = source.file_name().unwrap_or_default();
    let object = folder.join(name).with_extension("o");
    let mut arguments: Vec<OsString> = mode_flags(kernel.mode).iter().map(Into::into).collect();
    arguments.extend(FLAGS.iter().map(Into::into));
    arguments.push(if kernel.debug { "-g" } else { "-g0" }.into());
    if !name.to_string_lossy().ends_with("_float.c") {
        arguments.push("-mgeneral-regs-only".into());
    }
    for include in kernel.include {
        println!("cargo:rerun-if-changed={}", include.display());
        arguments.extend(["-I".into(), include.into()]);
    }
    if let Some(parent) = source.parent() {
        let mut map = OsString::from("-ffile-prefix-map=");
        map.push(parent);
        map.push("=.");
        arguments.push(map);
    }
    arguments.extend(["-c".into(), "-o".into(), object.clone().into(), source.into()]);
    run_compiler(&arguments)?;
    Ok(object)
}

fn link(kernel: &Kernel<'_>, objects: &[PathBuf], image: &Path) -> Result<(), String> {
    println!("cargo:rerun-if-changed={}", kernel.linker_script.display());
    let mut arguments: Vec<OsString> = mode_flags(kernel.mode).iter().map(Into::into).collect();
    arguments.extend(
        ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096"].map(Into::into),
    );
    arguments.extend(["-Wl,-z,noexecstack", "-Wl,--no-warn-rwx-segments"].map(Into::into));
    arguments.extend(["-T".into(), kernel.linker_script.into()]);
    arguments.extend(["-o".into(), image.into()]);
    arguments.extend(objects.iter().map(Into::into));
    run_compiler(&arguments)
}

/// Multiboot loaders refuse ELF64, so the same bytes get an ELF32 header.
fn wrap(elf64: &Path, image: &Path) -> Result<(), String> {
    let objcopy = objcopy()?;
    let arguments: [&OsStr; 4] = ["-O".as_ref(), "elf32-i386".as_ref(), elf64.as_ref(), image.as_ref()];
    let mut command = Command::new(&objcopy);
    let output = command
        .args(arguments)
        .output()
        .map_err(|error| format!("{objcopy} (from binutils) did not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{objcopy} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// The objcopy that goes with the compiler.
fn objcopy() -> Result<String, String> {
    let (program, words) = compiler();
    let output = Command::new(&program)
        .args(words)
        .arg("-print-prog-name=objcopy")
        .output()
        .map_err(|error| missing(&program, &error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn missing(program: &str, error: &std::io::Error) -> String {
    format!("a C compiler is needed to build the embedded guest; install gcc or set CC ({program}: {error})")
}

fn run_compiler(arguments: &[OsString]) -> Result<(), String> {
    let (program, words) = compiler();
    let output =
        Command::new(&program).args(words).args(arguments).output().map_err(|error| missing(&program, &error))?;
    if output.status.success() {
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            println!("cargo:warning={line}");
        }
        return Ok(());
    }
    Err(format!("{program} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}
