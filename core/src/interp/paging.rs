//! Walking page tables (SDM vol. 3, chapter 4 Paging).

use super::exec::Exec;
use super::memory::is_canonical;
use super::page_tables::{Gap, Leaf, Rights, Trail, descend, entry};
use super::tlb::{ContextId, ContextKey, Cover, Translation, UsedEntry};
use crate::cpu::{CpuState, Flags, cr0, cr4, efer};
use crate::memory::{PAGE_SIZE, PageWatch};

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Fetch,
}

/// On whose behalf memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Privilege {
    /// CPL 3.
    User = 0,
    /// CPL 0 to 2, or an implicit access of the system, with SMAP enforced.
    Supervisor = 1,
    /// CPL 0 to 2 with RFLAGS.AC set: SMAP not enforced.
    SupervisorAc = 2,
}

/// Mode bits of a [`ContextKey`].
pub(crate) mod mode {
    pub(crate) const PAGING: u32 = 1 << 0;
    pub(crate) const PAE: u32 = 1 << 1;
    pub(crate) const LONG: u32 = 1 << 2;
    pub(crate) const PSE: u32 = 1 << 3;
    pub(crate) const WP: u32 = 1 << 4;
    pub(crate) const NXE: u32 = 1 << 5;
    pub(crate) const SMEP: u32 = 1 << 6;
    pub(crate) const SMAP: u32 = 1 << 7;
    pub(crate) const USER: u32 = 1 << 8;
    /// Every access takes the slow path: a debug register watches, or alignment is checked.
    pub(crate) const SLOW: u32 = 1 << 9;
}

/// Page-fault error code bits (SDM vol. 3, figure 4-12).
pub(crate) mod fault {
    pub(crate) const PRESENT: u32 = 1;
    pub(crate) const WRITE: u32 = 2;
    pub(crate) const USER: u32 = 4;
    pub(crate) const RESERVED: u32 = 8;
    pub(crate) const FETCH: u32 = 16;
}

/// Physical address bits, as CPUID leaf 0x80000008 says.
pub(crate) const PHYSICAL_BITS: u32 = 40;
const PHYSICAL_MASK: u64 = (1 << PHYSICAL_BITS) - 1;

const A: u64 = 1 << 5;
const D: u64 = 1 << 6;

/// The result of a walk.
pub(crate) struct Walk {
    /// Physical address of the page that contains the linear address, 4 KiB of it.
    pub page: u64,
    /// Reads are permitted.
    pub read: bool,
    /// Writes are permitted and the dirty bit is set.
    pub write: bool,
}

/// The context key of a CPU's current paging mode for a privilege.
pub(crate) fn context_key(cpu: &CpuState, privilege: Privilege, slow: bool, apic: u64) -> ContextKey {
    let bit = |on: bool, flag: u32| if on { flag } else { 0 };
    let slow = bit(slow, mode::SLOW);
    let user = bit(privilege == Privilege::User, mode::USER);
    if cpu.cr0 & cr0::PG == 0 {
        return ContextKey { root: [0; 4], mode: slow, apic };
    }
    let long = cpu.efer & efer::LMA != 0;
    let pae = cpu.cr4 & cr4::PAE != 0;
    let smap = cpu.cr4 & cr4::SMAP != 0 && privilege == Privilege::Supervisor;
    let root = match (long, pae) {
        (true, _) => [cpu.cr3 & PHYSICAL_MASK & !0xfff, 0, 0, 0],
        (false, true) => cpu.pdptes,
        (false, false) => [cpu.cr3 & 0xffff_f000, 0, 0, 0],
    };
    let mode = mode::PAGING
        | bit(pae, mode::PAE)
        | bit(long, mode::LONG)
        | bit(cpu.cr4 & cr4::PSE != 0, mode::PSE)
        | bit(cpu.cr0 & cr0::WP != 0, mode::WP)
        | bit(cpu.efer & efer::NXE != 0, mode::NXE)
        | bit(cpu.cr4 & cr4::SMEP != 0, mode::SMEP)
        | bit(smap, mode::SMAP);
    ContextKey { root, mode: mode | user | slow, apic }
}

/// The privilege of ordinary data accesses.
pub(crate) fn data_privilege(cpu: &CpuState) -> Privilege {
    match (cpu.cpl(), cpu.flags.has(Flags::AC)) {
        (3, _) => Privilege::User,
        (_, true) => Privilege::SupervisorAc,
        (_, false) => Privilege::Supervisor,
    }
}

/// A translation that is asked for.
#[derive(Clone, Copy)]
struct Quest {
    linear: u64,
    access: Access,
    /// Mode bits, by [`mode`].
    mode: u32,
    context: ContextId,
}

