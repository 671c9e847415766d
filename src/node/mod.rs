//! The composition root: configuration, telemetry, health, doctor, shutdown, and the wiring that plugs
//! the floors together. The only module that sees all others, and with `bin/` the only one that uses
//! `anyhow`.

pub mod api_key;
pub mod books;
pub mod call_metrics;
pub mod config;
pub mod doctor;
pub mod engines;
pub mod front;
pub mod health;
pub mod http;
pub mod languages;
pub mod opt_out;
pub mod owed;
pub mod own_numbers;
pub mod payments;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod wiring;

pub use books::Books;
pub use config::NodeConfig;
pub use shutdown::Shutdown;
