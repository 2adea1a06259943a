//! Loads and stores of the interpreter.
//!
//! The fast path is one tag compare in the [`Tlb`](super::tlb::Tlb); everything else, from a miss to a device, takes the
//! slow path below it.

use super::exec::{Exec, Outcome};
use super::op::Op;
use super::paging::{Access, Privilege, mode};
use super::word::Word;
use crate::board::Space;
use crate::cpu::{Exception, Vector, seg};
use crate::memory::{PAGE_SIZE, PageWatch};

/// Longest access that is checked as one: an FXSAVE or XSAVE area.
const LONGEST: usize = 4096;

impl Exec<'_> {
    /// Reads the memory operand.
    #[inline(always)]
    pub(crate) fn read<W: Word>(&mut self, op: &Op) -> Outcome<W> {
        let linear = self.ea(op, W::BYTES, false)?;
        self.load(linear, op.seg)
    }

    /// Writes the memory operand.
    #[inline(always)]
    pub(crate) fn write<W: Word>(&mut self, op: &Op, value: W) -> Outcome {
        let linear = self.ea(op, W::BYTES, true)?;
        self.store(linear, value, op.seg)
    }

    /// Reads the memory operand of an instruction that will write it: its linear address, for [`store`](Self::store),
    /// and its value. Faults as a write; after it the store cannot fault.
    #[inline(always)]
    pub(crate) fn read_for_write<W: Word>(&mut self, op: &Op) -> Outcome<(u64, W)> {
        let linear = self.ea(op, W::BYTES, true)?;
        if within_page::<W>(linear)
            && let Some(offset) = self.tlb.write(linear, self.data)
            && let Some(value) = W::load(&self.board.ram, offset)
        {
            return Ok((linear, value));
        }
        self.check_write(linear, W::BYTES, op.seg)?;
        Ok((linear, self.load(linear, op.seg)?))
    }

    /// Reads at a linear address. `segment` decides which fault a non-canonical address raises.
    #[inline(always)]
    pub(crate) fn load<W: Word>(&mut self, linear: u64, segment: u8) -> Outcome<W> {
        if within_page::<W>(linear)
            && let Some(offset) = self.tlb.read(linear, self.data)
            && let Some(value) = W::load(&self.board.ram, offset)
        {
            return Ok(value);
        }
        let privilege = self.data_privilege();
        self.load_slow(linear, segment, privilege)
    }

    /// Writes at a linear address.
    #[inline(always)]
    pub(crate) fn store<W: Word>(&mut self, linear: u64, value: W, segment: u8) -> Outcome {
        if within_page::<W>(linear)
            && let Some(offset) = self.tlb.write(linear, self.data)
        {
            value.store(&mut self.board.ram, offset);
            return Ok(());
        }
        let privilege = self.data_privilege();
        self.store_slow(linear, value, segment, privilege)
    }

    /// Reads at a linear address on behalf of the system: descriptor tables, task state (SDM vol. 3, 4.6, "implicit
    /// supervisor-mode accesses").
    pub(crate) fn load_system<W: Word>(&mut self, linear: u64) -> Outcome<W> {
        let (linear, id) = (self.system_linear(linear), self.context(Privilege::Supervisor).0);
        if within_page::<W>(linear)
            && let Some(offset) = self.tlb.read(linear, id)
            && let Some(value) = W::load(&self.board.ram, offset)
        {
            return Ok(value);
        }
        self.as_system(|x| x.load_slow(linear, seg::DS as u8, Privilege::Supervisor))
    }

    /// Writes at a linear address on behalf of the system.
    pub(crate) fn store_system<W: Word>(&mut self, linear: u64, value: W) -> Outcome {
        let linear = self.system_linear(linear);
        self.as_system(|x| x.store_slow(linear, value, seg::DS as u8, Privilege::Supervisor))
    }

    /// Writes with an explicit privilege: stacks of another privilege level.
    pub(crate) fn store_as<W: Word>(&mut self, linear: u64, value: W, segment: u8, privilege: Privilege) -> Outcome {
        let id = self.context(privilege).0;
        if within_page::<W>(linear)
            && let Some(offset) = self.tlb.write(linear, id)
        {
            value.store(&mut self.board.ram, offset);
            return Ok(());
        }
        self.store_slow(linear, value, segment, privilege)
    }

    fn system_linear(&self, linear: u64) -> u64 {
        if self.cpu.is_long_mode() { linear } else { linear & 0xffff_ffff }
    }

    /// Calls `access` with linear addresses as long mode has them, whatever the code segment says: compatibility mode
    /// has its system tables anywhere, too.
    pub(crate) fn as_system<T>(&mut self, access: impl FnOnce(&mut Self) -> T) -> T {
        let code = std::mem::replace(&mut self.is_64bit, self.cpu.is_long_mode());
        let result = access(self);
        self.is_64bit = code;
        result
    }

    /// Reads with an explicit privilege: stacks of another privilege level.
    #[cold]
    #[inline(never)]
    pub(crate) fn load_slow<W: Word>(&mut self, linear: u64, segment: u8, privilege: Privilege) -> Outcome<W> {
        let mut bytes = W::Bytes::default();
        self.check_access(linear, W::BYTES, segment, Access::Read, privilege)?;
        let first = W::BYTES.min(self.left_in_page(linear));
        let physical = self.physical(linear, Access::Read, privilege)?;
        if first == W::BYTES {
            self.read_physical(physical, bytes.as_mut());
        } else {
            let next = self.wrap_linear(linear.wrapping_add(first as u64));
            let second = self.physical(next, Access::Read, privilege)?;
            let (head, tail) = bytes.as_mut().split_at_mut(first);
            self.read_physical(physical, head);
            self.read_physical(second, tail);
        }
        self.note_linear(linear, W::BYTES, false);
        Ok(W::from_le(bytes))
    }

    /// Writes with an explicit privilege.
    #[cold]
    #[inline(never)]
    pub(crate) fn store_slow<W: Word>(&mut self, linear: u64, value: W, segment: u8, privilege: Privilege) -> Outcome {
        self.check_access(linear, W::BYTES, segment, Access::Write, privilege)?;
        let bytes = value.to_le();
        let bytes = bytes.as_ref();
        let first = W::BYTES.min(self.left_in_page(linear));
        let physical = self.physical(linear, Access::Write, privilege)?;
        if first == W::BYTES {
            self.write_physical(physical, bytes);
        } else {
            let next = self.wrap_linear(linear.wrapping_add(first as u64));
            let second = self.physical(next, Access::Write, privilege)?;
            self.write_physical(physical, &bytes[..first]);
            self.write_physical(second, &bytes[first..]);
        }
        self.note_linear(linear, W::BYTES, true);
        Ok(())
    }

    /// Makes sure that a write of `size` bytes (at most a page) will not fault.
    pub(crate) fn check_write(&mut self, linear: u64, size: usize, segment: u8) -> Outcome {
        let privilege = self.data_privilege();
        self.check_range(linear, size, segment, Access::Write, privilege)
    }

    /// Makes sure that a read of `size` bytes (at most a page) will not fault.
    pub(crate) fn check_read(&mut self, linear: u64, size: usize, segment: u8) -> Outcome {
        let privilege = self.data_privilege();
        self.check_range(linear, size, segment, Access::Read, privilege)
    }

    /// Makes sure that an access with an explicit privilege will not fault.
    pub(crate) fn check_range(
        &mut self,
        linear: u64,
        size: usize,
        segment: u8,
        access: Access,
        privilege: Privilege,
    ) -> Outcome {
        debug_assert!(size <= LONGEST);
        self.check_canonical(linear, size, segment)?;
        self.physical(linear, access, privilege)?;
        if size > self.left_in_page(linear) {
            let next = self.wrap_linear((linear | (PAGE_SIZE - 1)).wrapping_add(1));
            self.physical(next, access, privilege)?;
        }
        Ok(())
    }

    fn check_access(&mut self, linear: u64, size: usize, segment: u8, access: Access, privilege: Privilege) -> Outcome {
        self.check_canonical(linear, size, segment)?;
        if self.context(privilege).1.mode & mode::SLOW == 0 {
            return Ok(());
        }
        if self.checks_alignment() && privilege == Privilege::User && !linear.is_multiple_of(size.min(8) as u64) {
            return self.raise(Exception::with_code(Vector::AlignmentCheck, 0));
        }
        self.note_watched(linear, size, access == Access::Write);
        Ok(())
    }

    fn check_canonical(&mut self, linear: u64, size: usize, segment: u8) -> Outcome {
        let last = linear.wrapping_add(size as u64 - 1);
        if !self.is_64bit || (is_canonical(linear) && is_canonical(last)) {
            return Ok(());
        }
        let fault = if usize::from(segment) == seg::SS {
            Exception::with_code(Vector::StackFault, 0)
        } else {
            Exception::gp(0)
        };
        self.raise(fault)
    }

    /// The physical address of `linear`, or a page fault.
    pub(crate) fn physical(&mut self, linear: u64, access: Access, privilege: Privilege) -> Outcome<u64> {
        match self.translate(linear, access, privilege) {
            Ok(physical) => Ok(physical),
            Err(code) => self.raise(Exception::page_fault(code, linear)),
        }
    }

    fn left_in_page(&self, linear: u64) -> usize {
        (PAGE_SIZE - linear % PAGE_SIZE) as usize
    }

    /// Outside 64-bit mode linear addresses have 32 bits.
    fn wrap_linear(&self, linear: u64) -> u64 {
        if self.is_64bit { linear } else { linear & 0xffff_ffff }
    }

    /// Reads bytes of one page at a physical address.
    pub(crate) fn read_physical(&mut self, physical: u64, bytes: &mut [u8]) {
        if !self.is_apic_page(physical)
            && let Some(offset) = self.board.ram_offset(physical)
            && let Some(found) = self.board.ram.slice(offset, bytes.len())
        {
            bytes.copy_from_slice(found);
            self.note_physical(physical, bytes.len(), false, false);
            return;
        }
        self.sync_clock();
        for (at, part) in bytes.chunks_mut(8).enumerate() {
            let address = physical + 8 * at as u64;
            let value = if self.is_apic_page(physical) {
                let index = self.index();
                u64::from(self.board.apic_read(index, address & 0xfff))
            } else {
                self.board.read(Space::Memory, address, part.len())
            };
            part.copy_from_slice(&value.to_le_bytes()[..part.len()]);
        }
        self.after_device();
    }

    /// Writes bytes of one page at a physical address.
    pub(crate) fn write_physical(&mut self, physical: u64, bytes: &[u8]) {
        if !self.is_apic_page(physical)
            && let Some(offset) = self.board.ram_offset(physical)
        {
            self.board.ram.write(offset, bytes);
            self.note_physical(physical, bytes.len(), true, false);
            self.settle_writes();
            return;
        }
        self.sync_clock();
        for (at, part) in bytes.chunks(8).enumerate() {
            let address = physical + 8 * at as u64;
            let mut value = [0; 8];
            value[..part.len()].copy_from_slice(part);
            let value = u64::from_le_bytes(value);
            if self.is_apic_page(physical) {
                let index = self.index();
                self.board.apic_write(index, address & 0xfff, value as u32);
            } else {
                self.board.write(Space::Memory, address, part.len(), value);
            }
        }
        self.after_device();
    }

    /// After any access that reached a device: what it wrote is noticed, and what it asked for is looked after once the
    /// instruction is done.
    pub(crate) fn after_device(&mut self) {
        self.settle_writes();
        if self.board.leave_requested() {
            self.stop();
        }
    }

    /// Whether this vCPU's local APIC answers at the page of `physical`.
    #[inline]
    pub(crate) fn is_apic_page(&self, physical: u64) -> bool {
        // Enabled (bit 11), and not in x2APIC mode (bit 10).
        let base = self.board.apics[self.index()].base();
        base & 0xc00 == 0x800 && (physical ^ base) & 0xff_ffff_f000 == 0
    }

    /// The page of this vCPU's local APIC if RAM lies under it, or else 0.
    pub(crate) fn apic_over_ram(&self) -> u64 {
        let page = self.board.apics[self.index()].base() & 0xff_ffff_f000;
        if self.is_apic_page(page) && self.board.ram_offset(page).is_some() { page } else { 0 }
    }

    /// Tells the caches of writes to pages that they were made from. Translations go at once: later accesses of the
    /// same instruction must see the tables as they are. Code goes after the instruction, which was fetched already.
    pub(crate) fn settle_writes(&mut self) {
        if !self.board.ram.has_watched_writes() {
            return;
        }
        while let Some((offset, len)) = self.board.ram.take_watched_write() {
            if self.board.ram.is_watched(offset, PageWatch::PageTable) {
                self.table_written(offset, len);
            }
            if self.board.ram.is_watched(offset, PageWatch::Code) {
                self.code_writes.push((offset, len));
                self.stop();
            }
        }
    }

    /// Drops what was translated by page-table entries that were written.
    pub(crate) fn table_written(&mut self, offset: u64, len: u32) {
        let epoch = self.fetch_epoch();
        self.tlb.table_written(offset, len, &mut self.board.ram);
        if self.fetch_epoch() != epoch {
            // The next instruction may lie elsewhere now, or nowhere.
            self.stop();
        }
    }
}

/// Whether a word at `linear` lies in one page.
#[inline(always)]
fn within_page<W: Word>(linear: u64) -> bool {
    linear & (PAGE_SIZE - 1) <= PAGE_SIZE - W::BYTES as u64
}

/// Whether bits 47 to 63 are all alike (SDM vol. 1, 3.3.7.1 Canonical Addressing).
pub(crate) fn is_canonical(linear: u64) -> bool {
    (linear as i64) << 16 >> 16 == linear as i64
}
