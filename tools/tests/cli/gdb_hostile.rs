//! Clients of the gdb server that mean no good, or are broken: whatever they send, the server stays up, and the next
//! request, or the next client, is served as if nothing had been.

use crate::kernels;
use crate::{PATIENCE, stderr_of};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `mov eax, 0x200000; a: inc dword [eax]; jmp a`: it never ends.
const COUNT: &[u8] = &[0xb8, 0, 0, 0x20, 0, 0xff, 0, 0xeb, 0xfc];
/// The same with an end: `mov ecx, 10; a: inc dword [0x200000]; dec ecx; jnz a; cli; hlt`.
const COUNT_TO_10: &[u8] = &[0xb9, 10, 0, 0, 0, 0xff, 0x05, 0, 0, 0x20, 0, 0x49, 0x75, 0xf7, 0xfa, 0xf4];
/// The status of a run that is dead at the end.
const DEAD: i32 = 12;

/// A server at a TCP port that nobody else has.
struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
    _folder: TempDir,
}

impl Server {
    fn start(folder: TempDir, args: &[&str]) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("reprise"));
        command.args(args).args(["-gdb", "tcp:127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.strip_prefix("reprise: gdb server on ").and_then(|rest| Some(rest.split_once(": ")?.0));
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, stderr, address, _folder: folder }
    }

    fn live() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(COUNT));
        Self::start(folder, &["run", "-kernel", kernel.to_str().unwrap(), "-serial", "none", "-smp", "2", "-S"])
    }

    fn replay() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = kernels::file(folder.path(), "kernel", &kernels::multiboot(COUNT_TO_10));
        let file = folder.path().join("run.rpr");
        let [kernel, file] = [&kernel, &file].map(|path| path.to_str().unwrap().to_owned());
        stderr_of(&["record", "-o", &file, "-kernel", &kernel, "-serial", "none", "-smp", "2"], DEAD);
        Self::start(folder, &["replay", &file])
    }

    fn call(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// A client that behaves is served.
    fn is_well(&mut self) {
        let mut client = self.call();
        assert_eq!(client.ask(b"qSupported:multiprocess+").split(';').next(), Some("PacketSize=010004"));
        assert_eq!(client.ask(b"?"), "T05thread:p01.01;");
        assert_eq!(client.ask(b"qfThreadInfo"), "mp01.01,p01.02");
        assert_eq!(client.ask(b"p10").len(), 16);
        assert!(self.child.try_wait().unwrap().is_none(), "the server has ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, if the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut rest = String::new();
        let _ = self.stderr.read_to_string(&mut rest);
        assert!(std::thread::panicking() || !rest.contains("panicked"), "{rest}");
    }
}

/// A client that knows only how packets look.
struct Client {
    stream: BufReader<TcpStream>,
}

fn framed(body: &[u8]) -> Vec<u8> {
    let sum = body.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    [b"$", body, format!("#{sum:02x}").as_bytes()].concat()
}

impl Client {
    /// Sends bytes; that the server has hung up shows when it does not answer.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// The next packet that is no text for a console; `None` if the server has hung up.
    fn next(&mut self) -> Option<String> {
        loop {
            let mut packet = Vec::new();
            if self.stream.read_until(b'#', &mut packet).is_err() || packet.pop() != Some(b'#') {
                return None;
            }
            self.stream.read_exact(&mut [0; 2]).ok()?;
            let start = packet.iter().position(|&byte| byte == b'$').unwrap();
            let body = String::from_utf8_lossy(&packet[start + 1..]).into_owned();
            if body == "OK" || !body.starts_with('O') {
                return Some(body);
            }
        }
    }

    fn ask(&mut self, body: &[u8]) -> String {
        self.send(&framed(body));
        self.next().unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(body)))
    }

    /// Whether the server has hung up.
    fn hangs_up(mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn nonsense_is_answered_and_the_session_goes_on() {
    let server = Server::live();
    let mut client = server.call();
    let long = [b"qRcmd,".as_slice(), &b"41".repeat(30_000)].concat();
    for (body, answer) in [
        (b"".as_slice(), ""),
        (b"nonsense", ""),
        (b"\xff\x00\x80", ""),
        (b"m", "E16"),
        (b"m0,", "E16"),
        (b"mfffffffffffffffffffff,1", "E16"),
        (b"m0,fffffffffffffffff", "E16"),
        (b"M0,ffffffff:00", ""),
        (b"X0,10:}", "E16"),
        (b"Mx", "E16"),
        (b"p", "E16"),
        (b"pffffffffffffffff", "E16"),
        (b"P0", "E16"),
        (b"P0=1", "E."),
        (b"G", "E."),
        (b"G00", "E."),
        (b"Gxyz", "E16"),
        (b"P12=00000000", "E."),
        (b"Hg", "E16"),
        (b"Hg-1", "E16"),
        (b"Hg99", "E16"),
        (b"Hgp7.1", "E16"),
        (b"Tp1.9", "E01"),
        (b"T", "E16"),
        (b"Z0", "E16"),
        (b"Z0,1", "E16"),
        (b"Z0,1,1;X", "E16"),
        (b"Z9,1,1", ""),
        (b"Z2,ffffffffffffffff,ffff", "E16"),
        (b"Z2,1000,0", "E16"),
        (b"z0,1234,1", "E16"),
        (b"qSupported:", "E16"),
        (b"qSupported", "E16"),
        (b"qXfer:features:read:target.xml:0", "E16"),
        (b"qXfer:features:read:none.xml:0,10", "E00"),
        (b"qXfer:features:read:target.xml:ffffffffffffffff,ffffffff", "l"),
        (b"qThreadExtraInfo,p1.9", ""),
        (b"qRcmd,4", "E16"),
        (b"qRcmd,zz", "E16"),
        (b"qSearch:memory:0;0;", "E16"),
        (b"qSearch:memory:0;ffffffffffffffff;a", "E."),
        (b"vKill", "E16"),
        (b"vCont;s:p1.9", "T05"),
        (b"vCont;t", "T05"),
        (b"vCont;", "T05"),
        (b"vCont;q:p1.1", "T05"),
        (b"vCont;s", "T05"),
        (b"vCont;r0,10:p1.9", "T05"),
        (b"vCont;rx,y:p1.1", "T05"),
        (b"vCont;s:p1.2", "T05"),
        (b"bc", ""),
        (&long, "OK"),
    ] {
        let text = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let given = client.ask(body);
        let is_it = if answer.is_empty() { given.is_empty() || given == "OK" } else { given.starts_with(answer) };
        assert!(is_it, "{text}: {given}");
        assert_eq!(client.ask(b"qC"), "QC1", "after {text}");
    }
}

#[test]
fn bytes_between_packets_and_packets_that_are_broken_do_no_harm() {
    let mut server = Server::live();
    let mut client = server.call();
    for noise in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        b"++++----++++",
        b"\x03\x03\x03",
        b"#00",
        b"$#",
        b"$m0,4#zz",
        b"$m0,4$m0,4",
        b"$}",
        &[0; 1000],
        &[0xff; 70_000],
    ] {
        client.send(noise);
        client.send(b"$never ended ");
        client.send(&framed(b"qC"));
        while client.next().unwrap() != "QC1" {}
    }
    drop(client);
    server.is_well();
}

