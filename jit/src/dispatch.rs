//! Between native code and the interpreter: finds, translates and enters blocks, and settles what native code leaves for.

use crate::HostFeatures;
use crate::blocks::{Blocks, Dropped, Head};
use crate::code_memory::{CodeMemory, Full, Mark};
use crate::emitter::Emitter;
use crate::enter::{Frame, Leave, Native};
use crate::instruments::Instruments;
use crate::registers::{Slot, Word};
use crate::site::{Site, SiteKind};
use crate::stats::JitStats;
use crate::translate::flags::{FlagSlots, FlagsAt, to_raw};
use crate::translate::plan::Plan;
use crate::translate::translate;
use crate::variant::{BreakSets, Variant};
use crate::x87;
use reprise_core::cpu::{CpuState, Flags, Model, seg};
use reprise_core::interp::{Exec, Rest, Translator};
use reprise_core::memory::PAGE_SIZE;
use std::collections::{BTreeMap, BTreeSet};

/// A block is translated once it was interpreted so many times.
const THRESHOLD: u8 = 16;
/// A block whose accesses lie in two pages so often is translated anew.
const CROSSINGS: u16 = 64;
/// Sites beyond which everything is dropped.
const SITES: usize = 1 << 20;

/// What follows after native code left.
enum Next {
    /// It goes on at this host address.
    Enter(u64),
    /// It leaves the rest to the interpreter; flags are settled.
    Leave(Rest),
}

/// The code for an instruction.
struct Found {
    code: u64,
    /// The page of RAM in which the instruction, which is alone, goes on. No jump may lead to it directly.
    next: Option<u64>,
}

/// Runs guest code natively.
pub(crate) struct Dispatcher {
    model: &'static Model,
    host: HostFeatures,
    memory: CodeMemory,
    native: Native,
    emitter: Emitter,
    /// Where translations begin, after the thunks.
    start: Mark,
    /// Where the cold side begins.
    cold: u64,
    blocks: Blocks,
    sites: Vec<Site>,
    /// Retry point and address of the last miss, so that one that repeats is noticed.
    missed: (u64, u64),
    /// Blocks are translated once they were interpreted so many times.
    threshold: u8,
    /// How often the bytes of several accesses lay in two pages, by site.
    crossings: BTreeMap<u32, u16>,
    /// Offsets in RAM of blocks in which each access looks into the TLB by itself.
    apart: BTreeSet<u64>,
    /// Sets of breakpoints in a page.
    break_sets: BreakSets,
    instruments: Instruments,
}

impl Dispatcher {
    /// A dispatcher with so many bytes of code memory.
    pub(crate) fn new(model: &'static Model, bytes: usize, host: HostFeatures) -> std::io::Result<Self> {
        let mut memory = CodeMemory::new(bytes)?;
        let mut emitter = Emitter::new();
        let native = Native::emit(&mut emitter, &mut memory, host.avx2).expect("there is room for the thunks");
        let start = memory.mark();
        let cold = memory.cold_next();
        Ok(Self {
            model,
            host,
            memory,
            native,
            emitter,
            start,
            cold,
            blocks: Blocks::default(),
            sites: Vec::new(),
            missed: (0, 0),
            threshold: THRESHOLD,
            crossings: BTreeMap::new(),
            apart: BTreeSet::new(),
            break_sets: BreakSets::default(),
            instruments: Instruments::default(),
        })
    }

    /// From now on translates everything at once.
    pub(crate) fn translate_at_once(&mut self) {
        self.threshold = 0;
    }

    /// Lends it instruments.
    pub(crate) fn instrument(&mut self, mut instruments: Instruments) {
        instruments.name_thunks(&self.memory, self.start);
        self.instruments = instruments;
    }

