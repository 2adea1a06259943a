//! Registers as gdbstub has them: bytes, which the target description gives a meaning.

use super::target::Target;
use gdbstub::arch::{Arch, RegId, Registers};
use gdbstub::common::Tid;
use gdbstub::target::ext::base::single_register_access::SingleRegisterAccess;
use gdbstub::target::ext::target_description_xml_override::TargetDescriptionXmlOverride;
use gdbstub::target::{TargetError, TargetResult};
use reprise_core::cpu::Register;
use reprise_core::edit::Edit;
use std::num::NonZeroUsize;

/// EIO: what the answer to a refused change says beside its text.
const REFUSED: u8 = 5;
/// EINVAL.
pub(super) const INVALID: u8 = 22;

/// Numbers of rbp, rsp and rip.
const EXPEDITED: [usize; 3] = [6, 7, 16];

/// A 64-bit PC.
pub(crate) enum Pc {}

impl Arch for Pc {
    type Usize = u64;
    type Registers = Values;
    type BreakpointKind = usize;
    type RegId = Number;
}

/// A register's number in the target description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(super) usize);

impl RegId for Number {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        Some((Self(id), None))
    }

    fn to_raw_id(&self) -> Option<usize> {
        Some(self.0)
    }
}

/// All registers, in the order of the target description.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Values(Vec<u8>);

impl Registers for Values {
    type ProgramCounter = u64;

    /// Nobody asks: breakpoints do not move it.
    fn pc(&self) -> u64 {
        0
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().for_each(|&byte| write_byte(Some(byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
}

impl Target<'_> {
    fn register(&self, cpu: usize, number: usize) -> Option<Vec<u8>> {
        let machine = self.host.machine();
        self.features.read(&machine.cpus[cpu], &machine.board, number)
    }

    /// The registers that come with each stop, because a client asks for them first: rbp, rsp, rip.
    pub(super) fn expedited(&self) -> Vec<(Number, Vec<u8>)> {
        let register = |number| Some((Number(number), self.register(self.selected, number)?));
        EXPEDITED.into_iter().filter_map(register).collect()
    }

    /// Writes a register; to write what it holds is no change.
    fn set_register(&mut self, cpu: usize, number: usize, bytes: &[u8]) -> TargetResult<(), Self> {
        if self.register(cpu, number).is_some_and(|old| old == bytes) {
            return Ok(());
        }
        match self.features.write(number, bytes) {
            Some(change) => self.change(cpu, change),
            None => self.refuse("a debugger cannot write this register, or not with that many bytes"),
        }
    }

    fn change(&mut self, cpu: usize, (register, value): (Register, u128)) -> TargetResult<(), Self> {
        let edit = Edit::Register { cpu: cpu as u32, register, value };
        self.edit(edit).or_else(|error| self.refuse(&error))
    }

    /// Refuses a request with a text, which takes the place of the number in the answer.
    pub(super) fn refuse<T>(&mut self, text: &str) -> TargetResult<T, Self> {
        self.refusal = Some(text.to_owned());
        Err(TargetError::Errno(REFUSED))
    }

    /// All registers of a vCPU.
    pub(super) fn all_registers(&self, cpu: usize) -> Values {
        let machine = self.host.machine();
        Values(self.features.read_all(&machine.cpus[cpu], &machine.board))
    }

    /// Writes those of the registers that change.
    pub(super) fn set_all_registers(&mut self, cpu: usize, values: &Values) -> TargetResult<(), Self> {
        let machine = self.host.machine();
        match self.features.write_all(&machine.cpus[cpu], &machine.board, &values.0) {
            Some(changes) => changes.into_iter().try_for_each(|change| self.change(cpu, change)),
            None => self.refuse("a debugger cannot write one of these registers, or not with that many bytes"),
        }
    }
}

impl SingleRegisterAccess<Tid> for Target<'_> {
    fn read_register(&mut self, tid: Tid, Number(number): Number, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let cpu = self.select(tid)?;
        let Some(bytes) = self.register(cpu, number) else { return Err(TargetError::Errno(INVALID)) };
        let Some(room) = buf.get_mut(..bytes.len()) else { return Err(TargetError::Errno(INVALID)) };
        room.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_register(&mut self, tid: Tid, Number(number): Number, val: &[u8]) -> TargetResult<(), Self> {
        let cpu = self.select(tid)?;
        self.set_register(cpu, number, val)
    }
}

impl TargetDescriptionXmlOverride for Target<'_> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let Some(text) = self.features.description(annex) else { return Err(TargetError::Errno(0)) };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let part = &text.as_bytes()[start..];
        let part = &part[..part.len().min(length).min(buf.len())];
        buf[..part.len()].copy_from_slice(part);
        Ok(part.len())
    }
}