#[test]
fn a_packet_without_an_end_costs_nothing() {
    let server = Server::live();
    let mut client = server.call();
    client.send(b"$");
    for _ in 0..512 {
        client.send(&[b'x'; 64 << 10]);
    }
    client.send(b"#00");
    assert!(client.next().unwrap().starts_with("E."));
    assert_eq!(client.ask(b"qC"), "QC1");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 400 << 10, "32 MiB were sent, and the server grew to {peak} KiB");
}

#[test]
fn a_client_that_vanishes_makes_room_for_the_next() {
    for mut server in [Server::live(), Server::replay()] {
        for half in [b"".as_slice(), b"$", b"$m10", b"$vCont;c#a8", b"$?#3", b"$qC#b4$qC#b4$qC#b4"] {
            let mut client = server.call();
            client.send(half);
            drop(client);
            server.is_well();
            let client = server.call();
            client.stream.get_ref().shutdown(Shutdown::Read).unwrap();
            drop(client);
        }
        server.is_well();
    }
}

#[test]
fn a_second_client_is_sent_away_and_the_first_does_not_notice() {
    let mut server = Server::live();
    let mut first = server.call();
    assert_eq!(first.ask(b"qC"), "QC1");
    for _ in 0..10 {
        assert!(server.call().hangs_up());
        assert_eq!(first.ask(b"qC"), "QC1");
    }
    first.send(&framed(b"vCont;c"));
    assert!(server.call().hangs_up());
    first.send(b"\x03");
    assert!(first.next().unwrap().starts_with("T02"));
    drop(first);
    server.is_well();
}

#[test]
fn an_interrupt_is_seen_however_early_it_comes() {
    for server in [Server::live(), Server::replay()] {
        let mut client = server.call();
        // In one piece, so that the machine does not even begin.
        client.send(&[framed(b"vCont;c"), b"\x03".to_vec()].concat());
        assert!(client.next().unwrap().starts_with("T0"));
        assert_eq!(client.ask(b"qC"), "QC1");
    }
    let server = Server::live();
    let mut client = server.call();
    // Stepping in a loop never leaves this range.
    client.send(&framed(b"vCont;r100060,100069:1;c"));
    std::thread::sleep(Duration::from_millis(50));
    client.send(b"\x03");
    assert!(client.next().unwrap().starts_with("T02"));
}

