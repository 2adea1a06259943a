use reprise_core::board::Board;
use reprise_core::cpu::{CpuState, Model, Segment, cr0, efer, reg, seg};
use reprise_core::engine::Engine;
use reprise_core::interp::Interpreter;
fn main() {
    let model = Model::find("x86-64-v2").unwrap();
    let mut board = Board::new(16 << 20, 1).unwrap();
    // loop: mov rax,[rdi]; add rax,rbx; mov [rdi+8],rax; inc rcx; xor rdx,rcx; shl rdx,3; cmp rcx,rsi; jne loop
    let code: &[u8] = &[
        0x48, 0x8b, 0x07, 0x48, 0x01, 0xd8, 0x48, 0x89, 0x47, 0x08, 0x48, 0xff, 0xc1, 0x48, 0x31, 0xca, 0x48, 0xc1,
        0xe2, 0x03, 0x48, 0x39, 0xf1, 0x75, 0xe7,
    ];
    board.dma_write(0x1000, code);
    let mut cpu = CpuState::new(0, model);
    cpu.cr0 |= cr0::PE;
    cpu.efer = efer::LME | efer::LMA;
    cpu.segs[seg::CS] = Segment::from_descriptor(8, 0x00af9b000000ffff);
    cpu.segs[seg::SS] = Segment::from_descriptor(16, 0x00cf93000000ffff);
    cpu.regs.set_rip(0x1000);
    cpu.regs.set(reg::RDI, 0x5000);
    cpu.regs.set(reg::RSI, u64::MAX);
    let mut e = Interpreter::new(model);
    let t = std::time::Instant::now();
    let n = 200_000_000u64;
    let mut done = 0;
    while done < n {
        done += e.run(&mut cpu, &mut board, 1_000_000).retired;
    }
    let s = t.elapsed().as_secs_f64();
    println!(
        "{} instr {:.1} MIPS rip {:x} rcx {}",
        done,
        done as f64 / s / 1e6,
        cpu.regs.rip(),
        cpu.regs.get(reg::RCX)
    );
}
