//! What the manuals leave undefined, and the one answer that every engine gives.
//!
//! Answers follow what Intel processors were seen to do where that is simple, and are the same on every host.
//!
//! | instruction | undefined | answer |
//! | --- | --- | --- |
//! | AND OR XOR TEST | AF | 0 |
//! | RCL RCR, count a multiple of the width + 1 | OF | unchanged |
//! | SHL SHR SAR SHLD SHRD, count not 0 | AF | 0 |
//! | SHL, count > 1 | OF | CF xor the result's sign |
//! | SHR, count > 1 | OF | the sign before the last single shift: 0 |
//! | ROL RCL, count > 1 | OF | CF xor the result's sign |
//! | ROR RCR, count > 1 | OF | xor of the result's two highest bits |
//! | SHL SHR, count >= width | CF | as if shifted bit by bit |
//! | SHLD SHRD, 16 bits, count > 16 | result | the operands repeat: destination, source, destination |
//! | SHLD SHRD, count > 1 | OF | whether the sign changed |
//! | MUL IMUL | SF ZF PF | of the low half of the product |
//! | MUL IMUL | AF | 0 |
//! | DIV IDIV | all flags | unchanged |
//! | BT BTS BTR BTC | OF SF AF PF | unchanged |
//! | BSF BSR | CF OF SF AF PF | 0 |
//! | BSF BSR of 0 | destination | unchanged, all 64 bits |
//! | TZCNT LZCNT | OF SF AF PF | 0 |
//! | ANDN BLSI BLSMSK BLSR BZHI | AF PF | 0 |
//! | BEXTR | SF AF PF | 0 |
//! | BSWAP of 16 bits | destination | 0 |
//! | AAA AAS | OF SF ZF PF | of AL as it results; OF 0 |
//! | AAM AAD | OF AF CF | 0 |
//! | DAA DAS | OF | 0 |
//! | RCPPS RCPSS RSQRTPS RSQRTSS | bits beyond the error bound | those of Intel processors (`interp/families/sse/approximate.rs`) |
//! | MASKMOVQ MASKMOVDQU | faults at bytes that the mask excludes | raised |
//! | MMX store to memory that faults | top of the x87 stack | 0 |
//! | XSAVE | XINUSE: which components are in use | all that are enabled |
//! | VCVTPS2PH of a denormal number, underflow unmasked | PE | 1 |
