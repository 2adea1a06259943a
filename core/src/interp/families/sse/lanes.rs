//! Vectors as arrays of lanes.
//!
//! The optimizer takes a 128-bit integer that it knows apart into dozens of shifts, but lanes that come from memory and
//! go to memory it handles as the vectors they are. So every vector passes through [`black_box`], which is the identity,
//! on its way into lanes and back: an operation is then four or five instructions of the host instead of a hundred.

use std::hint::black_box;

/// A vector seen as lanes of type `T`, lowest first.
pub(in crate::interp::families) trait Lanes<T>: Copy {
    /// All lanes.
    type Array: AsRef<[T]> + AsMut<[T]> + Copy + Default;
    /// Takes the vector apart.
    fn split(self) -> Self::Array;
    /// Puts it together.
    fn join(array: Self::Array) -> Self;
}

/// Implements [`Lanes`] of these types for a vector of so many bytes.
macro_rules! lanes {
    ($vector:ty, $bytes:literal: $($lane:ty),*) => {$(
        impl Lanes<$lane> for $vector {
            type Array = [$lane; $bytes / size_of::<$lane>()];
            #[inline(always)]
            fn split(self) -> Self::Array {
                const BYTES: usize = size_of::<$lane>();
                let bytes = black_box(self.to_le_bytes());
                std::array::from_fn(|i| {
                    <$lane>::from_le_bytes(std::array::from_fn::<u8, BYTES, _>(|at| bytes[i * BYTES + at]))
                })
            }
            #[inline(always)]
            fn join(array: Self::Array) -> Self {
                const BYTES: usize = size_of::<$lane>();
                let bytes: [u8; $bytes] = std::array::from_fn(|at| array[at / BYTES].to_le_bytes()[at & (BYTES - 1)]);
                <$vector>::from_le_bytes(black_box(bytes))
            }
        }
    )*};
}
pub(super) use lanes;

lanes!(u64, 8: u8, i8, u16, i16, u32, i32, u64, i64);
lanes!(u128, 16: u8, i8, u16, i16, u32, i32, u64, i64);

/// Combines the lanes of two vectors.
#[inline(always)]
pub(in crate::interp::families) fn zip<T: Copy, V: Lanes<T>>(a: V, b: V, f: impl Fn(T, T) -> T) -> V {
    let (mut lanes, other) = (a.split(), b.split());
    for (lane, &other) in lanes.as_mut().iter_mut().zip(other.as_ref()) {
        *lane = f(*lane, other);
    }
    V::join(lanes)
}

/// Changes each lane.
#[inline(always)]
pub(in crate::interp::families) fn map<T: Copy, V: Lanes<T>>(a: V, f: impl Fn(T) -> T) -> V {
    let mut lanes = a.split();
    for lane in lanes.as_mut() {
        *lane = f(*lane);
    }
    V::join(lanes)
}

/// Makes a vector lane by lane.
#[inline(always)]
pub(in crate::interp::families) fn build<T, V: Lanes<T>>(mut f: impl FnMut(usize) -> T) -> V {
    let mut lanes = V::Array::default();
    for (i, lane) in lanes.as_mut().iter_mut().enumerate() {
        *lane = f(i);
    }
    V::join(lanes)
}

/// One bit for each lane, the lowest lane's lowest.
#[inline(always)]
pub(in crate::interp::families) fn mask<T: Copy, V: Lanes<T>>(a: V, f: impl Fn(T) -> bool) -> u64 {
    let lanes = a.split();
    lanes.as_ref().iter().enumerate().fold(0, |mask, (i, &lane)| mask | u64::from(f(lane)) << i)
}
