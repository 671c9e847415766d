//! What the machine has: disk, cores, memory, GPU, phoneme data.

use std::{fs, path::Path};

use super::Check;

const GIB: u64 = 1 << 30;
/// Room for records and recordings; one minute of recording is about 1 MB.
const DISK_LEAST: u64 = GIB;
/// Room for a set of models beside them.
const DISK_GOOD: u64 = 10 * GIB;
/// Smallest set of models: recogniser 0.5 GiB, language model 1.5 GiB, voice 0.1 GiB, and the node.
const MEMORY_GOOD: u64 = 4 * GIB;

pub fn writable(name: &str, key: &str, dir: &Path) -> Check {
    let probe = dir.join(format!(".doctor-{}", std::process::id()));
    let tried =
        fs::create_dir_all(dir).and_then(|()| fs::write(&probe, b"")).and_then(|()| fs::remove_file(&probe));
    match tried {
        Ok(()) => Check::ok(name, format!("{} is writable", dir.display())),
        Err(error) => {
            let fix = format!("let this user write there, or change `{key}`");
            Check::fail(name, format!("{}: {error}", dir.display()), fix)
        }
    }
}

/// Free space where `dir` lies.
pub fn disk(name: &str, key: &str, dir: &Path) -> Check {
    let free = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat.f_bavail * stat.f_frsize,
        Err(error) => return Check::warn(name, format!("{}: {error}", dir.display()), "see the data folder"),
    };
    let detail = format!("{} free in {}", gib(free), dir.display());
    let fix = format!("make room, or move `{key}` to a larger disk");
    match free {
        ..DISK_LEAST => Check::fail(name, detail, fix),
        DISK_LEAST..DISK_GOOD => Check::warn(name, detail, fix),
        _ => Check::ok(name, detail),
    }
}

pub fn cores() -> Check {
    match std::thread::available_parallelism().map(|n| n.get()) {
        Ok(1) => Check::warn("cores", "1", "two calls' models share it; give the node two or more"),
        Ok(n) => Check::ok("cores", n.to_string()),
        Err(error) => Check::warn("cores", error.to_string(), "the system does not say how many there are"),
    }
}

pub fn memory() -> Check {
    let info = rustix::system::sysinfo();
    // The type of these fields differs between platforms.
    #[allow(clippy::unnecessary_cast)]
    let total = info.totalram as u64 * u64::from(info.mem_unit);
    let detail = gib(total);
    if total < MEMORY_GOOD {
        return Check::warn(
            "memory",
            detail,
            format!("models need about {}; use the smallest", gib(MEMORY_GOOD)),
        );
    }
    Check::ok("memory", detail)
}

/// NVIDIA's driver tells about its cards in `/proc`.
pub fn gpu() -> Check {
    let models = gpu_models(Path::new("/proc/driver/nvidia/gpus"));
    if !models.is_empty() {
        return Check::ok("GPU", models.join(", "));
    }
    if Path::new("/proc/driver/nvidia/version").exists() {
        let fix = "see what `nvidia-smi` says; a container needs the GPU passed in";
        return Check::warn("GPU", "NVIDIA's driver is loaded and shows no card", fix);
    }
    Check::ok("GPU", "none; models run on the CPU")
}

/// The `Model:` lines of each card's `information` file.
fn gpu_models(gpus: &Path) -> Vec<String> {
    let Ok(cards) = fs::read_dir(gpus) else { return Vec::new() };
    let model = |text: String| Some(text.lines().find_map(|l| l.strip_prefix("Model:"))?.trim().to_owned());
    cards.filter_map(|card| model(fs::read_to_string(card.ok()?.path().join("information")).ok()?)).collect()
}

/// Where espeak-ng's data may lie, beside what [`ESPEAK_PARENT`] says.
const ESPEAK_FOLDERS: [&str; 4] = [
    "/usr/share/espeak-ng-data",
    "/usr/lib/x86_64-linux-gnu/espeak-ng-data",
    "/usr/lib/aarch64-linux-gnu/espeak-ng-data",
    "/usr/local/share/espeak-ng-data",
];
/// Names the folder that holds `espeak-ng-data`.
const ESPEAK_PARENT: &str = "PIPER_ESPEAKNG_DATA_DIRECTORY";

/// Phonemes of the voices come from espeak-ng's data.
pub fn espeak() -> Check {
    let own = std::env::var_os(ESPEAK_PARENT).map(|parent| Path::new(&parent).join("espeak-ng-data"));
    let usual = ESPEAK_FOLDERS.iter().map(|folder| Path::new(folder).to_owned());
    match own.into_iter().chain(usual).find(|folder| folder.join("phontab").exists()) {
        Some(folder) => Check::ok("espeak-ng data", folder.display().to_string()),
        None => {
            let fix = format!("install `espeak-ng-data`, or set {ESPEAK_PARENT} to the folder that holds it");
            Check::fail("espeak-ng data", "not found: Piper voices cannot speak", fix)
        }
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::Outcome;

    #[test]
    fn a_folder_that_cannot_be_made_fails_and_names_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        let check = writable("data folder", "store.data_dir", &file.join("below"));
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.fix.unwrap().contains("store.data_dir"));
        assert_eq!(writable("data folder", "store.data_dir", dir.path()).outcome, Outcome::Ok);
    }

    #[test]
    fn gpu_models_are_read_from_proc() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("0000:01:00.0")).unwrap();
        let text = "Model: \t\t NVIDIA H200\nIRQ:   16\n";
        fs::write(dir.path().join("0000:01:00.0/information"), text).unwrap();
        assert_eq!(gpu_models(dir.path()), ["NVIDIA H200"]);
    }
}
