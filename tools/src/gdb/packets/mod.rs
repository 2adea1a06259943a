//! What gdbstub lacks: requests that are answered before it sees them, and what it is told differently.
//!
//! | packet | what |
//! | --- | --- |
//! | `m` `x` | memory, at whatever length and up to the end of the address space; in digits, or binary |
//! | `qSearch:memory` | gdb's `find`, in one packet |
//! | `Z0` `Z1` | conditions ([`agent`](super::agent)), which stay here: gdbstub gets the breakpoint |
//! | `Hg` | the thread that requests are about must be one |
//! | `qC` | that thread |
//! | `Qqemu.PhyMemMode` `qqemu.PhyMemMode` `qqemu.Supported` | addresses of memory are physical, as QEMU has it: `maintenance packet Qqemu.PhyMemMode:1` |
//! | `qSupported` | the answer says what there is beside what gdbstub knows of |
//!
//! Documents: Debugging with GDB, appendix E Remote Serial Protocol; QEMU's System Emulation User's Guide, GDB usage,
//! Examining physical memory.

mod conditions;
mod memory;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use parse::bytes;

use super::features::Features;
use conditions::{Conditions, Insertion};
use memory::{INVALID, Memory};
use parse::Thread;
use reprise_core::machine::Machine;
use reprise_core::probe::Condition;
use std::rc::Rc;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// gdbstub answers it, in this form.
    Pass(Vec<u8>),
    /// This is the answer.
    Answer(Vec<u8>),
}

/// What gdbstub lacks, for one client.
#[derive(Debug)]
pub(crate) struct Packets {
    features: Features,
    conditions: Conditions,
    physical: bool,
    /// The client knows threads of processes.
    multiprocess: bool,
    /// gdbstub is about to say what it supports.
    introducing: bool,
}

impl Packets {
    /// For a client of a machine with these registers.
    pub(crate) fn new(features: Features) -> Self {
        let conditions = Conditions::default();
        Self { features, conditions, physical: false, multiprocess: false, introducing: false }
    }

    /// Whether addresses of memory are physical.
    pub(crate) fn is_physical(&self) -> bool {
        self.physical
    }

    /// When breakpoints at a linear address count; always, without one.
    pub(crate) fn condition(&self, address: u64) -> Option<Rc<dyn Condition>> {
        self.conditions.of(address)
    }

    /// Looks at a request with this body. It is about the vCPU `selected`, or says about which those that follow are.
    pub(crate) fn request(&mut self, body: &[u8], machine: &Machine, selected: &mut usize) -> Verdict {
        let answer = match body {
            [b'm', request @ ..] => Some(self.memory(machine, *selected).answer_digits(request)),
            [b'x', request @ ..] => Some(self.memory(machine, *selected).answer_binary(request)),
            [b'q' | b'Q', ..] => self.answer_query(body, machine, *selected),
            [b'H', b'g', thread @ ..] => return select(thread, machine, selected),
            [b'Z', request @ ..] => return self.insert(body, request),
            [b'z', request @ ..] => return self.remove(body, request),
            _ => None,
        };
        answer.map_or_else(|| Verdict::Pass(body.to_vec()), Verdict::Answer)
    }

    /// Looks at an answer of gdbstub.
    pub(crate) fn reply(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        if std::mem::take(&mut self.introducing) && body.starts_with(b"PacketSize=") {
            body.extend(b";ConditionalBreakpoints+;binary-upload+");
        }
        body
    }

    fn memory<'m>(&self, machine: &'m Machine, cpu: usize) -> Memory<'m> {
        Memory { view: machine.view(cpu), physical: self.physical }
    }

    fn answer_query(&mut self, body: &[u8], machine: &Machine, selected: usize) -> Option<Vec<u8>> {
        if let Some(request) = body.strip_prefix(b"qSearch:memory:") {
            return Some(self.memory(machine, selected).answer_search(request));
        }
        if body.starts_with(b"qSupported") {
            self.introducing = true;
            self.multiprocess = body.windows(13).any(|part| part == b"multiprocess+");
            return None;
        }
        Some(match body {
            b"qC" if self.multiprocess => format!("QCp1.{:x}", selected + 1).into_bytes(),
            b"qC" => format!("QC{:x}", selected + 1).into_bytes(),
            b"qqemu.Supported" => b"PhyMemMode".to_vec(),
            b"qqemu.PhyMemMode" => if self.physical { b"1" } else { b"0" }.to_vec(),
            b"Qqemu.PhyMemMode:0" => self.set_physical(false),
            b"Qqemu.PhyMemMode:1" => self.set_physical(true),
            body if body.starts_with(b"Qqemu.PhyMemMode") => INVALID.to_vec(),
            _ => return None,
        })
    }

    fn set_physical(&mut self, physical: bool) -> Vec<u8> {
        self.physical = physical;
        b"OK".to_vec()
    }

    /// `Z`: gdbstub gets breakpoints without their conditions.
    fn insert(&mut self, body: &[u8], request: &[u8]) -> Verdict {
        if !matches!(request, [b'0' | b'1', b',', ..]) {
            return Verdict::Pass(body.to_vec());
        }
        match Insertion::parse(request) {
            Some(insertion) if self.conditions.insert(&insertion, &self.features) => {
                Verdict::Pass([b"Z".as_slice(), insertion.plain].concat())
            }
            Some(_) => Verdict::Answer(b"E.there are too many breakpoints".to_vec()),
            None => Verdict::Answer(INVALID.to_vec()),
        }
    }

    fn remove(&mut self, body: &[u8], request: &[u8]) -> Verdict {
        if let Some(name) = conditions::name(request) {
            self.conditions.remove(name);
        }
        Verdict::Pass(body.to_vec())
    }
}

/// `Hg`: the thread that the next requests are about.
fn select(thread: &[u8], machine: &Machine, selected: &mut usize) -> Verdict {
    match parse::thread(thread, machine.cpus.len()) {
        Some(Thread::Cpu(cpu)) => *selected = cpu,
        Some(Thread::Any) => {}
        Some(Thread::All) | None => return Verdict::Answer(INVALID.to_vec()),
    }
    Verdict::Pass(format!("Hg{:x}", *selected + 1).into_bytes())
}
