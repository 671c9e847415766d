fn main() {
    let _ = whisper_rs::WhisperContextParameters::default();
}
