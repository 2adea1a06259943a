//! Moves, conversions, the stack and address computation (SDM vol. 1, 7.3.1 Data Transfer Instructions).

use super::control::{Condition, by_condition};
use super::operand::{Imm, Mem, Reg, Rm, Source, Target, by_size};
use crate::cpu::{reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::{ConditionCode, Mnemonic};

fn mov<W: Integer, D: Target, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = S::get::<W>(x, op)?;
    D::set(x, op, value)
}

/// MOV between the accumulator and an absolute offset of up to 64 bits, which is in the immediate.
fn mov_offset<W: Integer, const STORE: bool>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let linear = x.linear(op.seg, op.imm, W::BYTES, STORE)?;
    if STORE {
        let value = W::get(x, reg::RAX);
        return x.store(linear, value, op.seg);
    }
    x.load::<W>(linear, op.seg)?.set(x, reg::RAX);
    Ok(())
}

fn mov_zero_extended<W: Integer, N: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = S::get::<N>(x, op)?;
    W::truncate(value.zero_extend()).set(x, op.reg);
    Ok(())
}

fn mov_sign_extended<W: Integer, N: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = S::get::<N>(x, op)?;
    W::truncate(value.sign_extend()).set(x, op.reg);
    Ok(())
}

fn lea<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    W::truncate(x.offset(op)).set(x, op.reg);
    Ok(())
}

fn exchange<W: Integer, D: Target>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (place, old) = D::take::<W>(x, op)?;
    let new = W::get(x, op.rm);
    D::put(x, op, place, new)?;
    old.set(x, op.rm);
    Ok(())
}

fn conditional_move<C: Condition, W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    // The source is read, and may fault, whatever the condition says; a 32-bit destination is zero-extended, too.
    let source = S::get::<W>(x, op)?;
    let value = if C::holds(&x.cpu.flags) { source } else { W::get(x, op.reg) };
    value.set(x, op.reg);
    Ok(())
}

fn set_on<C: Condition, D: Target>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = u8::from(C::holds(&x.cpu.flags));
    D::set(x, op, value)
}

fn convert_accumulator<W: Integer, N: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let value = N::get(x, reg::RAX).sign_extend();
    W::truncate(value).set(x, reg::RAX);
    Ok(())
}

fn extend_to_dx<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let sign = (W::get(x, reg::RAX).sign_extend() as i64) >> 63;
    W::truncate(sign as u64).set(x, reg::RDX);
    Ok(())
}

fn byte_swap<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = W::get(x, op.reg).zero_extend();
    // Of a 16-bit register the result is undefined: zero, as processors have it.
    let swapped = if W::BYTES == 2 { 0 } else { value.swap_bytes() >> (64 - W::BITS) };
    W::truncate(swapped).set(x, op.reg);
    Ok(())
}

fn translate_byte(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let base = x.cpu.regs.get(reg::RBX).wrapping_add(u64::from(u8::get(x, reg::RAX)));
    let offset = x.wrap(base, op.address_size);
    let linear = x.linear(op.seg, offset, 1, false)?;
    x.load::<u8>(linear, op.seg)?.set(x, reg::RAX);
    Ok(())
}

fn nop(_x: &mut Exec<'_>, _op: &Op) -> Outcome {
    Ok(())
}

/// The stack: what other families push and pop with, too.
impl Exec<'_> {
    /// Sets the stack pointer, of the stack's width.
    #[inline(always)]
    pub(crate) fn set_stack_pointer(&mut self, value: u64) {
        match self.stack_size() {
            8 => self.cpu.regs.set(reg::RSP, value),
            4 => self.cpu.regs.set32(reg::RSP, value as u32),
            _ => self.cpu.regs.set16(reg::RSP, value as u16),
        }
    }

    /// Pushes a value; RSP moves only if the store did not fault.
    #[inline(always)]
    pub(crate) fn push<W: Integer>(&mut self, value: W) -> Outcome {
        let below = self.cpu.regs.get(reg::RSP).wrapping_sub(W::BYTES as u64);
        let top = self.wrap(below, self.stack_size());
        let linear = self.linear(seg::SS as u8, top, W::BYTES, true)?;
        self.store(linear, value, seg::SS as u8)?;
        self.set_stack_pointer(below);
        Ok(())
    }

    /// Reads the value `depth` bytes above the top of the stack, without popping.
    #[inline(always)]
    pub(crate) fn peek_stack<W: Integer>(&mut self, depth: u64) -> Outcome<W> {
        let top = self.wrap(self.cpu.regs.get(reg::RSP).wrapping_add(depth), self.stack_size());
        let linear = self.linear(seg::SS as u8, top, W::BYTES, false)?;
        self.load(linear, seg::SS as u8)
    }

    /// Moves the stack pointer up by `bytes`.
    #[inline(always)]
    pub(crate) fn release_stack(&mut self, bytes: u64) {
        let above = self.cpu.regs.get(reg::RSP).wrapping_add(bytes);
        self.set_stack_pointer(above);
    }

    /// Pops a value.
    #[inline(always)]
    pub(crate) fn pop<W: Integer>(&mut self) -> Outcome<W> {
        let value = self.peek_stack(0)?;
        self.release_stack(W::BYTES as u64);
        Ok(value)
    }
}

