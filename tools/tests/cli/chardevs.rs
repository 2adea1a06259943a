//! Consoles that are not on the terminal: sockets, telnet, pseudo-terminals, files.

use crate::kernels::{self, CHATTER, ECHO, HALT};
use crate::{PATIENCE, stderr_of};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A run that goes on until it is ended.
struct Run {
    child: Child,
    stderr: BufReader<ChildStderr>,
    folder: TempDir,
}

impl Run {
    /// Runs a kernel of `code`; `@` in an option is a folder of the run's own.
    fn start(code: &[u8], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(code));
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
        command.args(["run", "-kernel"]).arg(kernel);
        command.args(options.iter().map(|option| option.replace('@', folder.path().to_str().unwrap())));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, folder }
    }

    /// The next line on standard error, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Connects to the port that the next line on standard error names after `before`.
    #[track_caller]
    fn call(&mut self, before: &str) -> (TcpStream, u16) {
        let line = self.line();
        let rest = line.strip_prefix(before).unwrap_or_else(|| panic!("no '{before}' in: {line}"));
        let port = rest.split_once(' ').map_or(rest, |(port, _)| port).parse().unwrap();
        (connect(port), port)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends the run by SIGTERM; what was left on standard error.
    fn end(mut self) -> String {
        self.signal(Signal::TERM);
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(Signal::TERM.as_raw()), "{rest}");
        rest
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `text` and waits for it to come back.
fn echo(stream: &mut (impl Read + Write), text: &[u8]) {
    stream.write_all(text).unwrap();
    expect(stream, text);
}

fn expect(stream: &mut impl Read, text: &[u8]) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, text);
}

/// Waits until `ready` has something.
fn wait_for<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_machine_starts_when_its_console_has_a_client() {
    let mut run =
        Run::start(ECHO, &["-chardev", "socket,id=c,host=127.0.0.1,port=0,server=on", "-serial", "chardev:c"]);
    let (mut client, port) = run.call("reprise: waiting for connection on: tcp:127.0.0.1:");
    echo(&mut client, b"first");
    drop(client);
    echo(&mut connect(port), b"second");
    assert_eq!(run.end(), "reprise: ended by signal 15\n");
}

#[test]
fn nobody_waits_for_ever_who_does_not_want_to() {
    let mut run = Run::start(ECHO, &["-serial", "tcp:127.0.0.1:0,server=on"]);
    assert!(run.line().ends_with(" (label serial0)"));
    run.signal(Signal::TERM);
    assert_eq!(run.wait().signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn a_client_that_never_reads_does_not_keep_the_run_from_ending() {
    let mut run = Run::start(CHATTER, &["-serial", "tcp:127.0.0.1:0,server=on"]);
    let (_client, _) = run.call("reprise: waiting for connection on: tcp:127.0.0.1:");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(run.end(), "reprise: ended by signal 15\n");
}

#[test]
fn telnet_is_greeted() {
    let mut run = Run::start(ECHO, &["-serial", "telnet:127.0.0.1:0,server=on,wait=off"]);
    let (mut client, _) = run.call("reprise: listening on: tcp:127.0.0.1:");
    expect(&mut client, b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00");
    client.write_all(b"\xff\xfd\x01\xff\xfd\x03\xff\xfb\x00").unwrap();
    echo(&mut client, b"login:");
    run.end();
}

#[test]
fn a_socket_on_this_host_is_removed_at_the_end() {
    let run = Run::start(ECHO, &["-serial", "unix:@/console,server=on,wait=off"]);
    let path = run.folder.path().join("console");
    let mut client = wait_for(|| UnixStream::connect(&path).ok());
    echo(&mut client, b"hello");
    let folder = run.folder.path().to_owned();
    assert!(folder.join("console").exists());
    run.signal(Signal::TERM);
    wait_for(|| (!path.exists()).then_some(()));
    run.end();
}

#[test]
fn a_run_calls_its_peer_and_calls_again() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let console = format!("tcp:127.0.0.1:{port},reconnect-ms=10");
    let run = Run::start(ECHO, &["-serial", &console]);
    for text in [b"one", b"two"] {
        echo(&mut listener.accept().unwrap().0, text);
    }
    run.end();
}

#[test]
fn a_pseudo_terminal_is_announced() {
    let mut run = Run::start(ECHO, &["-chardev", "pty,id=p,path=@/tty,logfile=@/log", "-serial", "chardev:p"]);
    let line = run.line();
    let name =
        line.strip_prefix("reprise: char device redirected to ").and_then(|rest| rest.strip_suffix(" (label p)"));
    let name = name.unwrap_or_else(|| panic!("{line}"));
    assert_eq!(std::fs::read_link(run.folder.path().join("tty")).unwrap().to_str(), Some(name));
    for text in [b"one\r", b"two\x03"] {
        echo(&mut OpenOptions::new().read(true).write(true).open(name).unwrap(), text);
    }
    let log = run.folder.path().join("log");
    wait_for(|| (std::fs::read(&log).unwrap() == b"one\rtwo\x03").then_some(()));
    run.end();
}

#[test]
fn a_file_is_typed_into_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let input = kernels::file(folder.path(), "input", b"typed");
    let port = format!("file,id=f,path=@/output,input-path={}", input.display());
    let run = Run::start(ECHO, &["-chardev", &port, "-serial", "chardev:f", "-pace", "fast"]);
    let output = run.folder.path().join("output");
    wait_for(|| (std::fs::read(&output).ok()? == b"typed").then_some(()));
    run.end();
}

#[test]
fn an_address_that_cannot_be_had_is_refused() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let stderr = stderr_of(&["run", "-serial", &format!("tcp:127.0.0.1:{port},server=on,wait=off")], 2);
    assert_eq!(
        stderr,
        format!("reprise: cannot listen on tcp:127.0.0.1:{port}: Address already in use (os error 98)\n")
    );
    drop(listener);
    let stderr = stderr_of(&["run", "-serial", &format!("tcp:127.0.0.1:{port}")], 2);
    assert!(
        stderr.starts_with(&format!("reprise: cannot connect to tcp:127.0.0.1:{port}: Connection refused")),
        "{stderr}"
    );
    let stderr = stderr_of(&["run", "-serial", "unix:/nowhere/socket,server=on"], 2);
    assert!(stderr.starts_with("reprise: cannot listen on unix:/nowhere/socket: No such file"), "{stderr}");
}

#[test]
fn a_machine_whose_peer_has_left_for_good_is_dead() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut run = Run::start(HALT, &["-serial", &format!("tcp:127.0.0.1:{port}")]);
    drop(listener.accept().unwrap());
    assert!(run.line().starts_with("reprise: nothing can ever happen again"));
    assert_eq!(run.wait().code(), Some(12));
}

#[test]
fn a_port_needs_its_controller_first() {
    let port = ["-chardev", "null,id=n", "-device", "virtserialport,chardev=n"];
    let controller = ["-device", "virtio-serial-pci"];
    let stderr = stderr_of(&[&["run"][..], &port, &controller].concat(), 2);
    assert!(stderr.contains("device 'virtserialport': there is no virtio-serial-bus bus"), "{stderr}");
    stderr_of(&[&["run", "-until", "1us"][..], &controller, &port].concat(), 0);
    let named = ["-device", "virtio-serial-pci,id=vs", "-device", "virtconsole,chardev=n,bus=vs.0"];
    stderr_of(&[&["run", "-until", "1us", "-chardev", "null,id=n"][..], &named].concat(), 0);
}
