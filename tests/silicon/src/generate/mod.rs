//! Random instruction sequences, each a function of a seed.
//!
//! A sequence is a few *units* laid out one after the other. A unit is mostly one instruction drawn from
//! the catalogue, sometimes with its bytes changed at random afterwards; sometimes it is a few that only make
//! sense together, such as a jump through a register that holds the target. Jumps go forward, to the start of another
//! unit or to the end, so that every sequence ends.
//!
//! What manuals leave undefined must not be compared, nor what is computed from it. So no instruction
//! reads a flag that may be undefined, and a case says which flags are at each of its instructions.

mod catalogue;
mod flags;
mod operands;
mod random;
mod start;

use std::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, MemorySize, Mnemonic};

pub use catalogue::{Family, is_allowed};
pub use flags::undefined_flags;
pub use random::Random;
pub use start::ENVIRONMENT_OFFSET;

use crate::memory::CODE_BASE;
use crate::state::UserState;
use catalogue::{Catalogue, decode, is_allowed_instruction};
use operands::Operands;
use start::{DataStock, Role, Start};

const MOST_UNITS: u64 = 8;
const DRAWS_PER_UNIT: usize = 64;
const POPF: u8 = 0x9d;

/// A sequence with all it starts from, and what of its result means nothing.
#[derive(Clone)]
pub struct Case {
    /// What it was made from; with the family, this makes it again.
    pub seed: u64,
    /// The instructions.
    pub code: Vec<u8>,
    /// The registers before the first one.
    pub state: UserState,
    /// The data area before the first one.
    pub data: Vec<u8>,
    /// Parts of the data area that hold what differs between processors that are both right.
    pub ignored: Vec<Range<usize>>,
    undefined: Vec<(u64, u64)>,
}

impl Case {
    /// The flags that are undefined when execution stands at `rip`.
    #[must_use]
    pub fn undefined_flags_at(&self, rip: u64) -> u64 {
        let at = rip.wrapping_sub(CODE_BASE);
        let known = self.undefined.iter().find(|(offset, _)| *offset == at);
        match known {
            Some(&(_, flags)) => flags,
            // Off the instructions' starts: whatever any of them left undefined.
            None => self.undefined.iter().fold(0, |all, (_, flags)| all | flags),
        }
    }
}

/// Makes cases.
pub struct Generator {
    catalogue: Catalogue,
    data: DataStock,
}

impl Default for Generator {
    fn default() -> Self {
        Self::new()
    }
}

impl Generator {
    /// Collects the instructions of every family.
    #[must_use]
    pub fn new() -> Self {
        Self { catalogue: Catalogue::new(), data: DataStock::new() }
    }

    /// How many encodings a family has.
    #[must_use]
    pub fn encodings(&self, family: Family) -> usize {
        self.catalogue.of(family).len()
    }

    /// The case of that seed, mostly of one family if one is given.
    #[must_use]
    pub fn case(&self, seed: u64, family: Option<Family>) -> Case {
        let mut random = Random::new(seed);
        loop {
            let Start { state, roles } = start::start(&mut random);
            let mut sequence = Sequence::new(&self.catalogue, &mut random, roles, family);
            sequence.build();
            let Sequence { code, ignored, undefined, .. } = sequence;
            // Patching a jump can, very seldom, make bytes that nothing may be entered at.
            if !is_allowed(&code) || mixes_environments(&code) {
                continue;
            }
            let data = self.data.draw(&mut random);
            return Case { seed, code, state, data, ignored, undefined };
        }
    }
}