fn push_value<W: Integer, S: Source>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = S::get::<W>(x, op)?;
    x.push(value)
}

fn pop_register<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let value = x.pop::<W>()?;
    value.set(x, op.reg);
    Ok(())
}

/// POP to memory: the address is computed with RSP as it is after the pop (SDM vol. 2, POP).
fn pop_memory<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let before = x.cpu.regs.get(reg::RSP);
    let value = x.pop::<W>()?;
    let result = x.write(op, value);
    if result.is_err() {
        x.cpu.regs.set(reg::RSP, before);
    }
    result
}

fn push_all<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let before = x.cpu.regs.get(reg::RSP);
    for register in reg::RAX..=reg::RDI {
        let value = if register == reg::RSP { W::truncate(before) } else { W::get(x, register) };
        if let Err(trap) = x.push(value) {
            x.cpu.regs.set(reg::RSP, before);
            return Err(trap);
        }
    }
    Ok(())
}

fn pop_all<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let mut values = [W::default(); 8];
    for (at, value) in values.iter_mut().enumerate() {
        *value = x.peek_stack((at * W::BYTES) as u64)?;
    }
    x.release_stack(8 * W::BYTES as u64);
    for (at, value) in values.into_iter().enumerate() {
        let register = reg::RDI - at as u8;
        if register != reg::RSP {
            value.set(x, register);
        }
    }
    Ok(())
}

/// ENTER (SDM vol. 2): the size is in `imm`, the nesting level in `third`.
fn enter<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let (before, level) = (x.cpu.regs.get(reg::RSP), op.third & 31);
    let result = enter_frames::<W>(x, op, level);
    if result.is_err() {
        x.cpu.regs.set(reg::RSP, before);
    }
    result
}

fn enter_frames<W: Integer>(x: &mut Exec<'_>, op: &Op, level: u8) -> Outcome {
    x.push(W::get(x, reg::RBP))?;
    let frame = x.cpu.regs.get(reg::RSP);
    let bytes = W::BYTES as u64;
    for at in 1..u64::from(level) {
        let outer = x.wrap(x.cpu.regs.get(reg::RBP).wrapping_sub(at * bytes), x.stack_size());
        let linear = x.linear(seg::SS as u8, outer, W::BYTES, false)?;
        let pointer = x.load::<W>(linear, seg::SS as u8)?;
        x.push(pointer)?;
    }
    if level > 0 {
        x.push(W::truncate(frame))?;
    }
    let top = x.cpu.regs.get(reg::RSP).wrapping_sub(op.imm);
    // The new top must be writable (SDM vol. 2, ENTER, "Protected Mode Exceptions").
    let at = x.wrap(top, x.stack_size());
    let linear = x.linear(seg::SS as u8, at, W::BYTES, true)?;
    x.check_write(linear, W::BYTES, seg::SS as u8)?;
    x.set_stack_pointer(top);
    W::truncate(frame).set(x, reg::RBP);
    Ok(())
}

fn leave<W: Integer>(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let frame = x.wrap(x.cpu.regs.get(reg::RBP), x.stack_size());
    let linear = x.linear(seg::SS as u8, frame, W::BYTES, false)?;
    let value = x.load::<W>(linear, seg::SS as u8)?;
    x.set_stack_pointer(frame.wrapping_add(W::BYTES as u64));
    value.set(x, reg::RBP);
    Ok(())
}

