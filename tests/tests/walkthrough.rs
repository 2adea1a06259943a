//! The walk-through of `tools/GDB.md`: a driver that uses freed memory is found by the real gdb, by a script.

use anyhow::{Context, Result, ensure};
use reprise_tests::debian::{Suite, kernel, parcels};
use reprise_tests::gdb::server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `reprise`, with a device that nobody here asks for.
const PROGRAM: &str = env!("CARGO_BIN_EXE_leaky");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tree is there")
}

/// Records the guest with the driver; what it said on its console.
fn record(recording: &Path) -> Result<String> {
    let mut command = Command::new(PROGRAM);
    command.args(["record", "-force", "-nographic", "-m", "256", "-pace", "fast", "-no-reboot", "-o"]).arg(recording);
    command.arg("-kernel").arg(kernel(Suite::Stable)).arg("-initrd").arg(parcels());
    let output = command.args(["-append", "console=ttyS0 panic=-1"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "the run was not recorded: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What gdb says when it follows the script.
fn follow(recording: &Path, symbols: &str) -> Result<String> {
    let server = Server::replay(Path::new(PROGRAM), recording, &[])?;
    let mut gdb = Command::new("gdb");
    gdb.current_dir(root().join(".cache/debugging")).args(["-nx", "-batch"]);
    gdb.arg("-ex").arg(format!("target remote {}", server.address())).arg("-ex").arg(symbols);
    gdb.arg("-x").arg(root().join("tests/debian/parcels/find.gdb"));
    let output = gdb.output().context("gdb cannot be started: install it")?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(said.concat())
}

/// What the document has a reader type is what the script does.
#[test]
fn the_document_and_the_script_say_the_same() {
    let read =
        |path: &str| std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (script, document) = (read("tests/debian/parcels/find.gdb"), read("tools/GDB.md"));
    let typed: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("(gdb) ")).collect();
    let mut rest = typed.iter();
    for command in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("set "))
    {
        assert!(rest.any(|typed| *typed == command), "tools/GDB.md has no '{command}' where find.gdb has it");
    }
}

#[test]
fn a_driver_that_uses_freed_memory_is_found() {
    let recording = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parcels.rpr");
    let console = record(&recording).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(console.contains("the seal of parcel 2 is broken, it weighs 271 g"), "{console}");
    let symbols =
        console.lines().find_map(|line| line.split_once("guest: ").filter(|(_, said)| said.starts_with("add")));
    let symbols = symbols.expect("the guest says where the driver is").1.trim_end();
    let said = follow(&recording, symbols).unwrap_or_else(|error| panic!("{error:#}"));
    let mut rest = said.as_str();
    for expected in [
        ", complain (parcel=",
        "number = 2, grams = 271",
        "Hardware watchpoint 2: -location parcel->grams",
        "Old value = 271",
        "New value = 264",
        " in settle (timer=",
        "settling.scale->shown += 7;",
        " = 1\n",
        ", switch_off ()",
        "(struct scale *) 0x",
        " = 1\n",
        "kfree(scale);",
    ] {
        let Some((_, after)) = rest.split_once(expected) else { panic!("gdb does not come to '{expected}':\n{said}") };
        rest = after;
    }
}
