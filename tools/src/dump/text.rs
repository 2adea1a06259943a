//! Events as lines for people.

use super::frame;
use super::kind::Kind;
use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use reprise_replay::{Ended, Event};
use std::fmt::Write;

/// Most bytes that a line shows.
const SHOWN: usize = 64;

/// What happened, in one line.
pub(crate) fn line(event: &Event) -> String {
    let details = match event {
        Event::Input(input) => of_input(input),
        Event::Digest(digest) => digest.to_string(),
        Event::End(end) => of_end(end),
    };
    format!("{:<14} {details}", Kind::of(event).name()).trim_end().to_owned()
}

fn of_input(input: &HostInput) -> String {
    match input {
        HostInput::Chardev { chardev, bytes } => format!("{}: {}", chardev.0, data(bytes)),
        HostInput::Connected { chardev, connected } => {
            format!("{}: {}", chardev.0, if *connected { "somebody came" } else { "nobody is there any more" })
        }
        HostInput::Frame { netdev, frame } => format!("{}: {}, {}", netdev.0, count(frame), frame::summary(frame)),
        HostInput::Key(key) => format!("{} {}", key.code, if key.down { "down" } else { "up" }),
        HostInput::Pointer(pointer) => {
            format!("{:+},{:+} wheel {:+} buttons {:#05b}", pointer.dx, pointer.dy, pointer.wheel, pointer.buttons)
        }
        HostInput::PowerButton | HostInput::Reset | HostInput::Quit => String::new(),
        HostInput::Edit(edit) => of_edit(edit),
        HostInput::Cluster { disk, cluster, data } => format!("{}: cluster {cluster}, {}", disk.0, count(data)),
        HostInput::ClusterFailed { disk, cluster } => format!("{}: cluster {cluster}", disk.0),
        HostInput::Random { rng, bytes } => format!("{}: {}", rng.0, data(bytes)),
    }
}

fn of_edit(edit: &Edit) -> String {
    match edit {
        Edit::Memory { address, bytes } => format!("memory at {address:#x}: {}", data(bytes)),
        Edit::Register { cpu, register, value } => format!("vCPU {cpu}: {register} = {value:#x}"),
    }
}

/// How a run ended, in one line.
pub(crate) fn of_end(end: &Ended) -> String {
    format!("{}, status {}, icount {}, fingerprint {}", end.reason, end.status, end.icount, end.fingerprint)
}

/// How many bytes there are, and what they are.
fn data(bytes: &[u8]) -> String {
    format!("{} {}", count(bytes), shown(bytes))
}

fn count(bytes: &[u8]) -> String {
    if bytes.len() == 1 { "1 byte".into() } else { format!("{} bytes", bytes.len()) }
}

/// The first bytes, as text if they are, else in hex.
fn shown(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(SHOWN)];
    let more = if head.len() < bytes.len() { " ..." } else { "" };
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t' | 0x1b | 8 | 0x7f);
    if head.iter().filter(|byte| is_text(byte)).count() * 4 >= head.len() * 3 {
        format!("\"{}\"{more}", head.escape_ascii())
    } else {
        format!("{}{more}", hex(head))
    }
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::backend::{ChardevId, DiskId, RngId};
    use reprise_core::cpu::Register;
    use reprise_core::device::{KeyEvent, PointerEvent};

    #[track_caller]
    fn check(input: HostInput, expected: &str) {
        assert_eq!(line(&Event::Input(input)), expected);
    }

    #[test]
    fn an_event_is_a_line() {
        let chardev = ChardevId(1);
        check(HostInput::Chardev { chardev, bytes: b"ls\r\"".to_vec() }, r#"chardev        1: 4 bytes "ls\r\"""#);
        check(HostInput::Connected { chardev, connected: true }, "connected      1: somebody came");
        check(HostInput::Key(KeyEvent { code: 30, down: false }), "key            30 up");
        check(
            HostInput::Pointer(PointerEvent { dx: -3, dy: 0, wheel: 1, buttons: 5 }),
            "pointer        -3,+0 wheel +1 buttons 0b101",
        );
        check(HostInput::Quit, "quit");
        let edit = Edit::Memory { address: 0x1000, bytes: b"\xcc".to_vec() };
        check(HostInput::Edit(edit), "edit           memory at 0x1000: 1 byte cc");
        let edit = Edit::Register { cpu: 2, register: Register::General(4), value: 0xff00 };
        check(HostInput::Edit(edit), "edit           vCPU 2: rsp = 0xff00");
        check(HostInput::ClusterFailed { disk: DiskId(0), cluster: 9 }, "cluster-failed 0: cluster 9");
        check(HostInput::Random { rng: RngId(0), bytes: vec![0xfe] }, "random         0: 1 byte fe");
    }

    #[test]
    fn many_bytes_are_cut() {
        assert_eq!(shown(&[b'a'; 65]), format!("\"{}\" ...", "a".repeat(64)));
        assert_eq!(shown(&[0; 65]), format!("{} ...", "00".repeat(64)));
        assert_eq!((shown(b""), shown(b"\x1b[A")), ("\"\"".into(), "\"\\x1b[A\"".into()));
    }
}
