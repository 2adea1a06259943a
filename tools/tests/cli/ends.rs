//! How runs end: exit status, reason, and the same end every time.

use crate::kernels::{self, CHATTER, DEBUG_EXIT, HALT, PANIC, RESET, TRIPLE_FAULT};
use crate::{reprise, stderr_of};
use std::process::{Command, Stdio};

/// Runs a kernel of `code` that must end with `status` and say `parts`.
#[track_caller]
fn ends(code: &[u8], options: &[&str], status: i32, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(code));
    let args = [&["run", "-kernel", kernel.to_str().unwrap()], options].concat();
    let stderr = stderr_of(&args, status);
    parts.iter().for_each(|part| assert!(stderr.contains(part), "no '{part}' in: {stderr}"));
}

#[test]
fn a_guest_chooses_an_odd_status() {
    let device = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"];
    ends(DEBUG_EXIT, &device, 7, &["reprise: guest ended the run with status 7 (isa-debug-exit)"]);
}

#[test]
fn a_reset_ends_the_run_if_asked() {
    ends(RESET, &["-no-reboot"], 6, &["reprise: guest reset; -no-reboot given; icount "]);
    ends(RESET, &["-until", "1ms"], 0, &["reprise: reached -until; icount ", "tick 1000000"]);
}

#[test]
fn a_triple_fault_is_told_with_its_place() {
    ends(TRIPLE_FAULT, &["-no-reboot"], 10, &["reprise: triple fault at rip 0x00000000001000", "(cpu 0)", "icount "]);
}

#[test]
fn a_panic_is_told() {
    ends(PANIC, &["-device", "pvpanic"], 8, &["reprise: guest panicked (pvpanic)"]);
}

#[test]
fn a_machine_that_can_never_go_on_is_dead() {
    ends(HALT, &["-serial", "none"], 12, &["reprise: nothing can ever happen again"]);
    ends(HALT, &[], 12, &["no input can come"]);
    ends(HALT, &["-S"], 12, &["the machine is paused, and no key can come"]);
}

#[test]
fn messages_bear_the_name_of_the_run() {
    ends(HALT, &["-name", "shed"], 12, &["reprise: shed: nothing can ever happen again"]);
}

#[test]
fn a_full_disk_is_the_hosts_failure() {
    ends(
        CHATTER,
        &["-serial", "file:/dev/full"],
        4,
        &["reprise: cannot write to '/dev/full': No space left on device"],
    );
}

#[test]
fn a_reader_that_leaves_is_the_hosts_failure() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(CHATTER));
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
    command.args(["run", "-kernel"]).arg(kernel).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.starts_with("reprise: cannot write to standard output: Broken pipe"), "{stderr}");
}

#[test]
fn keys_work_without_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(kernels::ECHO));
    let output = reprise(&["run", "-kernel", kernel.to_str().unwrap()]).write_stdin("hello\x01x").output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b"reprise: ended by Ctrl-A x\n"[..]));
}

#[test]
fn the_embedded_guest_ends_alike_every_time() {
    let run = |options: &[&str]| {
        let output = reprise(&[&["run", "-fingerprint"], options].concat()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
        (stdout, stderr)
    };
    let first = run(&[]);
    assert!(first.1.starts_with("fingerprint ") && first.1.contains("\nicount ") && first.1.contains("\ntick "));
    assert_eq!(run(&["-nographic", "-pace", "fast"]), first);
    assert_eq!(run(&["-perturb-caches", "1"]), first);
}
