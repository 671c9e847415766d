//! Which language a recogniser is told that a caller speaks: the call's, or none where it does not know
//! that one, so that the call goes on with what the recogniser makes of it.

use std::path::Path;

use crate::engine::registry::EngineConfig;

/// In the catalogue: a model of many languages.
const MULTI: &str = "multi";

/// The languages of Whisper's multilingual models, by the codes it was trained with.
const WHISPER: &str = "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta \
no th ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn \
yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su";

/// Whether the recogniser may be told `language`, a BCP 47 tag. `catalogued` are the languages that the
/// catalogue names for its model. An engine that is no Whisper of ours is told what the call says.
pub fn recognises(engine: &EngineConfig, catalogued: Option<&[String]>, language: &str) -> bool {
    if engine.engine != "whisper" {
        return true;
    }
    let wanted = primary(language);
    match catalogued.filter(|languages| !languages.is_empty()) {
        Some(languages) if languages.iter().any(|known| known == MULTI) => of_whisper(&wanted),
        Some(languages) => languages.iter().any(|known| primary(known) == wanted),
        None if is_english_alone(&engine.model) => wanted == "en",
        None => of_whisper(&wanted),
    }
}

/// Whether two tags name one language, whatever the region.
pub fn same(one: &str, other: &str) -> bool {
    primary(one) == primary(other)
}

fn primary(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or(tag).to_ascii_lowercase()
}

fn of_whisper(primary: &str) -> bool {
    WHISPER.split_whitespace().any(|known| known == primary)
}

/// Whisper's English models say so in their names: `ggml-base.en.bin`, `ggml-base.en-q5_1.bin`.
fn is_english_alone(model: &str) -> bool {
    let name = Path::new(model).file_name().unwrap_or_default().to_string_lossy().into_owned();
    [".en.", ".en-"].iter().any(|mark| name.contains(mark)) || name.ends_with(".en")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whisper(model: &str) -> EngineConfig {
        EngineConfig::new("whisper", model)
    }

    #[test]
    fn an_english_model_is_told_of_english_alone() {
        let catalogued = ["en".to_owned()];
        for language in ["en", "en-US", "EN"] {
            assert!(recognises(&whisper("whisper-tiny.en"), Some(&catalogued), language), "{language}");
        }
        assert!(!recognises(&whisper("whisper-tiny.en"), Some(&catalogued), "de-DE"));
        for model in ["/models/ggml-base.en.bin", "/models/ggml-base.en-q5_1.bin", "whisper-base.en"] {
            assert!(!recognises(&whisper(model), None, "de"), "{model}");
        }
    }

    #[test]
    fn a_multilingual_model_is_told_what_it_was_trained_with() {
        let catalogued = ["multi".to_owned()];
        assert!(recognises(&whisper("whisper-base"), Some(&catalogued), "de-AT"));
        assert!(recognises(&whisper("/models/my.engine/ggml-base.bin"), None, "fr"));
        assert!(!recognises(&whisper("whisper-base"), Some(&catalogued), "tlh"));
    }

    #[test]
    fn other_engines_decide_for_themselves() {
        assert!(recognises(&EngineConfig::new("openai", ""), None, "tlh"));
    }
}
