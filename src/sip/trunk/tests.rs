use super::*;

fn trunk(toml: &str) -> Result<TrunkConfig, String> {
    toml::from_str(toml).map_err(|e| e.to_string())
}

#[test]
fn smallest_trunk_is_a_name_and_a_server() {
    let trunk = trunk("name = 'a'\nserver = 'sip.example.com'").unwrap();
    assert_eq!(trunk.server, Server { host: "sip.example.com".into(), port: None });
    assert_eq!(trunk.transport, Transport::Udp);
    assert_eq!(trunk.validate(), Ok(()));
}

#[test]
fn unknown_and_wrong_fields_are_named() {
    let error = trunk("name = 'a'\nserver = 'x'\nsecret = 'y'").unwrap_err();
    assert!(error.contains("secret"), "{error}");
    let error = trunk("name = 'a'\nserver = 'x:port'").unwrap_err();
    assert!(error.contains("host:port"), "{error}");
    let error = trunk("name = 'a'\nserver = 'x'\nallow = ['10.0.0.0/33']").unwrap_err();
    assert!(error.contains("192.0.2.0/24"), "{error}");
    let error = trunk("name = 'a'\nserver = 'x'\nregister = true").unwrap().validate().unwrap_err();
    assert_eq!(error.to_string(), "trunk `a`: `username` must be set, since `register = true`");
}

#[test]
fn rules_of_calls_are_checked() {
    let invalid = |toml: &str| {
        let text = format!("name = 'a'\nserver = 'x'\n{toml}");
        trunk(&text).unwrap().validate().err().map(|error| error.field)
    };
    assert_eq!(invalid("cps = 0.5\ncps_queue_secs = 0\ntech_prefix = '1234*'\nprefixes = ['+1']"), None);
    assert_eq!(invalid("cps = -1.0"), Some("cps"));
    assert_eq!(invalid("cps_queue_secs = inf"), Some("cps_queue_secs"));
    assert_eq!(invalid("tech_prefix = '12;x'"), Some("tech_prefix"));
    assert_eq!(invalid("prefixes = ['1']"), Some("prefixes"));
    assert_eq!(invalid("verification_header = 'X: y'"), Some("verification_header"));
    assert!(trunk("name = 'a'\nserver = 'x'\nidentity = 'from'").unwrap_err().contains("rpid"));
}

#[test]
fn trunk_shows_its_own_number_and_those_it_lists() {
    let trunk =
        trunk("name = 'a'\nserver = 'x'\ncaller_id = '+14155550100'\ncaller_ids = ['+14155550101']").unwrap();
    let shows = |number: &str| trunk.may_show(Some(&number.parse().unwrap()));
    assert!(shows("+14155550100") && shows("+14155550101") && !shows("+14155550102"));
    assert!(trunk.may_show(None));
}

#[test]
fn header_injection_is_refused() {
    let mut trunk = TrunkConfig::peer("a", "x".parse().unwrap());
    trunk.username = Some("a\r\nVia: b".into());
    assert_eq!(trunk.validate().unwrap_err().field, "username");
    assert!("x>\r\n".parse::<Server>().is_err());
}

#[test]
fn password_never_prints() {
    let trunk = trunk("name='a'\nserver='x'\nusername='u'\npassword='hunter2'").unwrap();
    assert!(!format!("{trunk:?}").contains("hunter2"));
}

#[test]
fn networks_contain_what_they_should() {
    let net: Network = "192.0.2.0/24".parse().unwrap();
    assert!(net.contains("192.0.2.255".parse().unwrap()));
    assert!(net.contains("::ffff:192.0.2.1".parse().unwrap()));
    assert!(!net.contains("192.0.3.1".parse().unwrap()));
    let all: Network = "0.0.0.0/0".parse().unwrap();
    assert!(all.contains("203.0.113.1".parse().unwrap()));
    assert!(!all.contains("2001:db8::1".parse().unwrap()));
    let one: Network = "2001:db8::1".parse().unwrap();
    assert!(one.contains("2001:db8::1".parse().unwrap()));
    assert!(!one.contains("2001:db8::2".parse().unwrap()));
}

#[test]
fn servers_parse_and_print() {
    for text in
        ["sip.example.com", "sip.example.com:5080", "192.0.2.1", "192.0.2.1:5060", "[2001:db8::1]:5060"]
    {
        assert_eq!(text.parse::<Server>().unwrap().to_string(), text);
    }
    assert_eq!("2001:db8::1".parse::<Server>().unwrap().to_string(), "[2001:db8::1]");
    for text in ["", "a b", "host:0", "host:99999", "http://x"] {
        assert!(text.parse::<Server>().is_err(), "{text}");
    }
}
