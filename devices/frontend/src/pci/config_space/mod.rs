//! The state of a function's configuration space, and what writing it does to the board.

use super::Layout;
use super::layout::{Bar, command, reg, status};
use reprise_core::board::Region;
use reprise_core::device::{Context, Width};
use serde::{Deserialize, Serialize};

/// The registers of a function's configuration space: all of its state.
///
/// Every operation wants the [`Layout`] that the registers were made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct ConfigSpace {
    bytes: Vec<u8>,
}

impl From<ConfigSpace> for Vec<u8> {
    fn from(config: ConfigSpace) -> Self {
        let used = config.bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        config.bytes[..used].to_vec()
    }
}

impl TryFrom<Vec<u8>> for ConfigSpace {
    type Error = String;

    fn try_from(mut bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() > 4096 {
            return Err(format!("configuration space of {} bytes, which has 4096", bytes.len()));
        }
        bytes.resize(4096, 0);
        Ok(Self { bytes })
    }
}

impl ConfigSpace {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        assert_eq!(bytes.len(), 4096, "every function has 4 KiB of configuration space");
        Self { bytes }
    }

    /// Reads `width` at `offset`; all ones past the end.
    pub fn read(&self, offset: u64, width: Width) -> u64 {
        let at = offset as usize;
        match at.checked_add(width as usize).and_then(|end| self.bytes.get(at..end)) {
            Some(bytes) => bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)),
            None => width.mask(),
        }
    }

    /// A register of one byte.
    pub fn byte(&self, offset: u16) -> u8 {
        self.read(u64::from(offset), Width::Byte) as u8
    }

    /// A register of two bytes.
    pub fn word(&self, offset: u16) -> u16 {
        self.read(u64::from(offset), Width::Word) as u16
    }

    /// A register of four bytes.
    pub fn dword(&self, offset: u16) -> u32 {
        self.read(u64::from(offset), Width::Dword) as u32
    }

    /// Sets a register of one byte whatever the guest may write: for the device itself.
    pub fn set_byte(&mut self, offset: u16, value: u8) {
        if let Some(byte) = self.bytes.get_mut(usize::from(offset)) {
            *byte = value;
        }
    }

    /// Sets a register of two bytes.
    pub fn set_word(&mut self, offset: u16, value: u16) {
        let [low, high] = value.to_le_bytes();
        self.set_byte(offset, low);
        self.set_byte(offset + 1, high);
    }

    /// A write by the guest: masks apply, base address registers move their regions, the interrupt pin follows.
    pub fn write(&mut self, layout: &Layout, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        let before = self.clone_header();
        for (at, byte) in (offset as usize..).zip(value.to_le_bytes()).take(width as usize) {
            if let Some(old) = self.bytes.get_mut(at) {
                *old = layout.written(at, *old, byte);
            }
        }
        if offset < u64::from(reg::BARS) + 24 {
            before.remap(self, layout, ctx);
            self.drive_intx(layout, ctx);
        }
    }

    /// Puts the registers into their state after power-on; regions vanish and the interrupt pin goes low.
    pub fn reset(&mut self, layout: &Layout, ctx: &mut Context<'_>) {
        let before = self.clone_header();
        *self = layout.power_on();
        before.remap(self, layout, ctx);
        self.drive_intx(layout, ctx);
    }

    /// Whether the guest lets the function master the bus.
    pub fn is_bus_master(&self) -> bool {
        self.word(reg::COMMAND) & command::MASTER != 0
    }

    /// Asserts or releases the interrupt pin.
    pub fn set_interrupt(&mut self, layout: &Layout, level: bool, ctx: &mut Context<'_>) {
        let rest = self.word(reg::STATUS) & !status::INTERRUPT;
        self.set_word(reg::STATUS, if level { rest | status::INTERRUPT } else { rest });
        self.drive_intx(layout, ctx);
    }

    fn drive_intx(&self, layout: &Layout, ctx: &mut Context<'_>) {
        let Some(pin) = layout.intx() else { return };
        let disabled = self.word(reg::COMMAND) & command::INTX_DISABLE != 0;
        ctx.set_line(pin, self.word(reg::STATUS) & status::INTERRUPT != 0 && !disabled);
    }

    fn clone_header(&self) -> Header {
        Header { bytes: self.bytes[..64].try_into().expect("configuration space has a header") }
    }

    /// What the base address register `bar` at `offset` decodes, if anything.
    pub fn decoded(&self, offset: u16, bar: &Bar) -> Option<Region> {
        self.clone_header().decoded(offset, bar)
    }
}

/// The first 64 bytes.
struct Header {
    bytes: [u8; 64],
}

impl Header {
    fn dword(&self, offset: u16) -> u32 {
        let at = usize::from(offset);
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    /// Base 0 and a range that reaches the end of the address space decode nothing: the one is a register that was not
    /// set up, the other one that is being sized.
    fn decoded(&self, offset: u16, bar: &Bar) -> Option<Region> {
        let (enable, limit) = match bar.kind.space() {
            reprise_core::board::Space::Port => (command::IO, 0x1_0000),
            _ if bar.kind.is_64bit() => (command::MEMORY, u64::MAX),
            _ => (command::MEMORY, 0xffff_ffff),
        };
        if self.dword(reg::COMMAND) as u16 & enable == 0 {
            return None;
        }
        let high = if bar.kind.is_64bit() { u64::from(self.dword(offset + 4)) << 32 } else { 0 };
        let base = (high | u64::from(self.dword(offset))) & !(bar.size - 1);
        let end = base.checked_add(bar.size)?;
        (base != 0 && end <= limit).then(|| bar.at(base))
    }

    /// Moves the regions whose decoding changed since. One that overlaps another device's is left unmapped until its
    /// register is written again; what hardware does then is undefined.
    fn remap(&self, after: &ConfigSpace, layout: &Layout, ctx: &mut Context<'_>) {
        let after = after.clone_header();
        for (offset, bar) in layout.bars() {
            let (old, new) = (self.decoded(*offset, bar), after.decoded(*offset, bar));
            if old == new {
                continue;
            }
            ctx.unmap(bar.kind.space(), bar.region);
            if let Some(Err(error)) = new.map(|region| ctx.map(region)) {
                log::debug!(target: "guest_errors", "base address register {offset:#x}: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
