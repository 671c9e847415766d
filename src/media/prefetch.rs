//! Asks for memory before it is needed. The state of a thousand calls fits into no cache of a core: a tick
//! that meets its lines one after another spends most of its time waiting for them.

/// Bytes that a core fetches at once.
const LINE: usize = 64;

/// Brings a value nearer to the core, and changes nothing.
pub fn prefetch<T: ?Sized>(value: &T) {
    lines(value).for_each(fetch);
}

/// Likewise, for this core alone: the value is about to be changed, and another core was the last to do so.
pub fn prefetch_mut<T: ?Sized>(value: &T) {
    lines(value).for_each(fetch_mut);
}

/// [`prefetch_mut`] of what begins at an address, as far as its first line goes.
pub fn prefetch_mut_at<T>(address: *const T) {
    fetch_mut(address.cast());
}

/// Where each line of a value begins. Never read: only addresses are told.
fn lines<T: ?Sized>(value: &T) -> impl Iterator<Item = *const u8> {
    let (start, length) = (std::ptr::from_ref(value).cast::<u8>(), size_of_val(value));
    let before = start.addr() % LINE;
    (0..before + length).step_by(LINE).map(move |at| start.wrapping_sub(before).wrapping_add(at))
}

/// Processors that do not know the instruction take it for none.
#[cfg(target_arch = "x86_64")]
fn fetch_mut(address: *const u8) {
    // SAFETY: a prefetch of any address is allowed; one that is not mapped is ignored.
    unsafe { std::arch::asm!("prefetchw [{0}]", in(reg) address, options(nostack, preserves_flags)) }
}

#[cfg(target_arch = "aarch64")]
fn fetch_mut(address: *const u8) {
    // SAFETY: a prefetch of any address is allowed; one that is not mapped is ignored.
    unsafe { std::arch::asm!("prfm pstl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags)) }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn fetch_mut(_address: *const u8) {}

#[cfg(target_arch = "x86_64")]
fn fetch(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch of any address is allowed; one that is not mapped is ignored.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(target_arch = "aarch64")]
fn fetch(address: *const u8) {
    // SAFETY: a prefetch of any address is allowed; one that is not mapped is ignored.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags))
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn fetch(_address: *const u8) {}
