//! Instructions about the processor itself: CPUID, the time-stamp counter, XCR0 (SDM vol. 2). There are no performance
//! counters, so RDPMC raises #GP whatever its counter.

use crate::cpu::model::CpuidContext;
use crate::cpu::{Exception, cr4, reg, xcr0};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op, flag};
use iced_x86::Mnemonic;

impl Exec<'_> {
    /// The time-stamp counter at the current instruction: 1 GHz, as the tick.
    pub(super) fn time_stamp(&self) -> u64 {
        self.now().wrapping_add(self.cpu.msrs.tsc_offset)
    }

    /// EDX:EAX, as most instructions of this file and the next return 64 bits.
    pub(super) fn set_edx_eax(&mut self, value: u64) {
        self.cpu.regs.set32(reg::RAX, value as u32);
        self.cpu.regs.set32(reg::RDX, (value >> 32) as u32);
    }

    pub(super) fn edx_eax(&self) -> u64 {
        self.cpu.regs.get(reg::RDX) << 32 | self.cpu.regs.get(reg::RAX) & 0xffff_ffff
    }
}

fn cpuid(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let context = CpuidContext {
        apic_id: x.cpu.index,
        cpus: x.board.apics.len() as u32,
        has_apic: x.board.apics[x.index()].base() & 1 << 11 != 0,
        osxsave: x.cpu.cr4 & cr4::OSXSAVE != 0,
        xcr0: x.cpu.xcr0,
    };
    let leaf = x.cpu.regs.get(reg::RAX) as u32;
    let [eax, ebx, ecx, edx] = x.model.cpuid(leaf, x.cpu.regs.get(reg::RCX) as u32, &context);
    x.cpu.regs.set32(reg::RAX, eax);
    x.cpu.regs.set32(reg::RBX, ebx);
    x.cpu.regs.set32(reg::RCX, ecx);
    x.cpu.regs.set32(reg::RDX, edx);
    Ok(())
}

fn read_time_stamp(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    if x.cpu.cr4 & cr4::TSD != 0 && x.cpu.cpl() > 0 {
        return x.raise(Exception::gp(0));
    }
    x.set_edx_eax(x.time_stamp());
    Ok(())
}

fn read_time_stamp_and_processor(x: &mut Exec<'_>, op: &Op) -> Outcome {
    read_time_stamp(x, op)?;
    x.cpu.regs.set32(reg::RCX, x.cpu.msrs.tsc_aux as u32);
    Ok(())
}

fn read_performance_counter(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.raise(Exception::gp(0))
}

fn require_xcr0(x: &mut Exec<'_>) -> Outcome {
    if x.cpu.cr4 & cr4::OSXSAVE == 0 {
        return x.raise(Exception::ud());
    }
    if x.cpu.regs.get(reg::RCX) as u32 == 0 { Ok(()) } else { x.raise(Exception::gp(0)) }
}

fn get_xcr(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    require_xcr0(x)?;
    x.set_edx_eax(x.cpu.xcr0);
    Ok(())
}

fn set_xcr(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    require_xcr0(x)?;
    x.require_kernel()?;
    let value = x.edx_eax();
    let avx_alone = value & (xcr0::SSE | xcr0::AVX) == xcr0::AVX;
    if value & xcr0::X87 == 0 || avx_alone || value & !x.model.xsave_components() != 0 {
        return x.raise(Exception::gp(0));
    }
    x.cpu.xcr0 = value;
    x.stop();
    Ok(())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    Some(match l.insn.mnemonic() {
        Mnemonic::Cpuid => l.op(cpuid),
        Mnemonic::Rdtsc => l.op(read_time_stamp),
        Mnemonic::Rdtscp => l.op(read_time_stamp_and_processor),
        Mnemonic::Rdpmc => l.op(read_performance_counter),
        Mnemonic::Xgetbv => l.op(get_xcr),
        Mnemonic::Xsetbv => Op { flags: flag::ENDS_BLOCK, ..l.op(set_xcr) },
        _ => return None,
    })
}