fn lower_mov(l: &Lowering<'_>) -> Option<Op> {
    use iced_x86::Code::{
        Mov_AL_moffs8, Mov_AX_moffs16, Mov_EAX_moffs32, Mov_RAX_moffs64, Mov_moffs8_AL, Mov_moffs16_AX,
        Mov_moffs32_EAX, Mov_moffs64_RAX,
    };
    let absolute: Option<Handler> = match l.insn.code() {
        Mov_AL_moffs8 => Some(mov_offset::<u8, false>),
        Mov_AX_moffs16 => Some(mov_offset::<u16, false>),
        Mov_EAX_moffs32 => Some(mov_offset::<u32, false>),
        Mov_RAX_moffs64 => Some(mov_offset::<u64, false>),
        Mov_moffs8_AL => Some(mov_offset::<u8, true>),
        Mov_moffs16_AX => Some(mov_offset::<u16, true>),
        Mov_moffs32_EAX => Some(mov_offset::<u32, true>),
        Mov_moffs64_RAX => Some(mov_offset::<u64, true>),
        _ => None,
    };
    if let Some(run) = absolute {
        return Some(Op { imm: l.insn.memory_displacement64(), ..l.op(run) });
    }
    let general = |index: u32| l.is_register(index) && !l.insn.op_register(index).is_gpr();
    if general(0) || general(1) {
        return None;
    }
    let size = l.operand_size(0);
    let run: Handler = match (l.is_register(0), l.is_register(1), l.is_memory(1)) {
        (true, true, _) => by_size!(size, mov, Reg, Rm),
        (true, _, true) => by_size!(size, mov, Reg, Mem),
        (true, ..) => by_size!(size, mov, Reg, Imm),
        (false, true, _) => by_size!(size, mov, Mem, Rm),
        (false, ..) => by_size!(size, mov, Mem, Imm),
    };
    let mut op = l.op(run);
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    match (l.is_register(1), l.is_immediate(1)) {
        (true, _) => op.rm = l.register(1),
        (_, true) => op.imm = l.immediate(1),
        _ => {}
    }
    Some(op)
}

/// Ops with a register destination and a register or memory source.
pub(super) fn register_from(l: &Lowering<'_>, register: Handler, memory: Handler) -> Op {
    if l.is_register(1) {
        return Op { reg: l.register(0), rm: l.register(1), ..l.op(register) };
    }
    Op { reg: l.register(0), ..l.op(memory) }
}

fn lower_extension(l: &Lowering<'_>, signed: bool) -> Op {
    macro_rules! pick {
        ($handler:ident, $source:ty) => {
            match (l.operand_size(0), l.operand_size(1)) {
                (2, 1) => $handler::<u16, u8, $source>,
                (2, _) => $handler::<u16, u16, $source>,
                (4, 1) => $handler::<u32, u8, $source>,
                (4, 2) => $handler::<u32, u16, $source>,
                (4, _) => $handler::<u32, u32, $source>,
                (_, 1) => $handler::<u64, u8, $source>,
                (_, 2) => $handler::<u64, u16, $source>,
                (_, _) => $handler::<u64, u32, $source>,
            }
        };
    }
    if signed {
        register_from(l, pick!(mov_sign_extended, Rm), pick!(mov_sign_extended, Mem))
    } else {
        register_from(l, pick!(mov_zero_extended, Rm), pick!(mov_zero_extended, Mem))
    }
}

fn lower_exchange(l: &Lowering<'_>) -> Op {
    let size = l.operand_size(0);
    // Either operand may be the memory one.
    let memory = if l.is_memory(0) { Some(1) } else { l.is_memory(1).then_some(0) };
    match memory {
        Some(register) => Op { rm: l.register(register), ..l.op(by_size!(size, exchange, Mem)) },
        None => Op { reg: l.register(0), rm: l.register(1), ..l.op(by_size!(size, exchange, Reg)) },
    }
}

/// Handlers for a stack operand of 2, 4 or 8 bytes.
macro_rules! stack_size {
    ($size:expr, $handler:ident $(, $parameter:ty)*) => {
        match $size {
            2 => $handler::<u16 $(, $parameter)*>,
            4 => $handler::<u32 $(, $parameter)*>,
            _ => $handler::<u64 $(, $parameter)*>,
        }
    };
}

fn lower_push(l: &Lowering<'_>) -> Option<Op> {
    let size = l.insn.stack_pointer_increment().unsigned_abs();
    if l.is_register(0) {
        if !l.insn.op_register(0).is_gpr() {
            return None;
        }
        return Some(Op { reg: l.register(0), ..l.op(stack_size!(size, push_value, Reg)) });
    }
    if l.is_immediate(0) {
        return Some(Op { imm: l.immediate(0), ..l.op(stack_size!(size, push_value, Imm)) });
    }
    Some(l.op(stack_size!(size, push_value, Mem)))
}

fn lower_pop(l: &Lowering<'_>) -> Option<Op> {
    let size = l.insn.stack_pointer_increment().unsigned_abs();
    if !l.is_register(0) {
        return Some(l.op(stack_size!(size, pop_memory)));
    }
    if !l.insn.op_register(0).is_gpr() {
        return None;
    }
    Some(Op { reg: l.register(0), ..l.op(stack_size!(size, pop_register)) })
}

