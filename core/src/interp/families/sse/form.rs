//! How an instruction is encoded, and which handler that asks for.
//!
//! A VEX-encoded instruction is lowered as the SSE instruction that it is the three-operand form of (SDM vol. 1, 14.1.3
//! Instruction Syntax Enhancement): [`mnemonic`] names that one, and [`form`] picks the handler for its registers.

use super::operand::{Low, Mem, Operation, Rm, Source, Vector, combine};
use super::vex::{Vex128, Vex256};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use iced_x86::{EncodingKind, Mnemonic};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The encodings of instructions on XMM and YMM registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::interp::families) enum Form {
    /// Legacy: the destination is also the first source.
    Sse,
    /// XMM registers whose upper halves are cleared.
    Vex128,
    /// YMM registers.
    Vex256,
}

fn is_vex(l: &Lowering<'_>) -> bool {
    l.insn.encoding() == EncodingKind::VEX
}

/// The instruction's form.
pub(in crate::interp::families) fn form(l: &Lowering<'_>) -> Form {
    let has_ymm = (0..l.insn.op_count()).any(|index| l.is_register(index) && l.insn.op_register(index).is_ymm());
    match is_vex(l) {
        false => Form::Sse,
        true if has_ymm || l.insn.memory_size().size() == 32 => Form::Vex256,
        true => Form::Vex128,
    }
}

/// For each mnemonic the one without a V in front, or itself if there is none.
static WITHOUT_V: LazyLock<Vec<Mnemonic>> = LazyLock::new(|| {
    let name = |mnemonic: Mnemonic| format!("{mnemonic:?}").to_ascii_lowercase();
    let by_name: BTreeMap<String, Mnemonic> = Mnemonic::values().map(|mnemonic| (name(mnemonic), mnemonic)).collect();
    let without = |mnemonic| name(mnemonic).strip_prefix('v').and_then(|rest| by_name.get(rest)).copied();
    Mnemonic::values().map(|mnemonic| without(mnemonic).unwrap_or(mnemonic)).collect()
});

/// The mnemonic of the legacy instruction, or the VEX-encoded one's own if there is none.
pub(in crate::interp::families) fn mnemonic(l: &Lowering<'_>) -> Mnemonic {
    let mnemonic = l.insn.mnemonic();
    if is_vex(l) { WITHOUT_V[mnemonic as usize] } else { mnemonic }
}

/// The index of the source operand: the last one that is a register or memory, of those that the legacy instruction has.
pub(super) fn source(l: &Lowering<'_>) -> u32 {
    let is_third = is_vex(l) && l.insn.op_count() > 2 && (l.is_register(2) || l.is_memory(2));
    if is_third { 2 } else { 1 }
}

/// Whether the source operand is a register.
pub(in crate::interp::families) fn from_register(l: &Lowering<'_>) -> bool {
    l.is_register(source(l))
}

/// Whether operand `index` is an MMX register.
pub(super) fn is_mmx(l: &Lowering<'_>, index: u32) -> bool {
    l.is_register(index) && l.insn.op_register(index).is_mm()
}

/// Whether operand `index` is an XMM register.
pub(super) fn is_xmm(l: &Lowering<'_>, index: u32) -> bool {
    l.is_register(index) && l.insn.op_register(index).is_xmm()
}

/// An op with its registers and its immediate: the first operand in [`Op::reg`], the source in [`Op::rm`], and in
/// [`Op::third`] what the source is combined with.
pub(in crate::interp::families) fn plain(l: &Lowering<'_>, run: Handler) -> Op {
    let (mut op, source) = (l.op(run), source(l));
    if l.is_register(0) {
        op.reg = l.register(0);
    }
    if l.insn.op_count() > source && l.is_register(source) {
        op.rm = l.register(source);
    }
    op.third = if source == 2 { l.register(1) } else { op.reg };
    let last = l.insn.op_count().saturating_sub(1);
    if l.is_immediate(last) {
        op.imm = l.immediate(last);
    }
    op
}

