//! Voice presets: the names that API families offer, and the Piper voice that stands for each.

use serde::{Deserialize, Serialize};

use super::{
    Catalog,
    catalog::{Gender, Kind},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoicePreset {
    /// What a caller of the API asks for.
    pub name: String,
    pub description: String,
    pub gender: Gender,
    /// BCP 47.
    pub language: String,
    /// The catalogue model that speaks it.
    pub voice: String,
}

/// An installed voice, and whether it is the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub voice: String,
    pub exact: bool,
}

struct Traits {
    /// Lower case, such as `en-us`; empty when nothing is known.
    language: String,
    gender: Option<Gender>,
}

/// The installed voice nearest to `wanted`, which is a preset's name, a voice's name or a language
/// (`de`, `de-DE`). Language weighs more than gender, since a voice of the wrong language cannot be
/// understood; ties go to the earlier of `installed`. A name nobody knows is answered with the first
/// preset's nearest voice. `None` only when nothing is installed.
pub fn nearest_voice<S: AsRef<str>>(catalog: &Catalog, wanted: &str, installed: &[S]) -> Option<Chosen> {
    let preset = catalog.voice_presets.iter().find(|p| p.name.eq_ignore_ascii_case(wanted));
    let target = preset.map_or(wanted, |p| p.voice.as_str());
    let exact = installed.iter().map(AsRef::as_ref).find(|v| v.eq_ignore_ascii_case(target));
    if let Some(voice) = exact {
        return Some(Chosen { voice: voice.to_owned(), exact: true });
    }
    let ideal = match preset {
        Some(preset) => of_preset(preset),
        None => traits(catalog, wanted).or_else(|| catalog.voice_presets.first().map(of_preset))?,
    };
    let score = |voice: &str| traits(catalog, voice).map_or(0, |t| likeness(&ideal, &t));
    // `max_by_key` gives the last of equals, hence the reversal.
    let best = installed.iter().map(AsRef::as_ref).rev().max_by_key(|v| score(v))?;
    Some(Chosen { voice: best.to_owned(), exact: false })
}

fn likeness(ideal: &Traits, other: &Traits) -> u32 {
    let primary = |t: &Traits| t.language.split('-').next().unwrap_or_default().to_owned();
    let language = if ideal.language == other.language {
        5
    } else if primary(ideal) == primary(other) {
        4
    } else {
        0
    };
    language * 2 + u32::from(ideal.gender.is_some() && ideal.gender == other.gender) * 3
}

fn of_preset(preset: &VoicePreset) -> Traits {
    Traits { language: preset.language.to_ascii_lowercase(), gender: Some(preset.gender) }
}

/// What the catalogue says of a voice; for others, the language in a Piper name (`de_DE-thorsten-low`)
/// or the language tag itself.
fn traits(catalog: &Catalog, voice: &str) -> Option<Traits> {
    if let Some(model) = catalog.model(voice).filter(|m| m.kind == Kind::Tts) {
        let language = model.languages.first().cloned().unwrap_or_default().to_ascii_lowercase();
        return Some(Traits { language, gender: model.gender });
    }
    let letters = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_alphabetic());
    let mut tags = voice.split(['_', '-']);
    let language = tags.next().filter(|l| letters(l, 2))?;
    let region = tags.next().filter(|r| letters(r, 2)).map(|r| format!("-{r}")).unwrap_or_default();
    Some(Traits { language: format!("{language}{region}").to_ascii_lowercase(), gender: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(wanted: &str, installed: &[&str]) -> Option<(String, bool)> {
        let catalog = Catalog::load(None).unwrap();
        nearest_voice(&catalog, wanted, installed).map(|c| (c.voice, c.exact))
    }

    #[test]
    fn preset_speaks_with_its_own_voice_when_installed() {
        for preset in Catalog::load(None).unwrap().voice_presets {
            let installed = ["xx_XX-other-medium", preset.voice.as_str()];
            assert_eq!(chosen(&preset.name, &installed), Some((preset.voice.clone(), true)));
        }
    }

    #[test]
    fn lone_voice_stands_in_for_every_preset_and_says_so() {
        for wanted in ["nat", "JOSH", "florian", "nobody", ""] {
            assert_eq!(chosen(wanted, &["en_US-joe-medium"]), Some(("en_US-joe-medium".into(), false)));
        }
        assert_eq!(chosen("nat", &[]), None);
    }

    #[test]
    fn language_outweighs_gender() {
        let installed = ["en_US-joe-medium", "de_DE-eva_k-x_low"];
        assert_eq!(chosen("florian", &installed).unwrap().0, "de_DE-eva_k-x_low");
        assert_eq!(chosen("de", &installed).unwrap().0, "de_DE-eva_k-x_low");
    }

    #[test]
    fn gender_decides_within_a_language() {
        let installed = ["en_US-joe-medium", "en_US-amy-medium"];
        assert_eq!(chosen("june", &installed).unwrap().0, "en_US-amy-medium");
        assert_eq!(chosen("derek", &installed).unwrap().0, "en_US-joe-medium");
    }

    #[test]
    fn every_preset_names_a_voice_of_the_catalogue_in_its_language_and_gender() {
        let catalog = Catalog::load(None).unwrap();
        assert_eq!(catalog.voice_presets.len(), 7);
        for preset in &catalog.voice_presets {
            let voice = catalog.model(&preset.voice).unwrap();
            assert_eq!(voice.kind, Kind::Tts);
            assert_eq!(voice.languages[0], preset.language, "{}", preset.name);
            assert_eq!(voice.gender, Some(preset.gender), "{}", preset.name);
        }
    }
}
