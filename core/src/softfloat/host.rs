//! The host's own arithmetic, for the operands and results where nobody could tell.
//!
//! Rust's `+ - * /` and `sqrt` on `f32` and `f64` are IEEE 754's, rounded to nearest. They answer
//! for numbers that are normal or zero with results that are too, while PE is known already
//! ([`Env::inexact_known`](super::Env::inexact_known)). NaNs, denormals, overflow and underflow
//! are never left to the host.

/// Implements the `host_` methods of [`Format`](super::Format).
macro_rules! on_host {
    ($bits:ty, $float:ty) => {
        #[inline]
        fn host_add(a: $bits, b: $bits) -> Option<$bits> {
            let sum = (<$float>::from_bits(a) + <$float>::from_bits(b)).to_bits();
            (Self::tame(a) && Self::tame(b) && Self::tame(sum)).then_some(sum)
        }

        #[inline]
        fn host_sub(a: $bits, b: $bits) -> Option<$bits> {
            let difference = (<$float>::from_bits(a) - <$float>::from_bits(b)).to_bits();
            (Self::tame(a) && Self::tame(b) && Self::tame(difference)).then_some(difference)
        }

        #[inline]
        fn host_mul(a: $bits, b: $bits) -> Option<$bits> {
            let product = (<$float>::from_bits(a) * <$float>::from_bits(b)).to_bits();
            let certain = Self::inside(product) || a << 1 == 0 || b << 1 == 0;
            (Self::tame(a) && Self::tame(b) && certain).then_some(product)
        }

        #[inline]
        fn host_div(a: $bits, b: $bits) -> Option<$bits> {
            let quotient = (<$float>::from_bits(a) / <$float>::from_bits(b)).to_bits();
            let certain = Self::inside(quotient) || a << 1 == 0;
            (Self::tame(a) && Self::tame(b) && b << 1 != 0 && certain).then_some(quotient)
        }

        #[inline]
        fn host_sqrt(a: $bits) -> Option<$bits> {
            let positive = a >> (<$bits>::BITS - 1) == 0;
            (Self::tame(a) && (positive || a << 1 == 0)).then(|| <$float>::from_bits(a).sqrt().to_bits())
        }

        #[inline]
        fn host_compare(a: $bits, b: $bits) -> Option<core::cmp::Ordering> {
            (Self::tame(a) && Self::tame(b))
                .then(|| <$float>::from_bits(a).partial_cmp(&<$float>::from_bits(b)))
                .flatten()
        }

        #[inline]
        fn host_truncate(a: $bits) -> Option<(i64, bool)> {
            const LIMIT: $float = (1i64 << 62) as $float;
            let number = <$float>::from_bits(a);
            let value = number as i64;
            (Self::tame(a) && number.abs() < LIMIT).then_some((value, value as $float == number))
        }

        #[inline]
        fn host_from_signed(value: i64) -> Option<$bits> {
            Some((value as $float).to_bits())
        }
    };
}
pub(super) use on_host;

/// Implements the tests of operands and results that `on_host` relies on.
macro_rules! host_tests {
    ($format:ty, $bits:ty, $exp_bits:literal, $precision:literal) => {
        impl $format {
            const TOP: $bits = (1 << $exp_bits) - 1;

            #[inline]
            const fn biased(a: $bits) -> $bits {
                a >> ($precision - 1) & Self::TOP
            }

            /// Normal, or zero.
            #[inline]
            const fn tame(a: $bits) -> bool {
                Self::biased(a).wrapping_sub(1) < Self::TOP - 1 || a << 1 == 0
            }

            /// Normal, and so large that it cannot be a tiny number that was rounded up.
            #[inline]
            const fn inside(a: $bits) -> bool {
                Self::biased(a).wrapping_sub(2) < Self::TOP - 2
            }
        }
    };
}
pub(super) use host_tests;
