//! x87 instructions whose results are specified to the last bit, by the host's unit ([`crate::x87`]).
//!
//! The interpreter keeps the transcendental functions and all constants but 0 and 1, remainders, scaling, packed decimal,
//! environments and saved states, MMX, and everything while an exception is unmasked. It keeps what is rare, too, where the
//! manuals leave C1 undefined: FFREE, FINCSTP, FNCLEX.
//!
//! The unit's instruction pointer is that of the last instruction which is no control instruction. Within a block it is known where
//! that lies, so sites say so, and only the end of a block stores it.

use super::plan::{Access, Planned};
use super::{Unit, slot};
use crate::emitter::Condition;
use crate::registers::Slot;
use crate::site::SiteKind;
use crate::variant::Variant;
use crate::x87::{CONTROL, CONTROL_BITS, CONTROL_SET, LOADED, MASKS, POINTER, PRECISION, PRECISION_RESERVED};
use dynasmrt::{DynasmApi, dynasm};
use iced_x86::{Instruction, Mnemonic};

/// What is known of the unit at a point of a block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// The guest's unit is in the host's.
    loaded: bool,
    /// Offset in the page of the last instruction that the unit's instruction pointer is to lead to, if it does not yet.
    pub(super) last: Option<u16>,
}

/// Whether the host's unit does on every host what the interpreter does.
pub(super) fn is_native(insn: &Instruction, variant: Variant) -> bool {
    use Mnemonic as M;
    // Elsewhere the instruction pointer is none in linear addresses.
    variant.bitness() == 64
        && match insn.mnemonic() {
            M::Fadd | M::Faddp | M::Fiadd | M::Fmul | M::Fmulp | M::Fimul => true,
            M::Fsub | M::Fsubp | M::Fisub | M::Fsubr | M::Fsubrp | M::Fisubr => true,
            M::Fdiv | M::Fdivp | M::Fidiv | M::Fdivr | M::Fdivrp | M::Fidivr => true,
            M::Fsqrt | M::Fabs | M::Fchs | M::Frndint => true,
            M::Fld | M::Fild | M::Fst | M::Fstp | M::Fist | M::Fistp | M::Fisttp => true,
            M::Fld1 | M::Fldz | M::Fxch => true,
            M::Fcom | M::Fcomp | M::Fcompp | M::Fucom | M::Fucomp | M::Fucompp | M::Ficom | M::Ficomp => true,
            M::Fcomi | M::Fcomip | M::Fucomi | M::Fucomip | M::Ftst | M::Fxam => true,
            M::Fcmovb | M::Fcmove | M::Fcmovbe | M::Fcmovu => true,
            M::Fcmovnb | M::Fcmovne | M::Fcmovnbe | M::Fcmovnu => true,
            mnemonic => is_control(mnemonic),
        }
}

/// Control instructions leave the unit's instruction pointer alone.
fn is_control(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::Fldcw | Mnemonic::Fnstcw | Mnemonic::Fnstsw | Mnemonic::Wait)
}

fn sets_flags(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::Fcomi | Mnemonic::Fcomip | Mnemonic::Fucomi | Mnemonic::Fucomip)
}

impl Unit<'_> {
    pub(super) fn x87(&mut self, planned: &Planned) {
        self.load_x87();
        let mnemonic = planned.insn.mnemonic();
        match (mnemonic, planned.access) {
            (Mnemonic::Fldcw, Some(access)) => self.load_control(planned, access),
            // Nothing waits: all exceptions are masked.
            (Mnemonic::Wait, _) => {}
            _ => {
                let exchange = self.prepare(planned);
                if sets_flags(mnemonic) {
                    // OF, SF and AF, whether or not the host clears them.
                    dynasm!(self.e ; .arch x64 ; mov r10d, 0 ; add r10d, 1);
                }
                self.e.pass(&planned.insn, &exchange).expect("plans have only what can be passed");
                self.note_flags(planned);
            }
        }
        if !is_control(mnemonic) {
            self.x87.last = Some(planned.at());
        }
    }

    /// Makes sure that the unit is loaded.
    fn load_x87(&mut self) {
        if std::mem::replace(&mut self.x87.loaded, true) {
            return;
        }
        self.free_host_flags();
        let retry = self.e.position();
        dynasm!(self.e ; .arch x64 ; cmp DWORD [DWORD rsp + LOADED], 0);
        let unloaded = self.e.jump_if(Condition::Equal);
        let site = self.site(SiteKind::LoadX87, self.index, retry);
        self.cold_leave(unloaded, site);
    }

    /// FLDCW, as long as all exceptions stay masked.
    fn load_control(&mut self, planned: &Planned, access: Access) {
        self.access(planned, access);
        dynasm!(self.e
            ; .arch x64
            ; movzx r10d, WORD [r9]
            ; and r10d, CONTROL_BITS.into()
            ; or r10d, CONTROL_SET.into()
            ; mov [DWORD rsp + CONTROL], r10d
            ; and r10d, MASKS.into()
            ; cmp r10d, MASKS.into()
        );
        self.interpret_if(Condition::NotEqual);
        dynasm!(self.e
            ; .arch x64
            ; mov r10d, [DWORD rsp + CONTROL]
            ; and r10d, PRECISION.into()
            ; cmp r10d, PRECISION_RESERVED.into()
        );
        self.interpret_if(Condition::Equal);
        dynasm!(self.e ; .arch x64 ; fldcw [DWORD rsp + CONTROL]);
    }

    /// Stores the unit's instruction pointer, if it is not there yet. The host's flags and r10 stay.
    pub(super) fn store_x87_pointer(&mut self) {
        let Some(at) = self.x87.last.take() else { return };
        dynasm!(self.e
            ; .arch x64
            ; mov r9, [BYTE rsp + slot(Slot::Page)]
            ; lea r9, [DWORD r9 + i32::from(at)]
            ; mov [DWORD rsp + POINTER], r9
        );
    }
}
