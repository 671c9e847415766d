use callbox::models::{self, Config, Health, Store};

/// The test set holds two Whisper models that were converted on the way: that their hashes are the
/// catalogue's shows that the conversion is exact.
#[test]
fn test_set_is_installed_and_sound() {
    let store = Store::open(&Config::default()).unwrap();
    let models = store.catalog().set("test", 2).unwrap();
    let checked = models::check(&store, &models, &()).unwrap();
    for file in &checked {
        assert_eq!(
            file.health,
            Health::Sound,
            "{}: run `callbox models pull --set test` (as `make test` does)",
            file.file
        );
    }
    let files: usize = models.iter().map(|model| model.files.len()).sum();
    assert_eq!(checked.len(), files);
}