impl Exec<'_> {
    /// Translates `linear` for `access` in a context; `Err` is a page fault's error code.
    fn walk(&mut self, linear: u64, access: Access, context: ContextId, key: &ContextKey) -> Result<Walk, u32> {
        let quest = Quest { linear, access, mode: key.mode, context };
        let mode = key.mode;
        if mode & mode::PAGING == 0 {
            return Ok(Walk { page: linear & !(PAGE_SIZE - 1), read: true, write: true });
        }
        match descend(self.board, key, linear) {
            Ok(leaf) => self.finish_walk(quest, &leaf),
            Err(Gap::Absent) => Err(self.code(0, access, mode)),
            Err(Gap::Reserved) => Err(self.code(fault::PRESENT | fault::RESERVED, access, mode)),
        }
    }

    /// Checks permission, sets accessed and dirty bits, and remembers the entries that were read.
    fn finish_walk(&mut self, quest: Quest, leaf: &Leaf) -> Result<Walk, u32> {
        let Quest { linear, access, mode, context } = quest;
        let Leaf { page, rights, trail } = leaf;
        let (read, write, exec) = permitted(rights, mode);
        let allowed = match access {
            Access::Read => read,
            Access::Write => write,
            Access::Fetch => exec,
        };
        if !allowed {
            return Err(self.code(fault::PRESENT, access, mode));
        }
        let dirty = self.set_walk_bits(access, trail);
        for level in trail.leaf..=trail.top {
            if let Some(offset) = self.board.ram_offset(trail.entries[level - 1].0) {
                let cover = Cover::new(linear, level, trail.size);
                let entry = UsedEntry { offset, cover, fetch: access == Access::Fetch };
                self.tlb.note_entry(&entry, context, &mut self.board.ram);
            }
        }
        Ok(Walk { page: *page, read, write: write && dirty })
    }

    /// Sets the accessed bits of a walk, and the dirty bit of one that writes; returns whether that is set now.
    fn set_walk_bits(&mut self, access: Access, trail: &Trail) -> bool {
        let mut dirty = false;
        for level in trail.leaf..=trail.top {
            let (address, entry) = trail.entries[level - 1];
            let bits = if level == trail.leaf && access == Access::Write { A | D } else { A };
            if entry & bits != bits {
                self.set_table_bits(address, bits, trail.size, access);
            }
            dirty |= level == trail.leaf && (entry | bits) & D != 0;
        }
        dirty
    }

    /// Sets accessed and dirty bits. Translations made from the entry stay true, so they are not dropped. The entry is
    /// read again: one that is used at two levels of a walk has changed since.
    fn set_table_bits(&mut self, address: u64, bits: u64, size: u64, access: Access) {
        let Some(offset) = self.board.ram_offset(address) else { return };
        let value = entry(self.board, address, size) | bits;
        self.board.ram.write_unseen(offset, &value.to_le_bytes()[..size as usize]);
        self.note_physical(address, size as usize, true, self.ahead || access == Access::Fetch);
        // Who reads the second of two 4-byte entries as part of one of 8 bytes sees another address.
        if size == 4 && offset & 4 != 0 && self.board.ram.is_watched(offset, PageWatch::PageTable) {
            self.table_written(offset, size as u32);
        }
        if self.board.ram.is_watched(offset, PageWatch::Code) {
            self.code_writes.push((offset, size as u32));
            // A fetch looks at what was written itself, before it executes anything.
            if access != Access::Fetch {
                self.stop();
            }
        }
    }

    fn code(&self, base: u32, access: Access, mode: u32) -> u32 {
        let user = if mode & mode::USER != 0 { fault::USER } else { 0 };
        let kind = match access {
            Access::Read => 0,
            Access::Write => fault::WRITE,
            Access::Fetch if mode & (mode::NXE | mode::SMEP) != 0 => fault::FETCH,
            Access::Fetch => 0,
        };
        base | user | kind
    }

    /// Translates the page of `linear` and remembers it; `Err` is a page fault's error code. The physical address of
    /// `linear` comes back.
    pub(crate) fn translate(&mut self, linear: u64, access: Access, privilege: Privilege) -> Result<u64, u32> {
        let (id, key) = self.context(privilege);
        if let Some(offset) = self.tlb.known(linear, id, access, &mut self.board.ram) {
            return Ok(self.board.physical_address(offset));
        }
        if self.tlb.is_full() {
            self.tlb.flush(&mut self.board.ram);
        }
        let walk = self.walk(linear, access, id, &key)?;
        let physical = walk.page | linear & (PAGE_SIZE - 1);
        let plain_address = !self.is_apic_page(walk.page);
        if let Some(page) = self.board.ram_offset(walk.page).filter(|_| plain_address && key.mode & mode::SLOW == 0) {
            if access == Access::Write {
                self.board.ram.mark_dirty(page);
            }
            // What is looked at each time has no translation that lets it pass.
            let looked = self.looked_at(linear, walk.page, access);
            let translation = Translation { page, read: walk.read && !looked.read, write: walk.write && !looked.write };
            self.tlb.insert(linear, id, access, &translation, &mut self.board.ram);
        }
        Ok(physical)
    }

    /// Makes the plain translation of a page available to native code, as an access to `linear` by the current code
    /// would, if that lies in the page whole and is the next to be made. If not, since the access would fault, or reach
    /// a device or a page where writes are watched, or must be looked at each time, then at most the accessed and dirty
    /// bits are set that it sets itself: the interpreter is to execute the instruction next.
    pub fn fill(&mut self, linear: u64, write: bool) -> bool {
        let privilege = self.data_privilege();
        let legal = if self.is_64bit { is_canonical(linear) } else { linear >> 32 == 0 };
        if !legal || self.context(privilege).1.mode & mode::SLOW != 0 || self.looks_at(linear, write) {
            return false;
        }
        let access = if write { Access::Write } else { Access::Read };
        self.ahead = true;
        let found = self.translate(linear, access, privilege);
        self.ahead = false;
        let cached = if write { self.tlb.write(linear, self.data) } else { self.tlb.read(linear, self.data) };
        found.is_ok() && cached.is_some()
    }
}

/// Which of read, write and fetch the rights permit (SDM vol. 3, 4.6.1 Determination of Access Rights).
fn permitted(rights: &Rights, mode: u32) -> (bool, bool, bool) {
    let executable = !(rights.no_execute && mode & mode::NXE != 0);
    if mode & mode::USER != 0 {
        return (rights.user, rights.user && rights.writable, rights.user && executable);
    }
    let data = !(rights.user && mode & mode::SMAP != 0);
    let write = data && (rights.writable || mode & mode::WP == 0);
    let exec = executable && !(rights.user && mode & mode::SMEP != 0);
    (data, write, exec)
}