#[test]
fn memory_ends_where_it_ends() {
    let server = Server::live();
    let mut client = server.call();
    // There is no paging yet: linear addresses have 32 bits, and what nobody decodes reads as ones.
    assert_eq!(client.ask(b"mfffffffffffffffc,40"), "ffffffff");
    assert_eq!(client.ask(b"mfffffff0,ffffffffffffffff").len(), 32 << 10);
    assert!(client.ask(b"Mfee00000,4:00000000").starts_with('E'), "no RAM");
    assert!(client.ask(b"Mfffffffffffffffe,4:00000000").starts_with('E'));
    assert_eq!(client.ask(b"M200000,4:01020304"), "OK");
    assert_eq!(client.ask(b"m200000,4"), "01020304");
    assert_eq!(client.ask(b"X200000,0:"), "OK");
    assert_eq!(client.ask(b"X200000,4:a}\x03}]b"), "OK");
    assert_eq!(client.ask(b"m200000,4"), "61237d62");
}

#[test]
fn conditions_are_judged_here_whatever_they_are() {
    let server = Server::live();
    let mut client = server.call();
    let entry = "10006";
    // `*(int *) $rax == 1000` at the jump, which is met 1000 times.
    assert_eq!(client.ask(format!("Z0,{entry}7,1;Xc,260000192303e81327").as_bytes()), "E16", "one byte too few");
    assert_eq!(client.ask(format!("Z0,{entry}7,1;X9,260000192303e81327").as_bytes()), "OK");
    assert!(client.ask(b"vCont;c").starts_with("T05thread:01;swbreak:;"));
    assert_eq!(client.ask(b"m200000,4"), "e8030000");
    // A loop for ever, a division by zero, and no expression: all stop as if there were no condition.
    for code in ["X3,210000", "X7,22002200052727", "X4,00010203"] {
        assert_eq!(client.ask(format!("Z0,{entry}7,1;{code}").as_bytes()), "OK");
        assert!(client.ask(b"vCont;s:1;c").starts_with("T05thread:01;"), "past the breakpoint");
        assert!(client.ask(b"vCont;c").starts_with("T05thread:01;swbreak:;"), "{code}");
    }
    assert_eq!(client.ask(b"m200000,4"), "eb030000", "each time one more");
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit as u64) as usize
    }

    /// A request that is right but for some bytes. None kills: that is no harm, but an end.
    fn request(&mut self) -> Vec<u8> {
        const STARTS: [&[u8]; 32] = [
            b"m100060,40",
            b"x100060,40",
            b"M200000,4:01020304",
            b"X200000,4:abcd",
            b"g",
            b"G0000000000000000",
            b"p10",
            b"P0=0102030405060708",
            b"P10=6000100000000000",
            b"Z0,100067,1",
            b"Z1,100067,1;X9,260000192303e81327",
            b"Z2,200000,4",
            b"Z4,200000,1",
            b"z0,100067,1",
            b"z2,200000,4",
            b"vCont?",
            b"vCont;c",
            b"vCont;s:p1.1;c",
            b"vCont;r100060,100069:p1.1",
            b"c",
            b"s",
            b"bs",
            b"bc",
            b"Hgp1.2",
            b"Hc-1",
            b"qXfer:features:read:target.xml:100,100",
            b"qSearch:memory:100000;1000;abc",
            b"qThreadExtraInfo,p1.1",
            b"Qqemu.PhyMemMode:1",
            b"qRcmd,7768656e",
            b"QStartNoAckMode",
            b"?",
        ];
        let mut body = STARTS[self.below(STARTS.len())].to_vec();
        for _ in 0..self.below(3) {
            let at = self.below(body.len() + 1);
            match self.below(4) {
                0 => body.truncate(at),
                1 => body.insert(at, b"0123456789abcdef,;:Xp.="[self.below(23)]),
                2 => body.insert(at, self.below(256) as u8),
                _ => body.splice(at..at, [b'f'; 16]).for_each(drop),
            }
        }
        if body.starts_with(b"k") || body.starts_with(b"vKill") { Vec::new() } else { body }
    }

    /// What a client sends: a request, framed or almost.
    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = framed(&self.request());
        if self.below(8) == 0 {
            let at = self.below(bytes.len());
            bytes[at] = self.below(256) as u8;
        }
        bytes
    }
}

/// Sends what `random` makes, again and again, and sees each time that the server answers on.
fn pester(mut server: Server, seed: u64) {
    let (mut random, mut client, start) = (Random(seed), server.call(), Instant::now());
    for round in 0..400 {
        let bytes = random.bytes();
        client.send(&bytes);
        // Whatever runs now, runs no longer; and a packet that was not ended is.
        client.send(b"\x03#00\x03");
        let mark = format!("qSearch:memory:{:x};{:x};no such thing", 0x1000, 1);
        client.send(&framed(mark.as_bytes()));
        let answered = std::iter::from_fn(|| client.next()).any(|answer| answer == "0");
        if !answered {
            // It had detached.
            client = server.call();
        }
        assert!(server.child.try_wait().unwrap().is_none(), "round {round}: {}", String::from_utf8_lossy(&bytes));
        assert!(start.elapsed() < PATIENCE, "{round} rounds only");
    }
    drop(client);
    std::thread::sleep(Duration::from_millis(20));
    server.is_well();
}

#[test]
fn random_packets_do_a_running_machine_no_harm() {
    pester(Server::live(), 17);
}

#[test]
fn random_packets_do_a_recording_no_harm() {
    pester(Server::replay(), 18);
}
