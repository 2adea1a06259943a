//! What is refused: exit status 2, a message that names the thing, and nothing begun.

use crate::kernels::{self, HALT};
use crate::{reprise, stderr_of};
use std::process::{Command, Stdio};

#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let stderr = stderr_of(args, 2);
    assert!(stderr.starts_with("reprise: "), "{stderr}");
    assert!(stderr.matches("(os error ").count() < 2, "a cause is said twice: {stderr}");
    parts.iter().for_each(|part| assert!(stderr.contains(part), "no '{part}' in: {stderr}"));
}

#[test]
fn unknown_names_are_named_with_the_choices() {
    refused(&["run", "-kernle", "x"], &["unknown option '-kernle'", "did you mean '-kernel'?", "-append"]);
    refused(&["run", "--vnc", ":0"], &["unknown option '-vnc'", "-serial"]);
    refused(
        &["run", "-device", "isa-debug-exi"],
        &["unknown device 'isa-debug-exi'", "did you mean 'isa-debug-exit'?"],
    );
    refused(&["run", "-device", "pvpanic,port=1"], &["device 'pvpanic' has no property 'port'", "ioport"]);
    refused(&["run", "-device", "pvpanic,ioport=big"], &["'pvpanic.ioport' does not take 'big'", "a number up to"]);
    refused(&["run", "-cpu", "host"], &["unknown CPU model 'host'", "x86-64-v1, x86-64-v2, x86-64-v3"]);
    refused(&["run", "-M", "isapc"], &["unknown machine 'isapc'", "q35"]);
    refused(&["run", "-d", "everything"], &["unknown log item 'everything'", "guest_errors"]);
    refused(&["run", "-serial", "vc"], &["-serial does not take 'vc'", "mon:stdio"]);
    refused(&["walk"], &["unrecognized subcommand 'walk'"]);
    refused(&["run", "disk.img"], &["'disk.img' is no option", "-kernel FILE"]);
    refused(&[], &["no command is given", "Usage: reprise"]);
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    refused(&["run", "-m", "0"], &["-m '0' is out of range", "2M to 1T"]);
    refused(&["run", "-m", "17P"], &["-m '17P' is out of range"]);
    refused(&["run", "-m", "99999999999999999999999G"], &["is out of range"]);
    refused(&["run", "-m", "lots"], &["-m 'lots' is no size", "512M"]);
    refused(&["run", "-smp", "0"], &["1 to 255 vCPUs"]);
    refused(&["run", "-smp", "1000"], &["1 to 255 vCPUs"]);
    refused(&["run", "-m"], &["option '-m' needs a value: SIZE"]);
}

#[test]
fn networks_that_cannot_be_had_are_refused_with_the_reason() {
    let net = |kind: &str, parts: &[&str]| refused(&["run", "-nic", kind], parts);
    net("tap,ifname=a-very-long-name", &["-netdev tap: 'a-very-long-name' names no interface"]);
    net("tap,vhost=on", &["vhost=on is not supported", "past the door at which inputs are recorded"]);
    net("tap,fd=999", &["-netdev tap: cannot open descriptor 999: Bad file descriptor"]);
    net("socket,connect=127.0.0.1:1", &["-netdev stream: cannot open 127.0.0.1:1: Connection refused"]);
    net("stream,addr.type=unix,addr.path=/nowhere/s", &["-netdev stream: cannot open '/nowhere/s': No such file"]);
    net("user,host=10.9.9.9", &["-netdev user: host=10.9.9.9 is not a host's address in 10.0.2.0/24"]);
    net("user,mac=ff:ff:ff:ff:ff:ff", &["'virtio-net-pci'", "mac=ff:ff:ff:ff:ff:ff is no address of one adapter"]);
    let dump = ["run", "-nic", "user,id=n", "-object", "filter-dump,id=d,netdev=n,file=/nowhere/n.pcap"];
    refused(&dump, &["-object filter-dump: cannot open '/nowhere/n.pcap': No such file"]);
}

#[test]
fn kernels_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| kernels::file(folder.path(), name, bytes).to_str().unwrap().to_owned();
    let (empty, text) = (path("empty", b""), path("text", &[b'x'; 10_000]));
    let truncated = path("truncated", &reprise::embedded_guest::KERNEL[..4000]);
    refused(&["run", "-kernel", "/nowhere/vmlinuz"], &["'/nowhere/vmlinuz': No such file or directory (os error 2)\n"]);
    refused(&["run", "-kernel", "/"], &["'/'"]);
    [empty, text, truncated].iter().for_each(|path| refused(&["run", "-kernel", path], &[path]));
}

#[test]
fn initial_ram_disks_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(HALT));
    let initrd = folder.path().join("initrd");
    std::fs::File::create(&initrd).unwrap().set_len(64 << 20).unwrap();
    let (kernel, initrd) = (kernel.to_str().unwrap(), initrd.to_str().unwrap());
    refused(&["run", "-m", "32M", "-kernel", kernel, "-initrd", initrd], &[initrd]);
    refused(&["run", "-kernel", kernel, "-initrd", "/nowhere/initrd"], &["/nowhere/initrd", "No such file"]);
    refused(&["run", "-initrd", initrd], &["-initrd is for a kernel"]);
    refused(&["run", "-append", "quiet"], &["-append is for a kernel"]);
}

#[test]
fn nothing_is_begun_when_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [serial, log] = ["serial", "log"].map(|name| folder.path().join(name));
    let port = format!("file:{}", serial.display());
    refused(&["run", "-serial", &port, "-D", log.to_str().unwrap(), "-kernel", "/nowhere"], &["/nowhere"]);
    assert!(!serial.exists() && !log.exists());
}

#[test]
fn files_that_cannot_be_written_are_refused() {
    refused(&["run", "-serial", "file:/nowhere/log"], &["cannot open '/nowhere/log': No such file"]);
    refused(&["run", "-D", "/nowhere/log"], &["-D: cannot open '/nowhere/log': No such file"]);
}

#[test]
fn a_console_on_a_closed_standard_output_is_refused() {
    let program = assert_cmd::cargo::cargo_bin("reprise");
    let script = format!("exec '{}' run >&-", program.display());
    let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("reprise: standard output is closed, and the console is on it"), "{stderr}");
}

#[test]
fn help_is_on_standard_output() {
    for (args, part) in [
        (&["-help"][..], "Commands:"),
        (&["--version"], "reprise "),
        (&["run", "-help"], "Exit status:"),
        (&["run", "--help"], "Ctrl-A x"),
        (&["run", "-h"], "Examples:"),
        (&["run", "-device", "help"], "name \"isa-debug-exit\", bus ISA, desc"),
        (&["run", "-device", "isa-debug-exit,help"], "isa-debug-exit options:\n  iobase=<0..0xffff>"),
        (&["run", "-device", "loader,help"], "loader options:\n"),
        (&["run", "-cpu", "help"], "x86-64-v2"),
        (&["run", "-M", "help"], "q35"),
        (&["run", "-d", "help"], "guest_errors"),
        (&["run", "-chardev", "help"], "\n  socket "),
        (&["run", "-chardev", "socket,help"], "  reconnect=<seconds>"),
    ] {
        let output = reprise(args).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
        assert!(stdout.contains(part), "{args:?}: no '{part}' in: {stdout}");
    }
}
