//! The instruction at which a vCPU is, for people.
//!
//! Page tables are walked without any effect (SDM vol. 3, 4.3 32-Bit Paging, 4.4 PAE Paging, 4.5 4-Level Paging):
//! permissions do not matter here, and accessed bits stay as they are.

use capstone::prelude::*;
use reprise_core::board::Board;
use reprise_core::cpu::{CpuState, cr0, cr4, seg};
use reprise_core::engine::HostCode;
use reprise_core::machine::Machine;
use reprise_core::memory::PAGE_SIZE;

/// Longest instruction.
const LONGEST: usize = 15;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Bits of an address in an entry of 8 bytes.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The instruction that `cpu` executes next, in Intel's syntax.
pub fn next_instruction(board: &Board, cpu: &CpuState) -> String {
    let bytes = bytes_at(board, cpu, code_address(cpu));
    match decode(&bytes, bits(cpu), cpu.regs.rip()) {
        Some((_, text)) => text,
        None if bytes.is_empty() => "(no memory can be fetched there)".into(),
        None => format!("(no instruction: {})", crate::dump::hex(&bytes)),
    }
}

/// What the engine of `machine` makes of the code that `cpu`, which is or was one of its vCPUs, executes next.
pub fn translated(machine: &Machine, cpu: &CpuState) -> Option<String> {
    let offset = translate(&machine.board, cpu, code_address(cpu)).and_then(|at| machine.board.ram_offset(at))?;
    let code = machine.describe_code(cpu, offset);
    let mut text = String::new();
    for HostCode { rip, usual, rare } in &code {
        text += &format!("  rip {rip:#x}:\n");
        for (name, bytes) in [("", usual), ("rarely: ", rare)] {
            host_lines(bytes).iter().for_each(|line| text += &format!("    {name}{line}\n"));
        }
    }
    (!code.is_empty()).then_some(text)
}

/// A line for each instruction of the host.
fn host_lines(bytes: &[u8]) -> Vec<String> {
    let capstone = Capstone::new().x86().mode(arch::x86::ArchMode::Mode64).syntax(arch::x86::ArchSyntax::Intel).build();
    let Ok(capstone) = capstone else { return Vec::new() };
    let Ok(decoded) = capstone.disasm_all(bytes, 0) else { return Vec::new() };
    let line = |insn: &capstone::Insn<'_>| {
        format!("{} {}", insn.mnemonic().unwrap_or("?"), insn.op_str().unwrap_or_default()).trim_end().to_owned()
    };
    decoded.iter().map(line).collect()
}

/// Bits of the code segment.
pub(crate) fn bits(cpu: &CpuState) -> u32 {
    match (cpu.is_64bit(), cpu.segs[seg::CS].is_big()) {
        (true, _) => 64,
        (false, true) => 32,
        (false, false) => 16,
    }
}

/// The linear address of the next instruction.
fn code_address(cpu: &CpuState) -> u64 {
    let rip = cpu.regs.rip();
    if cpu.is_64bit() { rip } else { cpu.segs[seg::CS].base.wrapping_add(rip) & 0xffff_ffff }
}

/// The first instruction of `bytes`: its length and text.
pub(crate) fn decode(bytes: &[u8], bits: u32, rip: u64) -> Option<(usize, String)> {
    let mode = match bits {
        64 => arch::x86::ArchMode::Mode64,
        32 => arch::x86::ArchMode::Mode32,
        _ => arch::x86::ArchMode::Mode16,
    };
    let capstone = Capstone::new().x86().mode(mode).syntax(arch::x86::ArchSyntax::Intel).build().ok()?;
    let decoded = capstone.disasm_count(bytes, rip, 1).ok()?;
    let instruction = decoded.first()?;
    let text = format!("{} {}", instruction.mnemonic()?, instruction.op_str().unwrap_or_default());
    Some((instruction.bytes().len(), text.trim_end().to_owned()))
}

/// The bytes from `linear` on, as many as an instruction can have and as there are.
fn bytes_at(board: &Board, cpu: &CpuState, linear: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST {
        let at = linear.wrapping_add(bytes.len() as u64);
        let Some(offset) = translate(board, cpu, at).and_then(|physical| board.ram_offset(physical)) else { break };
        let left = (PAGE_SIZE - at % PAGE_SIZE) as usize;
        let Some(part) = board.ram.slice(offset, left.min(LONGEST - bytes.len())) else { break };
        bytes.extend(part);
    }
    bytes
}

/// The physical address of `linear`.
fn translate(board: &Board, cpu: &CpuState, linear: u64) -> Option<u64> {
    if cpu.cr0 & cr0::PG == 0 {
        return Some(linear);
    }
    if cpu.is_long_mode() {
        return walk(board, cpu.cr3 & ADDRESS, linear, 4);
    }
    if cpu.cr4 & cr4::PAE == 0 {
        return walk_32(board, cpu, linear);
    }
    let pointer = cpu.pdptes[(linear >> 30 & 3) as usize];
    if pointer & PRESENT == 0 { None } else { walk(board, pointer & ADDRESS, linear, 2) }
}