    /// The model of the CPUs.
    pub(crate) fn model(&self) -> &'static Model {
        self.model
    }

    /// What the next instruction of `cpu` is translated under.
    pub(crate) fn variant_of(&self, cpu: &CpuState) -> Variant {
        Variant::of_state(cpu, self.host)
    }

    /// What it has counted.
    pub(crate) fn stats(&self) -> &JitStats {
        &self.instruments.stats
    }

    /// Whether this is the code of a block whose first instruction is the interpreter's: it lies on the cold side.
    fn only_leaves(&self, code: u64) -> bool {
        code >= self.cold
    }

    /// Counts the instruction that such a block leaves for.
    fn count_step(&mut self, code: u64) {
        // `mov r9d, site` has its operand after two bytes.
        let site = u32::from_le_bytes(self.memory.read(code + 2, 4).try_into().expect("four bytes"));
        self.instruments.stats.leaves.add(self.sites[site as usize].kind);
    }

    /// The code for the instruction at RIP, or who runs it.
    fn find(&mut self, x: &mut Exec<'_>, variant: Variant) -> Result<u64, Rest> {
        let rip = x.cpu.regs.rip();
        if let Some(code) = x.table().jump(rip) {
            return Ok(code);
        }
        Ok(self.look_for(x, variant)?.code)
    }

    /// As [`find`](Self::find), whatever the jump cache knows.
    fn look_for(&mut self, x: &mut Exec<'_>, variant: Variant) -> Result<Found, Rest> {
        let rip = x.cpu.regs.rip();
        let Some(offset) = x.code_place() else { return Err(Rest::Block) };
        let variant = self.near_breakpoints(x, variant);
        let found = match self.blocks.find(offset, variant) {
            Head::Code(code) => Found { code, next: None },
            Head::Crossing(code, next) if Self::next_page(x) == Some(next) => Found { code, next: Some(next) },
            Head::Cold(times) if times < self.threshold => {
                self.blocks.set(offset, variant, Head::Cold(times + 1), x.board.ram.len());
                return Err(Rest::Block);
            }
            Head::Cold(_) | Head::Crossing(..) => self.translate(x, offset, variant)?,
        };
        x.table().set_jump(rip, found.code);
        self.blocks.jumped_to(offset, rip);
        if let Some(next) = found.next {
            self.blocks.jumped_to(next, rip);
        }
        Ok(found)
    }

    /// The variant of code in the page of RIP: another one with each set of breakpoints there.
    fn near_breakpoints(&mut self, x: &mut Exec<'_>, variant: Variant) -> Variant {
        let offsets = x.breakpoints_near(x.cpu.regs.rip());
        if let Some(number) = self.break_sets.number(offsets) {
            return variant.with_breaks(number);
        }
        // Their code goes with the numbers.
        self.drop_all(x);
        self.break_sets = BreakSets::default();
        let offsets = x.breakpoints_near(x.cpu.regs.rip());
        variant.with_breaks(self.break_sets.number(offsets).expect("there are numbers again"))
    }

    /// Where in RAM the page after that of RIP is; it may only be asked for if the instruction at RIP goes on there.
    fn next_page(x: &mut Exec<'_>) -> Option<u64> {
        let linear = (x.cpu.regs.rip() & !(PAGE_SIZE - 1)).wrapping_add(PAGE_SIZE);
        x.code_place_at(linear)
    }

    /// The plan of the block at an offset of RAM, and the next page if its instruction goes on there.
    fn plan(&self, x: &mut Exec<'_>, offset: u64, variant: Variant) -> Option<(Plan, Option<u64>)> {
        let (base, within) = (offset & !(PAGE_SIZE - 1), (offset % PAGE_SIZE) as u16);
        let plan = Plan::new(x.board.ram.slice(base, PAGE_SIZE as usize)?, within, variant, self.model);
        let plan = plan.leave_at(x.breakpoints_near(x.cpu.regs.rip()));
        if !plan.is_crossing() {
            return Some((plan, None));
        }
        let next = Self::next_page(x)?;
        let (page, rest) = (x.board.ram.slice(base, PAGE_SIZE as usize)?, x.board.ram.slice(next, PAGE_SIZE as usize)?);
        let crossing = Plan::crossing(page, within, rest, variant, self.model);
        Some(if crossing.native() == 0 { (plan, None) } else { (crossing, Some(next)) })
    }

    fn translate(&mut self, x: &mut Exec<'_>, offset: u64, variant: Variant) -> Result<Found, Rest> {
        let begun = self.instruments.time();
        let Some((plan, next)) = self.plan(x, offset, variant) else { return Err(Rest::Block) };
        let ram = x.board.ram.len();
        self.depends(x, offset, variant, &plan, next);
        if self.sites.len() > SITES {
            self.drop_all(x);
            self.depends(x, offset, variant, &plan, next);
        }
        let near = !self.apart.contains(&offset);
        let code = self.emit(&plan, near).or_else(|Full| {
            self.drop_all(x);
            self.depends(x, offset, variant, &plan, next);
            self.emit(&plan, near)
        });
        let code = code.expect("a block fits into empty code memory");
        let head = next.map_or(Head::Code(code), |next| Head::Crossing(code, next));
        self.blocks.set(offset, variant, head, ram);
        self.instruments.translated(x.cpu.regs.rip(), &plan, &self.emitter, begun);
        Ok(Found { code, next })
    }

    /// Remembers what a block is made from, to hear when it is written.
    fn depends(&mut self, x: &mut Exec<'_>, offset: u64, variant: Variant, plan: &Plan, next: Option<u64>) {
        let ram = x.board.ram.len();
        let here = plan.bytes.min(PAGE_SIZE - offset % PAGE_SIZE);
        self.blocks.made_from(offset, here, ram);
        x.watch_code(offset);
        if let Some(next) = next {
            self.blocks.crosses(offset, variant, next, plan.bytes - here, ram);
            x.watch_code(next);
        }
    }

    fn emit(&mut self, plan: &Plan, near: bool) -> Result<u64, Full> {
        self.emitter.start(&self.memory);
        let code = if plan.native() == 0 { self.memory.cold_next() } else { self.memory.hot_next() };
        let first = self.sites.len() as u32;
        let sites = translate(plan, &mut self.emitter, self.native.thunks(), first, near);
        self.emitter.finish(&mut self.memory)?;
        self.sites.extend(sites);
        Ok(code)
    }

    /// Drops all code, and every way to it.
    fn drop_all(&mut self, x: &mut Exec<'_>) {
        self.flush();
        for table in x.tables() {
            table.forget_jumps();
        }
    }

    /// Puts what native code needs besides registers where it looks for it.
    fn fill_slots(x: &mut Exec<'_>) {
        let page = x.cpu.regs.rip() & !(PAGE_SIZE - 1);
        let (fs, gs) = (x.cpu.segs[seg::FS].base, x.cpu.segs[seg::GS].base);
        let (mxcsr, flags, kernel_gs) = (x.cpu.mxcsr, x.cpu.flags.get(), x.cpu.msrs.kernel_gs_base);
        let slots = x.table().slots();
        slots[Slot::Page.index()] = page;
        slots[Slot::FsBase.index()] = fs;
        slots[Slot::GsBase.index()] = gs;
        slots[Slot::Mxcsr.index()] = u64::from(mxcsr);
        slots[Slot::FlagsKind.index()] = u64::from(to_raw(flags)) << 32;
        let other = x.other_table().anchor() as u64;
        let words = x.table().words();
        words[Word::Active.index()] = 1;
        words[Word::OtherAnchor.index()] = other;
        words[Word::Interrupt.index()] = flags & Flags::IF;
        words[Word::Direction.index()] = flags & Flags::DF;
        words[Word::OtherFlags.index()] = flags & !(Flags::STATUS | Flags::IF | Flags::DF);
        words[Word::KernelGsBase.index()] = kernel_gs;
    }

    /// Takes back what native code may have changed besides registers and status flags.
    fn take_back(x: &mut Exec<'_>) {
        let gs = x.table().slots()[Slot::GsBase.index()];
        let words = *x.table().words();
        x.cpu.segs[seg::GS].base = gs;
        x.cpu.msrs.kernel_gs_base = words[Word::KernelGsBase.index()];
        x.cpu.flags.put(Flags::IF, words[Word::Interrupt.index()] != 0);
        x.cpu.flags.put(Flags::DF, words[Word::Direction.index()] != 0);
    }

    fn enter(&mut self, x: &mut Exec<'_>, code: u64) -> Leave {
        let anchor = x.table().anchor();
        let frame = Frame { registers: x.cpu.regs.file_mut(), vectors: &mut x.cpu.vectors };
        self.instruments.stats.entries += 1;
        let left = self.native.run(&mut self.memory, anchor, frame, code, x.budget as i64);
        let words = x.table().words();
        let access = words[Word::OtherFlags.index()] & Flags::AC != 0;
        if words[Word::Active.index()] == 0 || access != x.cpu.flags.has(Flags::AC) {
            x.toggle_access();
        }
        left
    }

    /// Settles what native code left for.
    fn settle(&mut self, x: &mut Exec<'_>, variant: Variant, left: Leave) -> Next {
        let site = self.sites[left.site as usize];
        x.budget = (left.budget + i64::from(site.refund)) as u64;
        self.instruments.stats.leaves.add(site.kind);
        if let Some(at) = site.x87 {
            let page = x.table().slots()[Slot::Page.index()];
            x87::note_pointer(x.table().x87(), page.wrapping_add(u64::from(at)));
        }
        match site.kind {
            SiteKind::Budget => Self::rest(x, &site, Rest::Block),
            SiteKind::Interpret(_) => Self::rest(x, &site, Rest::One),
            SiteKind::Miss { size, write, several } => self.miss(x, left.site as u32, size, write, several),
            SiteKind::LoadX87 => {
                if !x87::can_load(x.cpu) {
                    return Self::rest(x, &site, Rest::One);
                }
                let state = x.cpu.x87.clone();
                x87::load(&state, x.table().x87());
                x.budget -= u64::from(site.refund);
                Next::Enter(site.retry)
            }
            SiteKind::Flags => {
                Self::settle_flags(x, &site.flags);
                let raw = to_raw(x.cpu.flags.get());
                x.table().slots()[Slot::FlagsKind.index()] = u64::from(raw) << 32;
                x.budget -= u64::from(site.refund);
                Next::Enter(site.retry)
            }
            SiteKind::Link(field) => {
                let page = x.table().slots()[Slot::Page.index()];
                x.cpu.regs.set_rip(page.wrapping_add(u64::from(site.at)));
                self.go_on(x, variant, Some(field))
            }
            SiteKind::Jump(undo) => self.jump(x, variant, &site, undo),
        }
    }

    /// Goes on with the block at RIP, to which the jump at `link` may then lead directly. The flags are in their slots.
    fn go_on(&mut self, x: &mut Exec<'_>, variant: Variant, link: Option<u64>) -> Next {
        // Nothing is fetched before its time: that would set accessed bits.
        if x.must_stop() {
            return Self::settled(x, &FlagsAt::ENTRY, Rest::Nothing);
        }
        if x.is_breakpoint(x.cpu.regs.rip()) {
            return Self::settled(x, &FlagsAt::ENTRY, Rest::One);
        }
        let flushes = self.instruments.stats.flushes;
        let found = match link {
            Some(_) => self.look_for(x, variant),
            None => self.find(x, variant).map(|code| Found { code, next: None }),
        };
        match found {
            Ok(Found { code, next }) if !x.must_stop() => {
                // After a flush the jump is gone.
                if let Some(field) = link.filter(|_| next.is_none() && self.instruments.stats.flushes == flushes) {
                    self.memory.patch_rel32(field, code);
                    self.instruments.stats.links += 1;
                }
                Next::Enter(code)
            }
            found => Self::settled(x, &FlagsAt::ENTRY, found.err().unwrap_or(Rest::Nothing)),
        }
    }

    fn jump(&mut self, x: &mut Exec<'_>, variant: Variant, site: &Site, undo: Option<i32>) -> Next {
        let slots = x.table().slots();
        let (target, page) = (slots[Slot::Address.index()], slots[Slot::Page.index()]);
        if let Some(undo) = undo
            && (target as i64) << 16 >> 16 != target as i64
        {
            // Nothing can be there: the interpreter raises the exception, which finds the instruction not begun.
            let rsp = x.cpu.regs.get(reprise_core::cpu::reg::RSP).wrapping_sub(i64::from(undo) as u64);
            x.cpu.regs.set(reprise_core::cpu::reg::RSP, rsp);
            x.budget += 1;
            x.cpu.regs.set_rip(page.wrapping_add(u64::from(site.last)));
            return Self::settled(x, &site.flags, Rest::One);
        }
        slots[Slot::Page.index()] = target & !(PAGE_SIZE - 1);
        x.cpu.regs.set_rip(target);
        self.go_on(x, variant, None)
    }

    fn miss(&mut self, x: &mut Exec<'_>, number: u32, size: u16, write: bool, several: bool) -> Next {
        let site = self.sites[number as usize];
        let address = x.table().slots()[Slot::Address.index()];
        let crosses = address % PAGE_SIZE + u64::from(size) > PAGE_SIZE;
        if crosses && several {
            self.note_crossing(x, number);
        }
        let miss = (site.retry, address);
        let repeated = std::mem::replace(&mut self.missed, miss) == miss;
        let drops = x.dropped_translations();
        if crosses || repeated || !x.fill(address, write) {
            self.missed = (0, 0);
            self.instruments.stats.leaves.add_access();
            return Self::rest(x, &site, Rest::One);
        }
        if x.must_stop() {
            return Self::rest(x, &site, Rest::Nothing);
        }
        if x.dropped_translations() != drops {
            // Native code may rely on one of them: what it found out is forgotten with the block.
            return Self::rest(x, &site, Rest::One);
        }
        x.budget -= u64::from(site.refund);
        Next::Enter(site.retry)
    }

    /// Counts that the bytes of several accesses lie in two pages. Where that is so again and again, the page's code is
    /// dropped, and the block translated anew with a look into the TLB for each access.
    fn note_crossing(&mut self, x: &mut Exec<'_>, number: u32) {
        let times = self.crossings.entry(number).or_default();
        *times += 1;
        if *times < CROSSINGS {
            return;
        }
        let site = self.sites[number as usize];
        let page = x.table().slots()[Slot::Page.index()];
        x.cpu.regs.set_rip(page.wrapping_add(u64::from(site.at)));
        if let Some(offset) = x.code_place() {
            self.apart.insert(offset & !(PAGE_SIZE - 1) | u64::from(site.head));
            self.written(x, offset & !(PAGE_SIZE - 1), PAGE_SIZE as u32);
        }
    }

    /// Leaves the instruction of a site to the interpreter.
    fn rest(x: &mut Exec<'_>, site: &Site, rest: Rest) -> Next {
        let page = x.table().slots()[Slot::Page.index()];
        x.cpu.regs.set_rip(page.wrapping_add(u64::from(site.at)));
        Self::settled(x, &site.flags, rest)
    }

    /// Leaves the rest to the interpreter, with flags and MXCSR where it looks for them.
    fn settled(x: &mut Exec<'_>, flags: &FlagsAt, rest: Rest) -> Next {
        Self::settle_flags(x, flags);
        Self::store_mxcsr(x);
        Next::Leave(rest)
    }

    fn settle_flags(x: &mut Exec<'_>, at: &FlagsAt) {
        let slots = *x.table().slots();
        FlagSlots(&slots).settle(at, x.cpu);
    }

    fn store_mxcsr(x: &mut Exec<'_>) {
        x.cpu.mxcsr = x.table().slots()[Slot::Mxcsr.index()] as u32;
    }
}

