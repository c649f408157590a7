//! Opaque values: the same number, about which the verifier knows nothing.
//!
//! The verifier follows every value that a variable can have, and every later branch once for each. After a walk over
//! headers that ends in many ways it would verify the rest of the decision as many times, beyond the number of
//! instructions it accepts. `opaque` ends that: the kernel's programs pass the value through an instruction whose
//! result the verifier cannot predict, as `barrier_var` does in C programs. On the host a value stays as it is.
//!
//! `geofence-ebpf/src/frame.rs` holds the instruction.

/// Something through which numbers can be made opaque: a frame or an image. On the host it returns the number.
pub trait Barrier {
    #[inline(always)]
    fn hide(&self, number: u64) -> u64 {
        number
    }
}

impl Barrier for &[u8] {}
impl Barrier for &[u32] {}
impl<const N: usize> Barrier for &[[u32; N]] {}

/// A value that can be made opaque.
pub trait Opaque: Copy {
    #[must_use]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self;
}

impl Opaque for u64 {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        barrier.hide(*self)
    }
}

macro_rules! opaque_integers {
    ($($integer:ty)+) => {$(
        impl Opaque for $integer {
            #[inline(always)]
            fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
                barrier.hide(*self as u64) as Self
            }
        }
    )+};
}

opaque_integers!(u8 u16 u32);

/// An offset in a frame, which 32 bits hold.
impl Opaque for usize {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        (*self as u32).opaque(barrier) as Self
    }
}

impl Opaque for bool {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        // A bit, because a comparison would be a branch.
        u32::from(*self).opaque(barrier) & 1 != 0
    }
}

/// For two and three elements only: with a loop or `map` the compiler lays out the stack so that the verifier refuses
/// the program (`pointer arithmetic with <<= operator prohibited`).
impl<T: Opaque> Opaque for [T; 2] {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        let [a, b] = self;
        [a.opaque(barrier), b.opaque(barrier)]
    }
}

impl<T: Opaque> Opaque for [T; 3] {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        let [a, b, c] = self;
        [a.opaque(barrier), b.opaque(barrier), c.opaque(barrier)]
    }
}

/// Implements `Opaque` field by field. Fields that are not named keep what the verifier knows about them.
macro_rules! opaque {
    ($type:ty { $($field:tt),+ }) => {
        opaque!(@impl $type { $($field),+ });
    };
    ($type:ty { $($field:tt),+; .. }) => {
        opaque!(@impl $type { $($field),+ } ..);
    };
    (@impl $type:ty { $($field:tt),+ } $($rest:tt)?) => {
        impl $crate::opaque::Opaque for $type {
            #[inline(always)]
            fn opaque<B: $crate::opaque::Barrier + ?Sized>(&self, barrier: &B) -> Self {
                Self {
                    $($field: $crate::opaque::Opaque::opaque(&self.$field, barrier),)+
                    $($rest *self)?
                }
            }
        }
    };
}

pub(crate) use opaque;
