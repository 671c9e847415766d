use super::*;

fn sources(env: &[(&str, &str)], set: &[(&str, &str)]) -> Sources {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    Sources { file: None, env: owned(env), set: owned(set) }
}

fn with_file(text: &str) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("callbox.toml");
    std::fs::write(&file, text).unwrap();
    (dir, Sources { file: Some(file), ..Sources::default() })
}

fn error_of(sources: &Sources) -> String {
    sources.load().unwrap_err().to_string()
}

#[test]
fn the_defaults_are_a_whole_configuration() {
    let config = Sources::default().load().unwrap().config;
    assert_eq!(config.policy.allowed_prefixes, ["+1"]);
    assert_eq!(config.policy.hours.to_string(), "08:00-21:00");
    assert!(config.http.bind.ip().is_loopback());
}

#[test]
fn the_embedded_defaults_are_the_modules_own() {
    let config = Sources::default().load().unwrap().config;
    assert_eq!(config.voice, crate::voice::Config::default());
    assert_eq!(config.call, crate::call::Config::default());
}

#[test]
fn command_line_beats_environment_beats_file() {
    let (_dir, mut sources) = with_file("[http]\ntimeout_secs = 11\nbody_limit = 22\npublic_url = \"file\"");
    sources.env = vec![
        ("CALLBOX__HTTP__BODY_LIMIT".into(), "33".into()),
        ("CALLBOX__HTTP__PUBLIC_URL".into(), "env".into()),
    ];
    sources.set = vec![("http.public_url".into(), "flag".into())];
    let http = sources.load().unwrap().config.http;
    assert_eq!((http.timeout_secs, http.body_limit, http.public_url.as_str()), (11, 33, "flag"));
}

