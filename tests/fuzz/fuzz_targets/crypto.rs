#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../hostile/bodies.rs"]
#[allow(dead_code)]
mod bodies;

fuzz_target!(|data: &[u8]| bodies::crypto(data));
