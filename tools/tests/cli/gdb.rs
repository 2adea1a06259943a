//! The gdb server: what its clients see of a running machine and of a recording, and what becomes of both when they leave.

use crate::kernels::{self, ECHO};
use crate::{PATIENCE, stderr_of};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `mov ecx, 10; a: inc dword [0x200000]; nop; dec ecx; jnz a; cli; hlt`, which begins at [`ENTRY`].
const COUNT: &[u8] = &[0xb9, 10, 0, 0, 0, 0xff, 0x05, 0, 0, 0x20, 0, 0x90, 0x49, 0x75, 0xf6, 0xfa, 0xf4];
const ENTRY: u64 = 0x10_0060;
/// Where [`COUNT`] has counted once more.
const NOP: u64 = ENTRY + 11;
/// How often.
const TIMES: usize = 10;
/// The status of a run that is dead at the end.
const DEAD: i32 = 12;

/// A server, and the folder that it works in.
struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    folder: TempDir,
}

impl Server {
    /// `reprise` with these arguments; `@` is the folder.
    fn start(folder: TempDir, args: &[&str]) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
        command.args(args.iter().map(|arg| arg.replace('@', folder.path().to_str().unwrap())));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, stderr, folder };
        let line = server.line();
        assert!(line.starts_with("reprise: gdb server on "), "{line}");
        server
    }

    /// A live machine that runs `code`.
    fn live(code: &[u8], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        kernels::file(folder.path(), "kernel", &kernels::multiboot(code));
        Self::start(
            folder,
            &[&["run", "-kernel", "@/kernel", "-serial", "none", "-gdb", "unix:@/gdb"], options].concat(),
        )
    }

    /// A recording of a machine that ran [`COUNT`].
    fn replay(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(COUNT));
        let file = folder.path().join("run.rpr");
        let [kernel, name] = [&kernel, &file].map(|path| path.to_str().unwrap());
        stderr_of(&["record", "-o", name, "-kernel", kernel, "-serial", "none"], DEAD);
        Self::start(folder, &[&["replay", "@/run.rpr", "-gdb", "unix:@/gdb"], options].concat())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// A new client, which has said hello.
    fn call(&self) -> Client {
        let stream = UnixStream::connect(self.folder.path().join("gdb")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client(stream);
        assert!(client.ask("qSupported:multiprocess+;swbreak+;hwbreak+").contains("swbreak+"));
        client
    }

    /// What a real gdb says to these commands, one a line, after it has called.
    fn gdb(&self, commands: &[&str]) -> String {
        let target = format!("target remote {}/gdb", self.folder.path().display());
        let all = ["set pagination off", "set confirm off", "set architecture i386:x86-64", &target];
        let mut gdb = Command::new("timeout");
        gdb.args(["60", "gdb", "-nx", "-batch"]);
        gdb.args(all.iter().chain(commands).flat_map(|command| ["-ex", command]));
        let output = gdb.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ends, and what is left on standard error.
    fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that knows only how packets look.
struct Client(UnixStream);

impl Client {
    fn send(&mut self, body: &str) {
        let sum = body.bytes().fold(0, |sum: u8, byte| sum.wrapping_add(byte));
        self.0.write_all(format!("${body}#{sum:02x}").as_bytes()).unwrap();
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// The next packet that is no text for a console; of a stop, without the registers that come with it.
    fn answer(&mut self) -> String {
        loop {
            while self.byte() != b'$' {}
            let body: Vec<_> = std::iter::from_fn(|| Some(self.byte()).filter(|&byte| byte != b'#')).collect();
            let _checksum = [self.byte(), self.byte()];
            let body = String::from_utf8(body).unwrap();
            if body == "OK" || !body.starts_with('O') {
                return if body.starts_with('T') { without_registers(&body) } else { body };
            }
        }
    }

    fn ask(&mut self, body: &str) -> String {
        self.send(body);
        self.answer()
    }

    fn ok(&mut self, body: &str) {
        assert_eq!(self.ask(body), "OK", "{body}");
    }

    fn rip(&mut self) -> u64 {
        let answer = self.ask("p10");
        u64::from_str_radix(&answer, 16).unwrap().swap_bytes()
    }

    fn counted(&mut self) -> usize {
        let answer = self.ask("m200000,1");
        usize::from_str_radix(&answer, 16).unwrap()
    }
}

fn without_registers(stop: &str) -> String {
    let is_register = |part: &&str| part.get(2..3) == Some(":") && part.starts_with(['0', '1']);
    stop.split_inclusive(';').filter(|part| !is_register(part)).collect()
}

const GO: &str = "vCont;c:p1.-1";
const STEP: &str = "vCont;s:p1.1;c:p1.-1";
const SWBREAK: &str = "T05thread:p01.01;swbreak:;";
const TRAP: &str = "T05thread:p01.01;";
const BEGIN: &str = "T05thread:p01.01;replaylog:begin;";
const END: &str = "T05thread:p01.01;replaylog:end;";

#[test]
fn a_machine_starts_stopped_and_goes_forward_as_it_is_told() {
    let server = Server::live(COUNT, &["-S"]);
    let mut client = server.call();
    assert_eq!((client.ask("?"), client.rip()), ("T05thread:p01.01;".into(), ENTRY));
    assert_eq!((client.ask(STEP), client.rip()), (TRAP.into(), ENTRY + 5));
    assert_eq!((client.ask(&format!("vCont;r{ENTRY:x},{:x}:p1.1;c", NOP + 1)), client.rip()), (TRAP.into(), NOP + 1));
    client.ok(&format!("Z0,{NOP:x},1"));
    assert_eq!((client.ask(GO), client.rip(), client.counted()), (SWBREAK.into(), NOP, 2));
    client.ok(&format!("z0,{NOP:x},1"));
    client.ok("Z2,200000,4");
    assert_eq!((client.ask(GO), client.rip()), ("T05thread:p01.01;watch:200000;".into(), NOP));
    client.ok("z2,200000,4");
    client.ok(&format!("Z1,{NOP:x},1"));
    client.ok("M200000,1:20");
    assert_eq!((client.ask(GO), client.counted()), ("T05thread:p01.01;hwbreak:;".into(), 0x20), "it is there already");
    assert_eq!(client.ask(STEP), TRAP);
    assert_eq!((client.ask(GO), client.counted()), ("T05thread:p01.01;hwbreak:;".into(), 0x21));
    client.ok(&format!("z1,{NOP:x},1"));
    assert_eq!(client.ask(GO), format!("W{DEAD:02x}"));
    let (status, stderr) = server.end();
    assert_eq!(status.code(), Some(DEAD), "{stderr}");
}

#[test]
fn what_cannot_be_is_a_stop_or_an_error_and_never_the_end() {
    let server = Server::live(COUNT, &["-S", "-smp", "2"]);
    let mut client = server.call();
    for impossible in ["vCont;s:p1.2;c", "vCont;s:p1.9;c", "vCont;s", "vCont;x:p1.1", "vCont;s:p1.-1"] {
        assert!(client.ask(impossible).starts_with("T05thread:"), "{impossible}");
    }
    for wrong in
        ["m", "mffffffffffffffff1,4", "M123", "G00", "P11", "Hgp1.-2", "T9", "Z0,", "Z9,1,1", "qSupported:", "Hg"]
    {
        client.ask(wrong);
    }
    for refused in ["P26=0000000000000000", "G00", "Z2,200000,0", "T9"] {
        assert!(client.ask(refused).starts_with('E'), "{refused}");
    }
    assert_eq!((client.ask("bs"), client.ask("bc")), (String::new(), String::new()));
    assert_eq!((client.ask("m200000,2"), client.rip()), ("0000".into(), ENTRY));
    client.send("vKill;1");
    let (status, stderr) = server.end();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), "reprise: ended by gdb\n"));
}