fn lower_enter(l: &Lowering<'_>) -> Op {
    let run: Handler = match l.insn.mnemonic() {
        Mnemonic::Enter => match l.insn.code() {
            iced_x86::Code::Enterw_imm16_imm8 => enter::<u16>,
            iced_x86::Code::Enterd_imm16_imm8 => enter::<u32>,
            _ => enter::<u64>,
        },
        _ => match l.insn.code() {
            iced_x86::Code::Leavew => leave::<u16>,
            iced_x86::Code::Leaved => leave::<u32>,
            _ => leave::<u64>,
        },
    };
    let mut op = l.op(run);
    if l.insn.mnemonic() == Mnemonic::Enter {
        op.imm = l.immediate(0) & 0xffff;
        op.third = l.immediate(1) as u8;
    }
    op
}

fn lower_conditional(l: &Lowering<'_>) -> Option<Op> {
    let condition = l.insn.condition_code();
    if condition == ConditionCode::None {
        return None;
    }
    if l.insn.op_count() == 1 {
        let (register, memory): (Handler, Handler) =
            (by_condition!(condition, set_on, Reg), by_condition!(condition, set_on, Mem));
        return Some(if l.is_register(0) { Op { reg: l.register(0), ..l.op(register) } } else { l.op(memory) });
    }
    let (register, memory): (Handler, Handler) = match l.operand_size(0) {
        2 => {
            (by_condition!(condition, conditional_move, u16, Rm), by_condition!(condition, conditional_move, u16, Mem))
        }
        4 => {
            (by_condition!(condition, conditional_move, u32, Rm), by_condition!(condition, conditional_move, u32, Mem))
        }
        _ => {
            (by_condition!(condition, conditional_move, u64, Rm), by_condition!(condition, conditional_move, u64, Mem))
        }
    };
    Some(register_from(l, register, memory))
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use iced_x86::Mnemonic as M;
    let size = l.operand_size(0);
    Some(match l.insn.mnemonic() {
        M::Mov => return lower_mov(l),
        M::Movzx => lower_extension(l, false),
        M::Movsx | M::Movsxd => lower_extension(l, true),
        M::Movnti => Op { rm: l.register(1), ..l.op(by_size!(size, mov, Mem, Rm)) },
        M::Lea => Op { reg: l.register(0), ..l.op(by_size!(size, lea)) },
        M::Xchg => lower_exchange(l),
        M::Push => return lower_push(l),
        M::Pop => return lower_pop(l),
        M::Pusha => l.op(push_all::<u16>),
        M::Pushad => l.op(push_all::<u32>),
        M::Popa => l.op(pop_all::<u16>),
        M::Popad => l.op(pop_all::<u32>),
        M::Enter | M::Leave => lower_enter(l),
        M::Cbw => l.op(convert_accumulator::<u16, u8>),
        M::Cwde => l.op(convert_accumulator::<u32, u16>),
        M::Cdqe => l.op(convert_accumulator::<u64, u32>),
        M::Cwd => l.op(extend_to_dx::<u16>),
        M::Cdq => l.op(extend_to_dx::<u32>),
        M::Cqo => l.op(extend_to_dx::<u64>),
        M::Bswap => Op { reg: l.register(0), ..l.op(by_size!(size, byte_swap)) },
        M::Xlatb => Op { address_size: xlat_address_size(l), ..l.op(translate_byte) },
        M::Nop
        | M::Endbr64
        | M::Endbr32
        | M::Reservednop
        | M::Rdsspd
        | M::Rdsspq
        | M::Prefetcht0
        | M::Prefetcht1
        | M::Prefetcht2
        | M::Prefetchnta
        | M::Prefetchw
        | M::Prefetch
        | M::Cldemote
        | M::Lfence
        | M::Mfence
        | M::Sfence => l.op(nop),
        M::Cmova
        | M::Cmovae
        | M::Cmovb
        | M::Cmovbe
        | M::Cmove
        | M::Cmovg
        | M::Cmovge
        | M::Cmovl
        | M::Cmovle
        | M::Cmovne
        | M::Cmovno
        | M::Cmovnp
        | M::Cmovns
        | M::Cmovo
        | M::Cmovp
        | M::Cmovs
        | M::Seta
        | M::Setae
        | M::Setb
        | M::Setbe
        | M::Sete
        | M::Setg
        | M::Setge
        | M::Setl
        | M::Setle
        | M::Setne
        | M::Setno
        | M::Setnp
        | M::Setns
        | M::Seto
        | M::Setp
        | M::Sets => return lower_conditional(l),
        _ => return None,
    })
}

fn xlat_address_size(l: &Lowering<'_>) -> u8 {
    l.insn.memory_base().size() as u8
}
