//! Interrupt lines: who drives them, who listens.

use super::{Board, DeviceId};
use serde::{Deserialize, Serialize};

/// A wire on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LineId(u16);

impl LineId {
    /// Global system interrupts 0 to 23: the inputs of the I/O APIC. 0 to 15 are the ISA interrupt requests (of which
    /// IRQ 0 reaches input 2 of the I/O APIC, as on every PC), 16 to 23 the PCI ones.
    pub const fn gsi(number: u8) -> Self {
        assert!(number < 24, "the I/O APIC has 24 inputs");
        Self(number as u16)
    }

    /// From the 8259 pair's INTR output to local interrupt pin 0 of the first local APIC.
    pub const INTR: Self = Self(24);
    /// Non-maskable interrupt, to local interrupt pin 1 of every local APIC.
    pub const NMI: Self = Self(25);
    /// From OUT 0 of the 8254 to the HPET, which passes it on to ISA interrupt request 0 unless it replaces it.
    pub const PIT: Self = Self(26);
    /// From the real-time clock to the HPET, which passes it on to ISA interrupt request 8 unless it replaces it.
    pub const RTC: Self = Self(27);

    const COUNT: usize = 28;
}

/// Who listens to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// An input pin of a device.
    Device(DeviceId, u32),
    /// Local interrupt pin 0 or 1 of a vCPU's local APIC.
    LocalInterrupt {
        /// Which vCPU.
        cpu: usize,
        /// Which pin.
        pin: u8,
    },
}

/// An output pin connected to a line; a line is high while any of its up to 32 outputs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputPin {
    line: LineId,
    bit: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    sinks: Vec<Sink>,
    outputs: u32,
    /// One bit for each output that drives the line high.
    pub(super) driven: u32,
}

impl Line {
    pub(super) fn all() -> Vec<Self> {
        vec![Self::default(); LineId::COUNT]
    }
}

impl Board {
    /// Connects one more output to a line. More than 32 on one line is a fault of the wiring.
    pub fn connect_output(&mut self, line: LineId) -> OutputPin {
        let bit = self.lines[usize::from(line.0)].outputs;
        assert!(bit < 32, "line {} has no room for another output", line.0);
        self.lines[usize::from(line.0)].outputs += 1;
        OutputPin { line, bit }
    }

    /// Connects one more listener to a line.
    pub fn connect_sink(&mut self, line: LineId, sink: Sink) {
        self.lines[usize::from(line.0)].sinks.push(sink);
    }

    /// Drives an output, and tells the listeners if that changed the level of the line.
    pub fn set_line(&mut self, pin: OutputPin, level: bool) {
        let index = usize::from(pin.line.0);
        let line = &mut self.lines[index];
        let before = line.driven != 0;
        line.driven = line.driven & !(1 << pin.bit) | u32::from(level) << pin.bit;
        let after = line.driven != 0;
        if before == after {
            return;
        }
        for at in 0..self.lines[index].sinks.len() {
            match self.lines[index].sinks[at] {
                Sink::Device(id, input) => {
                    self.with_device(id, |device, ctx| device.line(input, after, ctx));
                }
                Sink::LocalInterrupt { cpu, pin } => self.local_interrupt(cpu, pin, after),
            }
        }
    }

    /// Whether an output drives its line high.
    pub fn line_is_driven(&self, pin: OutputPin) -> bool {
        self.lines[usize::from(pin.line.0)].driven >> pin.bit & 1 != 0
    }

    /// The level of a line.
    pub fn line_level(&self, line: LineId) -> bool {
        self.lines[usize::from(line.0)].driven != 0
    }
}
