//! Events as JSON objects, complete.

use super::kind::Kind;
use super::text::hex;
use reprise_core::clock::Tick;
use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use reprise_replay::Event;
use serde::Serialize;
use serde_json::{Value, json};

/// An event as one object: tick and kind come first.
#[derive(Serialize)]
pub(crate) struct Line {
    tick: Tick,
    kind: &'static str,
    #[serde(flatten)]
    fields: Value,
}

/// What happened at `tick`.
pub(crate) fn line(tick: Tick, event: &Event) -> Line {
    let fields = match event {
        Event::Input(input) => of_input(input),
        Event::Digest(digest) => json!({ "digest": digest.to_string() }),
        Event::End(end) => json!({
            "reason": end.reason,
            "status": end.status,
            "icount": end.icount,
            "fingerprint": end.fingerprint.to_string(),
        }),
    };
    Line { tick, kind: Kind::of(event).name(), fields }
}

fn of_input(input: &HostInput) -> Value {
    match input {
        HostInput::Chardev { chardev, bytes } => json!({ "chardev": chardev.0, "data": hex(bytes) }),
        HostInput::Connected { chardev, connected } => json!({ "chardev": chardev.0, "connected": connected }),
        HostInput::Frame { netdev, frame } => json!({ "netdev": netdev.0, "data": hex(frame) }),
        HostInput::Key(key) => json!({ "code": key.code, "down": key.down }),
        HostInput::Pointer(pointer) => {
            json!({ "dx": pointer.dx, "dy": pointer.dy, "wheel": pointer.wheel, "buttons": pointer.buttons })
        }
        HostInput::PowerButton | HostInput::Reset | HostInput::Quit => json!({}),
        HostInput::Edit(Edit::Memory { address, bytes }) => json!({ "address": address, "data": hex(bytes) }),
        HostInput::Edit(Edit::Register { cpu, register, value }) => {
            json!({ "cpu": cpu, "register": register.to_string(), "value": format!("{value:#x}") })
        }
        HostInput::Cluster { disk, cluster, data } => {
            json!({ "disk": disk.0, "cluster": cluster, "data": hex(data) })
        }
        HostInput::ClusterFailed { disk, cluster } => json!({ "disk": disk.0, "cluster": cluster }),
        HostInput::Random { rng, bytes } => json!({ "rng": rng.0, "data": hex(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::backend::ChardevId;
    use reprise_core::cpu::Register;
    use reprise_core::device::KeyEvent;

    #[track_caller]
    fn check(input: HostInput, expected: &str) {
        assert_eq!(serde_json::to_string(&line(7, &Event::Input(input))).unwrap(), expected);
    }

    #[test]
    fn an_event_is_an_object() {
        let bytes = b"\0\xffa".to_vec();
        check(
            HostInput::Chardev { chardev: ChardevId(2), bytes },
            r#"{"tick":7,"kind":"chardev","chardev":2,"data":"00ff61"}"#,
        );
        check(HostInput::Key(KeyEvent { code: 1, down: true }), r#"{"tick":7,"kind":"key","code":1,"down":true}"#);
        check(HostInput::PowerButton, r#"{"tick":7,"kind":"power-button"}"#);
        check(
            HostInput::Edit(Edit::Memory { address: 4096, bytes: vec![0xcc] }),
            r#"{"tick":7,"kind":"edit","address":4096,"data":"cc"}"#,
        );
        check(
            HostInput::Edit(Edit::Register { cpu: 1, register: Register::Xmm(15), value: 1 << 127 }),
            r#"{"tick":7,"kind":"edit","cpu":1,"register":"xmm15","value":"0x80000000000000000000000000000000"}"#,
        );
    }
}
