//! The lower floors of Callbox, mounted from their own sources, and the bodies of the fuzz targets over them.
//! These floors import nothing above them, so that no engine, chain or database is compiled to fuzz a parser.

// `bodies` names the library as a test does.
extern crate self as callbox;

#[path = "../../src/base/mod.rs"]
pub mod base;
#[path = "../hostile/bodies.rs"]
pub mod bodies;
#[path = "../../src/media/mod.rs"]
pub mod media;
#[path = "../../src/sip/mod.rs"]
pub mod sip;