/// Whether the sequence loads x87 state from where it saved some in another layout. What processors keep differently
/// (FOP, FIP, FDP) would then become what they must agree on.
fn mixes_environments(code: &[u8]) -> bool {
    let mut saved = None;
    let decoder = Decoder::with_ip(64, code, CODE_BASE, DecoderOptions::NONE);
    decoder.into_iter().any(|instruction| {
        use Mnemonic::{Fldenv, Fnsave, Fnstenv, Frstor, Fxrstor, Fxrstor64, Fxsave, Fxsave64};
        // The size tells the layout: that of an environment with the registers begins with the environment's.
        let layout = match instruction.memory_size() {
            MemorySize::FpuEnv14 | MemorySize::FpuState94 => 14,
            MemorySize::FpuEnv28 | MemorySize::FpuState108 => 28,
            _ => instruction.memory_size().size(),
        };
        let place = (layout, instruction.memory_base(), instruction.memory_displacement64());
        match instruction.mnemonic() {
            Fnsave | Fnstenv | Fxsave | Fxsave64 => {
                let mixed = saved.is_some_and(|before| before != place);
                saved = Some(place);
                mixed
            }
            Fldenv | Frstor | Fxrstor | Fxrstor64 => saved.is_some_and(|before| before != place),
            _ => false,
        }
    })
}

/// A place in the code that is to hold where a unit starts.
struct Fixup {
    at: usize,
    field: Field,
    unit: usize,
}

#[derive(Clone, Copy)]
enum Field {
    Relative8,
    Relative32,
    Absolute32,
}

/// A sequence in the making.
struct Sequence<'a> {
    catalogue: &'a Catalogue,
    random: &'a mut Random,
    roles: [Role; 16],
    family: Option<Family>,
    units: usize,
    code: Vec<u8>,
    starts: Vec<usize>,
    fixups: Vec<Fixup>,
    ignored: Vec<Range<usize>>,
    undefined: Vec<(u64, u64)>,
    undefined_now: u64,
    /// Units before this one may be jumped over, so that what they define may stay undefined.
    shadow_end: usize,
    is_over: bool,
}

impl<'a> Sequence<'a> {
    fn new(catalogue: &'a Catalogue, random: &'a mut Random, roles: [Role; 16], family: Option<Family>) -> Self {
        let units = 1 + random.below(MOST_UNITS) as usize;
        Self {
            catalogue,
            random,
            roles,
            family,
            units,
            code: Vec::new(),
            starts: Vec::new(),
            fixups: Vec::new(),
            ignored: Vec::new(),
            undefined: Vec::new(),
            undefined_now: 0,
            shadow_end: 0,
            is_over: false,
        }
    }

    fn build(&mut self) {
        while self.starts.len() < self.units && !self.is_over {
            self.starts.push(self.code.len());
            if !(0..DRAWS_PER_UNIT).any(|_| self.add_unit()) {
                self.is_over = true;
            }
        }
        self.undefined.push((self.code.len() as u64, self.undefined_now));
        for fixup in std::mem::take(&mut self.fixups) {
            self.apply(&fixup);
        }
    }

    fn family(&mut self) -> Family {
        match self.family {
            Some(family) if self.random.percent(75) => family,
            _ => self.random.pick(Family::on_host()),
        }
    }

    /// Whether a unit could be added; if not, nothing has changed.
    fn add_unit(&mut self) -> bool {
        match self.family() {
            Family::Control if self.random.percent(40) => self.add_indirect_branch(),
            Family::Stack if self.random.percent(10) => self.add_popf(),
            Family::Shift if self.random.percent(10) => self.add_double_shift_by_cl(),
            family => self.add_single(family),
        }
    }

    fn rip(&self) -> u64 {
        CODE_BASE + self.code.len() as u64
    }

    fn add_single(&mut self, family: Family) -> bool {
        let code = self.random.pick(self.catalogue.of(family));
        let rip = self.rip();
        let mut operands = Operands { random: self.random, roles: &self.roles };
        let Some(mut bytes) = operands.encode(code, rip) else {
            return false;
        };
        let has_target = matches!(
            code.flow_control(),
            FlowControl::ConditionalBranch
                | FlowControl::UnconditionalBranch
                | FlowControl::Call
                | FlowControl::IndirectBranch
                | FlowControl::IndirectCall
        );
        if !has_target && !operands::keeps_environment(code) && self.random.percent(8) {
            self.mutate(&mut bytes);
            if bytes.ends_with(&[POPF]) {
                // It would take its flags from wherever rsp points; `add_popf` gives it some.
                return false;
            }
        }
        self.add_instruction(&bytes)
    }

