//! The libraries outside this executable: ONNX Runtime, looked at before it is used, and espeak-ng's
//! data.

use std::{
    ffi::{CStr, c_char},
    path::Path,
};

use callbox::engine::EngineError;

/// What piper-rs' ort was built for.
const OLDEST: (u32, u32) = (1, 24);

/// Where distributions keep `espeak-ng-data`: Debian, Fedora, others.
const ESPEAK_DIRS: &[&str] =
    &["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/share", "/usr/lib64", "/usr/lib"];

/// Tells espeak-ng where its data is. Called before any other thread exists.
pub fn set_espeak_data(dir: Option<&Path>) {
    const VARIABLE: &str = "PIPER_ESPEAKNG_DATA_DIRECTORY";
    let has_data = |dir: &&Path| dir.join("espeak-ng-data").exists();
    let system = || ESPEAK_DIRS.iter().map(Path::new).find(has_data);
    let dir = match dir {
        Some(dir) => Some(dir),
        None if std::env::var_os(VARIABLE).is_some() => None,
        None => system(),
    };
    if let Some(dir) = dir {
        // SAFETY: this is the only thread.
        unsafe { std::env::set_var(VARIABLE, dir) };
    }
}

/// Loads ONNX Runtime, after making sure that it is one ort can use: with a wrong path or an older
/// version ort waits for itself for ever (pykeio/ort#560).
pub fn load_onnxruntime(path: &Path) -> Result<(), EngineError> {
    let version = version_of(path)
        .map_err(|detail| EngineError::Start(format!("--onnxruntime {}: {detail}", path.display())))?;
    if !is_new_enough(&version) {
        return Err(EngineError::Start(format!(
            "--onnxruntime {}: version {version}; {}.{} or later is needed",
            path.display(),
            OLDEST.0,
            OLDEST.1
        )));
    }
    let builder =
        ort::init_from(path).map_err(|error| EngineError::Start(format!("onnxruntime: {error}")))?;
    builder.with_name("callbox").with_telemetry(false).commit();
    Ok(())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(OLDEST.0), Some(OLDEST.1))
}

/// Asks the library for its version, without ort.
fn version_of(path: &Path) -> Result<String, String> {
    /// The first two entries of ONNX Runtime's `OrtApiBase`, unchanged since 1.0.
    #[repr(C)]
    struct ApiBase {
        get_api: unsafe extern "C" fn(u32) -> *const std::ffi::c_void,
        version: unsafe extern "C" fn() -> *const c_char,
    }
    if !path.is_file() {
        return Err("no such file".to_owned());
    }
    // SAFETY: running a library's initialisers is what loading it means; the operator names the file.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
    // SAFETY: the type is that of `OrtGetApiBase` in onnxruntime_c_api.h.
    let api_base = unsafe { library.get::<unsafe extern "C" fn() -> *const ApiBase>(b"OrtGetApiBase\0") }
        .map_err(|_| "this library is not ONNX Runtime".to_owned())?;
    // SAFETY: both give pointers to static data of the library, which is still loaded.
    let version = unsafe {
        let base = api_base().as_ref().ok_or("this library gives no API")?;
        let text = (base.version)();
        if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
    };
    // It stays loaded: ort opens the same file next.
    std::mem::forget(library);
    version.ok_or_else(|| "this library gives no version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_from_new_ones() {
        for (version, good) in [
            ("1.24.4", true),
            ("1.31.1", true),
            ("2.0", true),
            ("1.23.9", false),
            ("1.9.0", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), good, "{version}");
        }
    }

    #[test]
    fn what_is_not_onnxruntime_is_refused_and_not_waited_for() {
        let missing = load_onnxruntime(Path::new("/nonexistent/libonnxruntime.so"));
        assert!(matches!(missing, Err(EngineError::Start(detail)) if detail.contains("no such file")));
        let other = load_onnxruntime(&std::env::current_exe().unwrap());
        assert!(matches!(other, Err(EngineError::Start(_))));
    }
}
