//! What figures were measured on, and what a process uses of it (Linux `/proc`).

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How this program was compiled; figures of different builds do not compare.
pub const BUILD: &str = if cfg!(debug_assertions) {
    "dev profile (own code at opt-level 1, dependencies at 2)"
} else {
    "release profile (opt-level 3)"
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub build: &'static str,
    pub version: &'static str,
}

impl Machine {
    pub fn here() -> Self {
        let value = |file: &str, key: &str| field(&fs::read_to_string(file).unwrap_or_default(), key);
        let kib = value("/proc/meminfo", "MemTotal").and_then(|t| t.trim_end_matches(" kB").parse().ok());
        Machine {
            cpu: value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib.unwrap_or(0.0) / (1 << 20) as f64,
            build: BUILD,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { cpu, cores, memory_gib, build, version } = self;
        write!(f, "{cpu}, {cores} cores, {memory_gib:.0} GiB; callbox {version}, {build}")
    }
}

/// The value behind `key` and a colon.
fn field(text: &str, key: &str) -> Option<String> {
    let value = |line: &str| Some(line.strip_prefix(key)?.trim_start().strip_prefix(':')?.trim().to_owned());
    text.lines().find_map(value)
}

/// Processes that wanted a core, over the last minute. More than there are cores, or any before a bench
/// has begun, means that others disturb it.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// Ticks a second in `/proc`, whatever the kernel's own clock: part of Linux's interface to programs.
const USER_HZ: u64 = 100;

/// Measures what this process uses from here on.
pub struct Meter {
    begun: Instant,
    cpu: Duration,
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Of one core: 1.0 is a core that does nothing else.
    pub cores: f64,
    pub resident_bytes: u64,
}

impl Meter {
    pub fn start() -> Self {
        Meter { begun: Instant::now(), cpu: cpu_time() }
    }

    pub fn read(&self) -> Usage {
        let spent = cpu_time().saturating_sub(self.cpu);
        Usage { cores: spent.as_secs_f64() / self.begun.elapsed().as_secs_f64(), resident_bytes: resident() }
    }
}

/// Memory this process holds in RAM.
pub fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = field(&text, "VmRSS").and_then(|t| t.trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// User and system time of all threads.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    ticks_in(&text).map_or(Duration::ZERO, |ticks| Duration::from_millis(ticks * 1_000 / USER_HZ))
}

/// `utime` and `stime`, the 14th and 15th fields. The second is the program's name in brackets, which may
/// hold anything.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 700 50 0 0 20 0 4 0 99";
        assert_eq!(ticks_in(stat), Some(750));
        assert_eq!(ticks_in("nonsense"), None);
    }

    #[test]
    fn a_busy_process_uses_processor_time_and_memory() {
        let meter = Meter::start();
        let mut sum = 0u64;
        while meter.read().cores == 0.0 {
            sum = (0..1_000_000u64).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert!(std::hint::black_box(sum) != 1 && meter.read().resident_bytes > 1 << 20);
    }

    #[test]
    fn fields_are_found_by_their_name() {
        assert_eq!(field("a : 1\nmodel name\t: Best CPU\n", "model name").as_deref(), Some("Best CPU"));
        assert_eq!(field("MemTotalX: 1\n", "MemTotal"), None);
    }
}