    /// Flips a bit, replaces a byte, or puts a prefix in front.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const PREFIXES: [u8; 26] = [
            0x66, 0x66, 0xf2, 0xf2, 0xf3, 0xf3, 0xf0, 0x67, 0x2e, 0x36, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47,
            0x48, 0x48, 0x49, 0x4a, 0x4c, 0x4d, 0x4f, 0x3e,
        ];
        let at = self.random.below(bytes.len() as u64) as usize;
        match self.random.below(4) {
            0 => bytes[at] ^= 1 << self.random.below(8),
            1 => bytes[at] = self.random.next() as u8,
            _ => bytes.insert(0, self.random.pick(&PREFIXES)),
        }
    }

    /// Appends an instruction if it may stand here: allowed, and reading nothing undefined.
    fn add_instruction(&mut self, bytes: &[u8]) -> bool {
        let instruction = self.decode_here(bytes);
        if !is_allowed_instruction(&instruction, bytes) {
            return false;
        }
        if instruction.is_invalid() {
            // #UD for certain; nothing after it would run.
            self.append(bytes, self.undefined_now);
            self.is_over = true;
            return true;
        }
        if instruction.near_branch_target() != 0 {
            return self.add_direct_branch(&instruction, bytes);
        }
        self.add_decoded(&instruction, bytes)
    }

    fn add_decoded(&mut self, instruction: &Instruction, bytes: &[u8]) -> bool {
        let read = if flags::stores_rflags(instruction) { u64::MAX } else { flags::flags_read(instruction) };
        if read & self.undefined_now != 0 || !self.note_environment(instruction) {
            return false;
        }
        let mut after = flags::undefined_after(instruction, self.undefined_now);
        if self.starts.len() <= self.shadow_end {
            after |= self.undefined_now;
        }
        self.append(bytes, after);
        true
    }

    /// Decodes with what follows a sequence behind it, so that an instruction cannot be cut short unnoticed.
    fn decode_here(&self, bytes: &[u8]) -> Instruction {
        let mut padded = bytes.to_vec();
        padded.extend_from_slice(&[0xff, 0x25, 0, 0, 0x07, 0]);
        padded.extend_from_slice(&[0xcc; 16]);
        decode(&padded, self.rip())
    }

    fn append(&mut self, bytes: &[u8], undefined_after: u64) {
        self.undefined.push((self.code.len() as u64, self.undefined_now));
        self.code.extend_from_slice(bytes);
        self.undefined_now = undefined_after;
    }

    /// Remembers which parts of an environment in memory differ between processors. False for one that does
    /// not lie where environments belong (a mutation can do that).
    fn note_environment(&mut self, instruction: &Instruction) -> bool {
        let loads_mxcsr = matches!(instruction.mnemonic(), Mnemonic::Ldmxcsr | Mnemonic::Vldmxcsr);
        if !operands::keeps_environment(instruction.code()) || loads_mxcsr {
            return true;
        }
        if !instruction.is_ip_rel_memory_operand() {
            return false;
        }
        let address = instruction.ip_rel_memory_address();
        let Some(offset) = address.checked_sub(crate::memory::DATA_BASE) else {
            return false;
        };
        let offset = offset as usize;
        if !(ENVIRONMENT_OFFSET..ENVIRONMENT_OFFSET + 16).contains(&offset) {
            return false;
        }
        for &(start, end) in processor_specific_parts(instruction.code()) {
            self.ignored.push(offset + start..offset + end);
        }
        true
    }

    /// A later unit, or the end.
    fn later_unit(&mut self) -> usize {
        let here = self.starts.len();
        let later = here + self.random.below(3) as usize;
        let unit = later.min(self.units);
        self.shadow_end = self.shadow_end.max(unit);
        unit
    }

    fn add_direct_branch(&mut self, instruction: &Instruction, bytes: &[u8]) -> bool {
        if flags::flags_read(instruction) & self.undefined_now != 0 {
            return false;
        }
        let is_short = is_short_branch(instruction.code());
        self.append(bytes, self.undefined_now);
        let unit = self.later_unit();
        let (field, len) = if is_short { (Field::Relative8, 1) } else { (Field::Relative32, 4) };
        self.fixups.push(Fixup { at: self.code.len() - len, field, unit });
        true
    }

    /// `mov reg, target`, and a jump or call through the register; or the target pushed, and a return.
    fn add_indirect_branch(&mut self) -> bool {
        let register = self.random.below(16) as u32;
        let (mov, branch): (Vec<u8>, Vec<u8>) = match self.random.below(4) {
            0 => (vec![0x68], vec![0xc3]),
            1 => (vec![0x68], vec![0xc2, self.random.below(64) as u8, 0]),
            kind => {
                let low = (register & 7) as u8;
                let operation = if kind == 2 { 0xe0 } else { 0xd0 };
                let (mut mov, mut branch) = (vec![0xb8 | low], vec![0xff, operation | low]);
                if register >= 8 {
                    mov.insert(0, 0x41);
                    branch.insert(0, 0x41);
                }
                (mov, branch)
            }
        };
        let mut first = mov;
        first.extend_from_slice(&[0; 4]);
        let at = self.code.len() + first.len() - 4;
        self.append(&first, self.undefined_now);
        self.append(&branch, self.undefined_now);
        let unit = self.later_unit();
        self.fixups.push(Fixup { at, field: Field::Absolute32, unit });
        true
    }

    /// `push flags; popf`, with flags that keep the sandbox in hand.
    fn add_popf(&mut self) -> bool {
        let flags = (self.random.next() & crate::state::STATUS_FLAGS) as u32;
        let mut push = vec![0x68];
        push.extend_from_slice(&flags.to_le_bytes());
        self.append(&push, self.undefined_now);
        let popf = [POPF];
        let decoded = self.decode_here(&popf);
        self.add_decoded(&decoded, &popf)
    }

    /// `mov cl, count; shld or shrd r16, r16, cl`, with a count that the manuals define.
    fn add_double_shift_by_cl(&mut self) -> bool {
        let count = self.random.below(17) as u8 | (self.random.next() as u8 & 0xe0);
        let count = if count & 31 > 16 { 16 } else { count };
        let opcode = self.random.pick(&[0xa5, 0xad]);
        let shift = [0x66, 0x0f, opcode, 0xc0 | (self.random.next() as u8 & 0x3f)];
        self.append(&[0xb1, count], self.undefined_now);
        // A count of zero defines nothing.
        let all_but_df = crate::state::STATUS_FLAGS & !(1 << 10);
        self.append(&shift, self.undefined_now | all_but_df);
        true
    }

    fn apply(&mut self, fixup: &Fixup) {
        let target = self.target(fixup.unit);
        match fixup.field {
            Field::Absolute32 => {
                let address = (CODE_BASE as usize + target) as u32;
                self.code[fixup.at..fixup.at + 4].copy_from_slice(&address.to_le_bytes());
            }
            Field::Relative32 => {
                let distance = (target - (fixup.at + 4)) as u32;
                self.code[fixup.at..fixup.at + 4].copy_from_slice(&distance.to_le_bytes());
            }
            Field::Relative8 => {
                let next = fixup.at + 1;
                let distance = if target - next > 127 { 0 } else { target - next };
                self.code[fixup.at] = distance as u8;
            }
        }
    }

    fn target(&self, unit: usize) -> usize {
        self.starts.get(unit).copied().unwrap_or(self.code.len())
    }
}

/// Opcode, instruction and data pointers, `MXCSR_MASK` and what is reserved, as offsets in what that instruction stores.
fn processor_specific_parts(code: Code) -> &'static [(usize, usize)] {
    match code {
        Code::Fnstenv_m14byte | Code::Fnsave_m94byte => &[(6, 14)],
        Code::Fnstenv_m28byte | Code::Fnsave_m108byte => &[(12, 28)],
        Code::Fxsave_m512byte | Code::Fxsave64_m512byte => &[(6, 24), (28, 32), (416, 512)],
        _ => &[],
    }
}

fn is_short_branch(code: Code) -> bool {
    use iced_x86::OpCodeOperandKind as K;
    code.op_code().op_kinds().contains(&K::br64_1)
}

#[cfg(test)]
mod tests;