#[test]
fn a_machine_without_a_client_runs_or_stands_still_as_it_was_left() {
    let mut server = Server::live(ECHO, &[]);
    let mut first = server.call();
    let rip = first.rip();
    let second = UnixStream::connect(server.folder.path().join("gdb")).unwrap();
    assert_eq!(first.rip(), rip, "it stands still");
    assert_eq!(server.line(), "reprise: a second gdb client was sent away: the first one is still there");
    drop(second);
    first.0.write_all(b"$m1000").unwrap();
    drop(first);
    let mut second = server.call();
    assert_eq!(second.rip(), rip, "nobody let it run");
    second.send("c");
    std::thread::sleep(Duration::from_millis(20));
    second.0.write_all(b"\x03").unwrap();
    assert_eq!(second.answer(), "T02thread:p01.01;");
    second.ok("D;1");
    server.call().ok("D;1");
    server.signal(Signal::TERM);
    let (_, stderr) = server.end();
    assert_eq!(stderr, "reprise: ended by signal 15\n");
}

#[test]
fn a_recording_goes_both_ways_and_stays_where_it_is() {
    let server = Server::replay(&["-checkpoint-memory", "64M"]);
    let mut client = server.call();
    assert_eq!((client.ask("bc"), client.ask("bs"), client.rip()), (BEGIN.into(), BEGIN.into(), ENTRY));
    client.ok(&format!("Z0,{NOP:x},1"));
    for time in 1..=TIMES {
        assert_eq!((client.ask(GO), client.rip(), client.counted()), (SWBREAK.into(), NOP, time));
        client.ok(&format!("z0,{NOP:x},1"));
        assert_eq!((client.ask("vCont;s:p1.1"), client.rip()), (TRAP.into(), NOP + 1));
        client.ok(&format!("Z0,{NOP:x},1"));
    }
    assert_eq!(client.ask(GO), END);
    assert_eq!((client.ask("vCont;s:p1.1"), client.ask(GO)), (TRAP.into(), END.into()), "gdb steps over a breakpoint");
    for time in (1..=TIMES).rev() {
        assert_eq!((client.ask("bc"), client.rip(), client.counted()), (SWBREAK.into(), NOP, time));
    }
    client.ok(&format!("z0,{NOP:x},1"));
    client.ok("Hc-1");
    assert_eq!((client.ask("bs"), client.counted()), (TRAP.into(), 0));
    client.ok("Z2,200000,4");
    assert_eq!((client.ask("bc"), client.ask("bc")), (BEGIN.into(), BEGIN.into()));
    for time in 1..=TIMES {
        assert_eq!((client.ask(GO), client.counted()), ("T05thread:p01.01;watch:200000;".into(), time));
    }
    drop(client);
    let mut client = server.call();
    assert_eq!((client.counted(), client.ask(GO)), (TIMES, END.into()), "its breakpoints have gone with a client");
    client.ok("D;1");
    server.signal(Signal::TERM);
    let (status, stderr) = server.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.starts_with("reprise: the gdb server was ended by signal 15 at tick "), "{stderr}");
}

