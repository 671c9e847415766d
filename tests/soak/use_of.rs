//! What this process uses.

#[derive(Debug, Clone, Copy)]
pub struct Use {
    pub descriptors: usize,
    pub tasks: usize,
    /// Allocated and not freed, whatever the allocator keeps of what was.
    pub heap_bytes: u64,
    pub resident_bytes: u64,
}

impl Use {
    /// Within the runtime whose tasks are counted.
    pub fn now() -> Use {
        Use {
            // The one that reads them is not counted.
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count() - 1,
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            heap_bytes: crate::heap::heap(),
            resident_bytes: callbox::eval::machine::resident(),
        }
    }
}
