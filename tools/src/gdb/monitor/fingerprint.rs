//! `fingerprint`: the hash of all that the guest can see.

use super::{Command, usage};

pub(super) const FINGERPRINT: Command = Command {
    name: "fingerprint",
    arguments: "",
    summary: "hash all that the guest can see at this position",
    details: "\
Two positions with the same fingerprint are the same state. It is what 'reprise replay FILE -until TICK -fingerprint'
prints for that tick.",
    run: |monitor, arguments| {
        if !arguments.is_empty() {
            return Err(usage(&FINGERPRINT));
        }
        let machine = monitor.timeline()?.machine_mut();
        Ok(format!("fingerprint {}", machine.fingerprint()))
    },
};