#[test]
fn a_list_replaces_the_list_before_it() {
    let env = sources(&[("CALLBOX__POLICY__ALLOWED_PREFIXES", r#"["+44", "+49"]"#)], &[]);
    assert_eq!(env.load().unwrap().config.policy.allowed_prefixes, ["+44", "+49"]);
}

#[test]
fn an_answer_that_comes_after_sip_gives_up_is_refused_by_its_field() {
    let (_dir, rings) = with_file("[personas.office]\nring_secs = 39\nannouncement = \"One moment.\"");
    assert_eq!(rings.load().unwrap().config.personas["office"].ring_secs, 39);
    let (_dir, too_long) = with_file("[personas.office]\nring_secs = 40\nannouncement = \"One moment.\"");
    let error = error_of(&too_long);
    assert!(
        error.contains("personas.office.ring_secs") && error.contains("ring_timeout_secs = 60"),
        "{error}"
    );
    let (_dir, at_once) = with_file("[sip]\nring_timeout_secs = 1");
    assert!(at_once.load().is_ok());
}

#[test]
fn a_secret_of_digits_stays_text() {
    let config = sources(&[("CALLBOX__HTTP__API_KEY", "0123456789")], &[]).load().unwrap().config;
    assert_eq!(config.http.api_key.expose(), "0123456789");
}

#[test]
fn an_unknown_key_in_a_file_names_the_key_the_file_and_the_nearest() {
    let (dir, sources) = with_file("[http]\nbidn = \"127.0.0.1:1\"");
    let file = dir.path().join("callbox.toml");
    let expected = format!("unknown key `http.bidn` in {}; did you mean `http.bind`?", file.display());
    assert_eq!(error_of(&sources), expected);
}

#[test]
fn an_unknown_key_in_the_environment_names_the_variable() {
    let error = error_of(&sources(&[("CALLBOX__LOG__LEVLE", "debug")], &[]));
    assert_eq!(
        error,
        "unknown key `log.levle` in environment CALLBOX__LOG__LEVLE; did you mean `log.level`?"
    );
}

#[test]
fn an_unknown_section_names_the_nearest_one() {
    let error = error_of(&sources(&[], &[("htpp.bind", "127.0.0.1:1")]));
    assert_eq!(error, "unknown key `htpp` in --set htpp.bind; did you mean `http`?");
}

#[test]
fn a_wrong_type_names_key_and_source_and_not_the_value() {
    let (_dir, from_file) = with_file("[http]\napi_key = 12345");
    let error = error_of(&from_file);
    assert!(error.contains("`http.api_key` in ") && error.contains("must be a string"), "{error}");
    assert!(!error.contains("12345"), "{error}");

    let error = error_of(&sources(&[("CALLBOX__HTTP__TIMEOUT_SECS", "soon")], &[]));
    assert!(error.contains("`http.timeout_secs` in environment CALLBOX__HTTP__TIMEOUT_SECS"), "{error}");
}

#[test]
fn a_word_outside_its_list_names_the_list() {
    let error = error_of(&sources(&[("CALLBOX__LOG__FORMAT", "xml")], &[]));
    assert!(error.contains("`log.format`") && error.contains("\"text\", \"json\""), "{error}");
}

#[test]
fn a_bad_number_or_address_names_its_key() {
    for (key, value) in [
        ("http.bind", "localhost"),
        ("policy.caller_ids", r#"["4155550100"]"#),
        ("policy.hours", "21:00-08:00"),
    ] {
        let error = error_of(&sources(&[], &[(key, value)]));
        assert!(error.contains(key), "{error}");
        assert!(!error.contains(value), "{error}");
    }
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let (_dir, sources) = with_file("[http]\nbind = \n");
    assert!(error_of(&sources).contains("line 2"), "{}", error_of(&sources));
}

#[test]
fn a_file_that_is_named_must_exist() {
    let sources = Sources { file: Some("/nowhere/callbox.toml".into()), ..Sources::default() };
    assert!(error_of(&sources).contains("/nowhere/callbox.toml"));
}

#[test]
fn what_is_printed_hides_secrets_names_origins_and_loads_again() {
    let env = [("CALLBOX__HTTP__API_KEY", "hunter22"), ("CALLBOX__HTTP__BODY_LIMIT", "1000")];
    let loaded = sources(&env, &[("policy.caller_ids", r#"["+14155550100"]"#)]).load().unwrap();
    let printed = loaded.to_toml();
    assert!(!printed.contains("hunter22"), "{printed}");
    assert!(
        printed.contains("api_key = \"[redacted]\" # from environment CALLBOX__HTTP__API_KEY"),
        "{printed}"
    );
    assert!(printed.contains("body_limit = 1000 # from environment CALLBOX__HTTP__BODY_LIMIT"), "{printed}");
    assert!(printed.contains("# Address and port of the HTTP API"), "comments are kept");

    let (_dir, again) = with_file(&printed);
    assert_eq!(again.load().unwrap().config.http.body_limit, 1000);
}

/// `Pii` marks secrets in the structs, key names mark them in print: the two must agree.
#[test]
fn every_secret_of_the_configuration_is_redacted_in_print() {
    let secrets = [
        ("CALLBOX__HTTP__API_KEY", "hunter22"),
        ("CALLBOX__LOOKUP__PASSWORD", "hunter23"),
        ("CALLBOX__LOOKUP__CARRIER__TOKEN", "hunter24"),
    ];
    let loaded = sources(&secrets, &[]).load().unwrap();
    let wrapped = format!("{:?}", loaded.config).matches("[redacted]").count();
    assert_eq!(loaded.to_toml().matches("[redacted]").count(), wrapped);
}

#[test]
fn a_ring_that_no_trunk_may_last_is_named_with_its_bounds() {
    for key in ["call.ring_timeout_secs", "call.transfer_ring_secs"] {
        for value in ["0", "171"] {
            let error = error_of(&sources(&[], &[(key, value)]));
            assert!(error.contains(key) && error.contains("must be 1 to 170 seconds"), "{error}");
        }
        assert!(sources(&[], &[(key, "170")]).load().is_ok());
    }
}
