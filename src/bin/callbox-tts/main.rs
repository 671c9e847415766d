// espeak-rs-sys links espeak-ng against Debian's libsonic and does not say so.
#[link(name = "sonic")]
unsafe extern "C" {}
fn main() {
    let _ = piper_rs::Piper::new(std::path::Path::new("a"), std::path::Path::new("b"));
}
