//! What is fuzzed (`tests/fuzz`) is built of what is shipped.

use toml::Table;

use super::*;

fn dependencies(manifest: &str) -> Table {
    let text = fs::read_to_string(root().join(manifest)).expect("the manifest can be read");
    let manifest: Table = text.parse().expect("the manifest is TOML");
    manifest["dependencies"].as_table().expect("dependencies are a table").clone()
}

/// One `Cargo.lock` holds both to one version where both ask for the same.
#[test]
fn fuzz_crate_asks_for_its_dependencies_as_the_product_does() {
    let (product, fuzzed) = (dependencies("Cargo.toml"), dependencies("tests/fuzz/Cargo.toml"));
    assert!(fuzzed.len() > 20, "the dependencies are not where this test looks for them");
    let other: Vec<_> = fuzzed
        .iter()
        .filter(|(name, spec)| *name != "libfuzzer-sys" && product.get(*name) != Some(spec))
        .map(|(name, _)| name)
        .collect();
    assert!(other.is_empty(), "other in tests/fuzz/Cargo.toml than in Cargo.toml: {other:?}");
}