#[test]
fn a_real_gdb_walks_in_a_recording() {
    let server = Server::replay(&[]);
    let said = server.gdb(&[
        &format!("break *{NOP:#x}"),
        "continue",
        "continue",
        "p $rcx",
        "reverse-stepi",
        "p $pc",
        "reverse-continue",
        "reverse-continue",
        "p/x $pc",
        "delete",
        "watch *(int *) 0x200000",
        "continue",
        "continue",
        "reverse-continue",
        "delete",
        "continue",
        "info threads",
        "monitor when",
        "p $rsp = 0x300000",
        "reverse-continue",
    ]);
    let history = "No more reverse-execution history";
    assert_eq!(said.matches("Breakpoint 1, ").count(), 3, "{said}");
    assert_eq!(said.matches("Hardware watchpoint 2: *(int *) 0x200000").count(), 4, "{said}");
    assert_eq!(said.matches(history).count(), 3, "{said}");
    for part in ["$1 = 9", &format!("{ENTRY:#x}"), "New value = 2", "CPU#0 [", "tick ", "= (void *) 0x300000"] {
        assert!(said.contains(part), "no '{part}' in: {said}");
    }
    let again = server.gdb(&["p/x $pc", "kill"]);
    assert!(again.contains(&format!("{ENTRY:#x}")), "{again}");
    let (status, stderr) = server.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn what_is_written_in_a_recorded_run_is_in_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    kernels::file(folder.path(), "kernel", &kernels::multiboot(COUNT));
    let args = ["record", "-o", "@/run.rpr", "-kernel", "@/kernel", "-serial", "none", "-S", "-gdb", "unix:@/gdb"];
    let mut server = Server::start(folder, &args);
    let mut client = server.call();
    client.ok(&format!("Z0,{NOP:x},1"));
    assert_eq!(client.ask(GO), SWBREAK);
    client.ok("M200000,1:60");
    client.ok(&format!("z0,{NOP:x},1"));
    assert_eq!(client.ask(GO), format!("W{DEAD:02x}"));
    assert_eq!(server.child.wait().unwrap().code(), Some(DEAD));
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());
    let server = Server::start(folder, &["replay", "@/run.rpr", "-gdb", "unix:@/gdb"]);
    let mut client = server.call();
    assert_eq!((client.ask(GO), client.counted()), (END.into(), 0x60 + TIMES - 1));
    client.send("k");
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn an_address_in_use_is_refused_before_anything_starts() {
    let server = Server::live(ECHO, &[]);
    let address = format!("unix:{}/gdb", server.folder.path().display());
    let stderr = stderr_of(&["run", "-gdb", &address], 2);
    assert!(stderr.contains("the gdb server cannot listen on unix:") && stderr.contains("-gdb"), "{stderr}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let stderr = stderr_of(&["run", "-gdb", &format!("tcp::{port}")], 2);
    assert!(stderr.contains(&format!("tcp:127.0.0.1:{port}")) && stderr.contains("takes another port"), "{stderr}");
    server.signal(Signal::TERM);
    let start = Instant::now();
    server.end();
    assert!(start.elapsed() < PATIENCE);
}