/// Picks an instance of a generic handler by the form: its first parameter is the vector.
macro_rules! by_form {
    ($l:expr, $handler:ident $(, $parameter:ty)*) => {
        match form($l) {
            Form::Sse => $handler::<u128 $(, $parameter)*> as Handler,
            Form::Vex128 => $handler::<Vex128 $(, $parameter)*>,
            Form::Vex256 => $handler::<Vex256 $(, $parameter)*>,
        }
    };
}
pub(in crate::interp::families) use by_form;

/// Picks an instance of a generic handler by the form and by where the source is: its first two parameters are the
/// vector and the source, whose type in memory is given.
macro_rules! whole {
    ($l:expr, $memory:ty: $handler:ident $(, $parameter:ty)*) => {
        plain($l, if from_register($l) {
            by_form!($l, $handler, Rm $(, $parameter)*)
        } else {
            by_form!($l, $handler, $memory $(, $parameter)*)
        })
    };
    ($l:expr, $handler:ident $(, $parameter:ty)*) => { whole!($l, Mem: $handler $(, $parameter)*) };
}
pub(in crate::interp::families) use whole;

/// As [`whole`], for a handler of one number, whose VEX-encoded form is always the shorter one.
macro_rules! single {
    ($l:expr, $memory:ty: $handler:ident $(, $parameter:ty)*) => {
        plain($l, match (form($l), from_register($l)) {
            (Form::Sse, true) => $handler::<u128, Rm $(, $parameter)*> as Handler,
            (Form::Sse, false) => $handler::<u128, $memory $(, $parameter)*>,
            (Form::Vex128 | Form::Vex256, true) => $handler::<Vex128, Rm $(, $parameter)*>,
            (Form::Vex128 | Form::Vex256, false) => $handler::<Vex128, $memory $(, $parameter)*>,
        })
    };
}
pub(in crate::interp::families) use single;

/// Lowers an operation on MMX, XMM or YMM registers.
pub(in crate::interp::families) fn both<O: Operation<u64> + Operation<u128>>(l: &Lowering<'_>) -> Op {
    if !is_mmx(l, 0) {
        return xmm::<O>(l);
    }
    plain(l, if from_register(l) { combine::<u64, Rm, O> } else { combine::<u64, Mem, O> })
}

/// Lowers an operation on XMM or YMM registers.
pub(in crate::interp::families) fn xmm<O: Operation<u128>>(l: &Lowering<'_>) -> Op {
    whole!(l, combine, O)
}

/// Lowers an operation on XMM or YMM registers with a short operand in memory.
pub(in crate::interp::families) fn narrow<O: Operation<u128>>(l: &Lowering<'_>) -> Op {
    let bytes = l.insn.memory_size().size();
    match form(l) {
        Form::Vex256 if bytes < 32 => widening::<O>(l, bytes),
        Form::Vex256 => whole!(l, combine, O),
        Form::Sse | Form::Vex128 => match bytes {
            2 => single!(l, Low<u16>: combine, O),
            4 => single!(l, Low<u32>: combine, O),
            _ => single!(l, Low<u64>: combine, O),
        },
    }
}

/// Lowers an operation whose lanes take their operand from a part of an XMM register or of memory each.
fn widening<O: Operation<u128>>(l: &Lowering<'_>, bytes: usize) -> Op {
    let run: Handler = match (from_register(l), bytes) {
        (true, _) => widen::<Rm, O>,
        (_, 4) => widen::<Low<u32>, O>,
        (_, 8) => widen::<Low<u64>, O>,
        (_, _) => widen::<Mem, O>,
    };
    Op { size: bytes as u8, ..plain(l, run) }
}

/// `reg = O(source)`, where the source has [`Op::size`] bytes.
fn widen<S: Source, O: Operation<u128>>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    Vex256::ready(x)?;
    let Vex128([b]) = S::get(x, op)?;
    let bits = 4 * u32::from(op.size);
    Vex256([0, 1].map(|lane| O::apply(0, b >> (lane * bits), op.imm as u8))).put(x, op.reg);
    Ok(())
}