impl Translator for Dispatcher {
    fn run(&mut self, x: &mut Exec<'_>) -> Rest {
        let variant = Variant::of(x, self.host);
        if variant.bitness() != 64 {
            return Rest::Block;
        }
        if x.is_breakpoint(x.cpu.regs.rip()) {
            return Rest::One;
        }
        // Native code may go over to the other table.
        x.other_table().keep_jumps_of(u64::from(variant.modes()));
        x.table().keep_jumps_of(u64::from(variant.modes()));
        let mut code = match self.find(x, variant) {
            Ok(_) if x.must_stop() => return Rest::Nothing,
            Ok(code) if self.only_leaves(code) => {
                self.count_step(code);
                return Rest::One;
            }
            Ok(code) => code,
            Err(rest) => return rest,
        };
        Self::fill_slots(x);
        loop {
            let left = self.enter(x, code);
            match self.settle(x, variant, left) {
                Next::Enter(next) => code = next,
                Next::Leave(rest) => {
                    Self::take_back(x);
                    let words = *x.table().x87();
                    if x87::unload(&words, &mut x.cpu.x87) {
                        x87::forget(x.table().x87());
                    }
                    return rest;
                }
            }
        }
    }

    fn written(&mut self, x: &mut Exec<'_>, offset: u64, len: u32) -> bool {
        let (dropped, known) = self.blocks.written(offset, len);
        match dropped {
            None => {}
            Some(Dropped::All) => x.tables().for_each(|table| table.forget_jumps()),
            Some(Dropped::Some(jumps)) => x.tables().for_each(|table| table.forget_some(&jumps)),
        }
        known
    }

    fn flush(&mut self) {
        self.blocks.flush();
        self.sites.clear();
        self.crossings.clear();
        self.apart.clear();
        self.memory.reset_to(self.start);
        self.missed = (0, 0);
        self.instruments.stats.flushes += 1;
    }
}