/// Walks tables of 512 entries, `levels` deep.
fn walk(board: &Board, root: u64, linear: u64, levels: u32) -> Option<u64> {
    let mut table = root;
    for level in (1..=levels).rev() {
        let shift = 12 + 9 * (level - 1);
        let entry = u64::from_le_bytes(entry(board, table | (linear >> shift & 511) << 3)?);
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 1 || entry & LARGE != 0 {
            let inside = (1 << shift) - 1;
            return Some(entry & ADDRESS & !inside | linear & inside);
        }
        table = entry & ADDRESS;
    }
    None
}

/// Walks the two tables of 1024 entries.
fn walk_32(board: &Board, cpu: &CpuState, linear: u64) -> Option<u64> {
    let read = |table: u64, index: u64| {
        let entry = u64::from(u32::from_le_bytes(entry(board, table + index * 4)?));
        (entry & PRESENT != 0).then_some(entry)
    };
    let directory = read(cpu.cr3 & 0xffff_f000, linear >> 22 & 1023)?;
    if directory & LARGE != 0 && cpu.cr4 & cr4::PSE != 0 {
        return Some(directory & 0xffc0_0000 | (directory >> 13 & 0xff) << 32 | linear & 0x3f_ffff);
    }
    let page = read(directory & 0xffff_f000, linear >> 12 & 1023)?;
    Some(page & 0xffff_f000 | linear & 0xfff)
}

fn entry<const N: usize>(board: &Board, address: u64) -> Option<[u8; N]> {
    board.ram.get(board.ram_offset(address)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::cpu::{Model, efer};

    fn cpu() -> CpuState {
        CpuState::new(0, Model::find(Model::DEFAULT).unwrap())
    }

    #[test]
    fn the_width_of_the_code_decides() {
        let code = [0xb8, 1, 2, 3, 4];
        assert_eq!(decode(&code, 16, 0), Some((3, "mov ax, 0x201".into())));
        assert_eq!(decode(&code, 32, 0), Some((5, "mov eax, 0x4030201".into())));
        assert_eq!(decode(&[0xeb, 0xfe], 64, 0x1000), Some((2, "jmp 0x1000".into())));
        assert_eq!(decode(&[0x0f], 64, 0), None);
    }

    #[test]
    fn real_mode_code_is_found() {
        let mut board = Board::new(1 << 20, 1).unwrap();
        board.dma_write(0x7c03, &[0xec]);
        let mut cpu = cpu();
        cpu.segs[seg::CS].base = 0x7c00;
        cpu.regs.set_rip(3);
        assert_eq!(next_instruction(&board, &cpu), "in al, dx");
        cpu.segs[seg::CS].base = 0xc000_0000;
        assert_eq!(next_instruction(&board, &cpu), "(no memory can be fetched there)");
    }

    #[test]
    fn tables_are_walked_in_every_mode() {
        let mut board = Board::new(16 << 20, 1).unwrap();
        let mut cpu = cpu();
        (cpu.cr0, cpu.cr3) = (cpu.cr0 | cr0::PG | cr0::PE, 0x1000);
        let mut put = |address: u64, entry: u64| board.dma_write(address, &entry.to_le_bytes());
        // 4 levels: 1000h, 2000h, 3000h, 4000h; entry 1 of 3000h maps 2 MiB.
        put(0x1000, 0x2001);
        put(0x2000, 0x3001);
        put(0x3000, 0x4001);
        put(0x3008, 0x40_0081);
        put(0x4000 + 8 * 5, 0x7001);
        // 32 bits: 5000h, 6000h.
        put(0x5000, 0x6001 | 0x0080_0081 << 32);
        put(0x6000, 0x9001 << 32);
        (cpu.efer, cpu.cr4) = (efer::LMA | efer::LME, cr4::PAE);
        assert_eq!(translate(&board, &cpu, 0x5123), Some(0x7123));
        assert_eq!(translate(&board, &cpu, 0x6123), None);
        assert_eq!(translate(&board, &cpu, 0x20_0123), Some(0x40_0123));
        (cpu.efer, cpu.pdptes) = (0, [0x3001, 0, 0, 0]);
        assert_eq!(translate(&board, &cpu, 0x5123), Some(0x7123));
        assert_eq!(translate(&board, &cpu, 0x4000_0000), None);
        (cpu.cr3, cpu.cr4) = (0x5000, cr4::PSE);
        assert_eq!(translate(&board, &cpu, 0x1234), Some(0x9234));
        assert_eq!(translate(&board, &cpu, 0x40_1234), Some(0x80_1234));
    }
}
