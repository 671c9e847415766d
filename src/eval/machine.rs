//! What figures were measured on, and what a process uses of it (Linux `/proc`).

use std::collections::HashMap;
use std::ffi::OsString;
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

/// Measures what this process uses from here on.
pub struct Meter {
    begun: Instant,
    cpu: Duration,
    kernel: f64,
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Of one core: 1.0 is a core that does nothing else.
    pub cores: f64,
    /// The part of it that the kernel used, in a hundredth of a second's steps.
    pub kernel_cores: f64,
    pub resident_bytes: u64,
}

impl Meter {
    pub fn start() -> Self {
        Meter { begun: Instant::now(), cpu: cpu_time(), kernel: kernel_time() }
    }

    pub fn read(&self) -> Usage {
        let (spent, since) = (cpu_time().saturating_sub(self.cpu), self.begun.elapsed().as_secs_f64());
        Usage {
            cores: spent.as_secs_f64() / since,
            kernel_cores: (kernel_time() - self.kernel) / since,
            resident_bytes: resident(),
        }
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
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time lives through the call. A process always has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Time that each thread ran, by its id, of those whose name begins with `prefix`.
fn thread_times(prefix: &str) -> HashMap<OsString, Duration> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time = |thread: &fs::DirEntry| {
        let read = |file| fs::read_to_string(thread.path().join(file)).ok();
        let ran = read("schedstat")?.split_whitespace().next()?.parse().ok()?;
        read("comm")?.starts_with(prefix).then(|| Duration::from_nanos(ran))
    };
    threads.filter_map(|thread| Some((thread.file_name(), time(&thread)?))).collect()
}

/// Measures what threads of this process use from here on that exist already and have names alike.
pub struct ThreadMeter {
    prefix: &'static str,
    begun: Instant,
    times: HashMap<OsString, Duration>,
}

impl ThreadMeter {
    pub fn start(prefix: &'static str) -> Self {
        ThreadMeter { prefix, begun: Instant::now(), times: thread_times(prefix) }
    }

    /// Of one core, all those threads together.
    pub fn cores(&self) -> f64 {
        let since = |(id, time): (&OsString, &Duration)| Some(time.saturating_sub(*self.times.get(id)?));
        let spent: Duration = thread_times(self.prefix).iter().filter_map(since).sum();
        spent.as_secs_f64() / self.begun.elapsed().as_secs_f64()
    }
}

/// Ticks a second in `/proc`, whatever the kernel's own clock: part of Linux's interface to programs.
const USER_HZ: f64 = 100.0;

/// Seconds of system time of all threads.
fn kernel_time() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    kernel_ticks(&text).map_or(0.0, |ticks| ticks as f64 / USER_HZ)
}

/// `stime`, the 15th field. The second is the program's name in brackets, which may hold anything.
fn kernel_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(12)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 700 50 0 0 20 0 4 0 99";
        assert_eq!(kernel_ticks(stat), Some(50));
        assert_eq!(kernel_ticks("nonsense"), None);
    }

    #[test]
    fn a_busy_process_uses_processor_time_and_memory() {
        let meter = Meter::start();
        let sum = (0..1_000_000u64).fold(0u64, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        let usage = meter.read();
        assert!(std::hint::black_box(sum) != 1 && usage.cores > 0.0 && usage.resident_bytes > 1 << 20);
    }

    #[test]
    fn a_thread_is_measured_apart_from_the_others() {
        let (told, ready) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let named = std::thread::Builder::new().name("idle-one".into());
        let idle = named.spawn(move || {
            told.send(()).unwrap();
            wait.recv().unwrap_err();
        });
        ready.recv().unwrap();
        let (all, one) = (Meter::start(), ThreadMeter::start("idle-one"));
        let sum = (0..1_000_000u64).fold(0u64, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        assert!(std::hint::black_box(sum) != 1 && all.read().cores > one.cores());
        drop(go);
        idle.unwrap().join().unwrap();
    }

    #[test]
    fn fields_are_found_by_their_name() {
        assert_eq!(field("a : 1\nmodel name\t: Best CPU\n", "model name").as_deref(), Some("Best CPU"));
        assert_eq!(field("MemTotalX: 1\n", "MemTotal"), None);
    }
}
