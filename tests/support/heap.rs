//! What this process has allocated.

/// Bytes allocated and not freed, whatever the allocator keeps of what was.
pub fn heap() -> u64 {
    // SAFETY: it reads the allocator's own counters, under the allocator's locks, and gives them by value.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}
