//! The host's terminal is raw while a guest's console is on it, and afterwards always as it was.

use crate::PATIENCE;
use crate::kernels::{self, ECHO};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A run on a terminal of its own.
struct Run {
    terminal: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    screen: Receiver<Vec<u8>>,
    child: Box<dyn Child + Send + Sync>,
    before: String,
    _folder: TempDir,
}

fn settings(terminal: &dyn MasterPty) -> String {
    format!("{:?}", terminal.get_termios().expect("a terminal has settings"))
}

impl Run {
    /// Runs a guest that sends back what it gets, until the terminal is raw.
    fn echo(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(ECHO));
        let pair = native_pty_system().openpty(PtySize::default()).unwrap();
        let before = settings(&*pair.master);
        let mut command = CommandBuilder::new(assert_cmd::cargo::cargo_bin("reprise"));
        command.args(["run", "-kernel"]);
        command.arg(kernel);
        command.args(options);
        let child = pair.slave.spawn_command(command).unwrap();
        let (keyboard, mut reader) = (pair.master.take_writer().unwrap(), pair.master.try_clone_reader().unwrap());
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let run = Self { terminal: pair.master, keyboard, screen, child, before, _folder: folder };
        run.wait_until_raw(true);
        run
    }

    fn wait_until_raw(&self, raw: bool) {
        let start = Instant::now();
        while (settings(&*self.terminal) != self.before) != raw {
            assert!(start.elapsed() < PATIENCE, "the terminal is never raw: {raw}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
        self.keyboard.flush().unwrap();
    }

    fn wait_for(&self, text: &str) {
        let (start, mut seen) = (Instant::now(), String::new());
        while !seen.contains(text) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let more = self.screen.recv_timeout(left).unwrap_or_else(|_| panic!("no '{text}' on: {seen}"));
            seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.process_id().unwrap() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; the terminal must be as it was. The exit status, 1 after a signal.
    fn end(mut self) -> u32 {
        let status = self.child.wait().unwrap();
        assert_eq!(settings(&*self.terminal), self.before, "the terminal is not put back");
        status.exit_code()
    }
}

#[test]
fn bytes_go_both_ways_and_ctrl_a_x_leaves() {
    let mut run = Run::echo(&[]);
    run.type_keys(b"ab\x03\rcd");
    run.wait_for("ab\x03\rcd");
    run.type_keys(b"\x01\x01e");
    run.wait_for("\x01e");
    run.type_keys(b"\x01h");
    run.wait_for("Ctrl-A x");
    run.type_keys(b"\x01x");
    run.wait_for("ended by Ctrl-A x");
    assert_eq!(run.end(), 0);
}

#[test]
fn a_paused_machine_waits_for_its_key() {
    let mut run = Run::echo(&["-S"]);
    run.type_keys(b"early\x01p");
    run.wait_for("[running]");
    run.wait_for("early");
    run.type_keys(b"\x01plate");
    run.wait_for("[paused");
    run.type_keys(b"\x01x");
    assert_eq!(run.end(), 0);
}

#[test]
fn signals_that_end_the_run_put_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let run = Run::echo(&[]);
        run.signal(signal);
        assert_ne!(run.end(), 0);
    }
}

#[test]
fn ctrl_c_ends_a_run_whose_console_has_no_keys() {
    let mut run = Run::echo(&["-serial", "stdio"]);
    run.type_keys(b"\x01x");
    run.wait_for("\x01x");
    run.type_keys(b"\x03");
    assert_ne!(run.end(), 0);
}

#[test]
fn a_stop_puts_the_terminal_back_until_the_run_goes_on() {
    let mut run = Run::echo(&[]);
    run.signal(Signal::TSTP);
    run.wait_until_raw(false);
    run.signal(Signal::CONT);
    run.wait_until_raw(true);
    run.type_keys(b"still here");
    run.wait_for("still here");
    run.type_keys(b"\x01x");
    assert_eq!(run.end(), 0);
}

#[test]
fn a_refusal_leaves_the_terminal_alone() {
    let pair = native_pty_system().openpty(PtySize::default()).unwrap();
    let before = settings(&*pair.master);
    let mut command = CommandBuilder::new(assert_cmd::cargo::cargo_bin("reprise"));
    command.args(["run", "-serial", "file:/nowhere/log", "-serial", "mon:stdio"]);
    let mut child = pair.slave.spawn_command(command).unwrap();
    assert_eq!((child.wait().unwrap().exit_code(), settings(&*pair.master)), (2, before));
}
