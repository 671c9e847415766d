use super::*;

/// Tuesday noon in New York, nine in the morning in San Francisco, five in the afternoon in London.
const NOON: &str = "2027-01-05T17:00:00Z";

fn config() -> Config {
    Config {
        allowed_prefixes: vec!["+1".into(), "+49".into(), "+39".into()],
        denied_prefixes: vec!["+1876".into(), "+12025550199".into()],
        caller_ids: vec!["+14155550100".parse().unwrap()],
        hours: Hours::ANY,
        hours_strict: false,
        caps: Caps::default(),
    }
}

/// Every country allowed.
fn open_to_the_world() -> Config {
    Config { allowed_prefixes: vec!["+".into()], denied_prefixes: vec![], ..config() }
}

fn judge(config: Config, text: &str, utc: &str) -> Result<(), FieldError> {
    Policy::new(config).callable("phone_number", text, utc.parse().unwrap()).map(|_| ())
}

fn verdict(text: &str) -> Result<(), Verdict> {
    judge(config(), text, NOON).map_err(|error| error.verdict)
}

#[test]
fn ordinary_numbers_may_be_called() {
    for number in ["+14155550123", "+12125550187", "+493012345678", "+390612345678", "+18002255288"] {
        assert_eq!(verdict(number), Ok(()), "{number}");
    }
}

#[test]
fn services_and_costly_codes_are_refused_however_written() {
    for number in [
        "911",
        "+911",
        "+1911",
        "9-1-1",
        "112",
        "988",
        "+1988",
        "411",
        "+1611",
        "+44999",
        "741741",
        "+19005550123",
        "+14159760123",
        "+17105550123",
        "+19885550123",
        "+17005550123",
        "+16005550123",
    ] {
        assert_eq!(verdict(number), Err(Verdict::Refused), "{number}");
    }
}

/// The prefixes allow every one of these.
#[test]
fn lines_that_bill_the_caller_are_refused_in_every_country() {
    for (number, problem) in [
        ("+870773111632", "is a satellite number"),
        ("+881612345678", "is a satellite number"),
        ("+882161234567", "is a number of an international network"),
        ("+883510012345", "is a number of an international network"),
        ("+979123456789", "is an international premium-rate number"),
        ("+80812345678", "is an international shared-cost number"),
        ("+449012345678", "is a premium-rate number"),
        ("+499001123456", "is a premium-rate number"),
        ("+4918012345678", "is a shared-cost number"),
        ("+39892123", "is a premium-rate number"),
        ("+447012345678", "is a follow-me number"),
        ("+447640123456", "is a pager"),
        ("+15005550006", "is a follow-me number"),
    ] {
        let error = judge(open_to_the_world(), number, NOON).unwrap_err();
        assert_eq!(error.verdict, Verdict::Refused, "{number}");
        assert!(error.problem.starts_with(problem), "{number}: {}", error.problem);
    }
}

#[test]
fn numbers_outside_the_plan_are_invalid() {
    for number in [
        "4155550123",
        "+1415555012",
        "+141555501234",
        "+11155550123",
        "+14159110123",
        "",
        "+1",
        // No such area code; no such German number; an Italian one without its zero.
        "+12112345678",
        "+39612345678",
        "+4900000000",
        "+19992345678",
    ] {
        assert_eq!(verdict(number), Err(Verdict::Invalid), "{number}");
    }
}

#[test]
fn fictional_numbers_are_like_any_other_where_the_prefix_allows() {
    for number in ["+12125550100", "+14155550199", "+19995550142"] {
        assert_eq!(verdict(number), Ok(()), "{number}");
    }
    let abroad = Config { allowed_prefixes: vec!["+49".into()], ..config() };
    assert_eq!(judge(abroad, "+12125550100", NOON).unwrap_err().verdict, Verdict::Refused);
}

#[test]
fn the_country_is_the_metadatas_and_zeros_count() {
    let line = |number: &str| numbering::line(&number.parse().unwrap()).map(|line| (line.region, line.kind));
    let expected = |region: &str, kind| Some((region.to_owned(), kind));
    assert_eq!(line("+14165550123"), expected("CA", Type::FixedLine));
    assert_eq!(line("+390612345678"), expected("IT", Type::FixedLine));
    assert_eq!(line("+393331234567"), expected("IT", Type::Mobile));
    assert_eq!(line("+441481960194"), expected("GG", Type::FixedLine));
    assert_eq!(line("+4420794601234"), None);
    assert_eq!(line("+2105550123"), None);
}

#[test]
fn prefixes_decide_and_denial_wins() {
    for number in ["+442079460123", "+18765550123", "+12025550199"] {
        assert_eq!(verdict(number), Err(Verdict::Refused), "{number}");
    }
}

#[test]
fn caller_id_must_be_our_own() {
    let policy = Policy::new(config());
    assert!(policy.caller_id("from", "+14155550100").is_ok());
    let error = policy.caller_id("from", "+14155550101").unwrap_err();
    assert_eq!(error.verdict, Verdict::Refused);
    assert!(error.fix.contains("policy.caller_ids"));
}

#[test]
fn calls_go_out_when_it_is_day_at_every_clock_of_the_place() {
    let daytime = || Config { hours: "08:00-21:00".parse().unwrap(), ..open_to_the_world() };
    for (number, utc, allowed) in [
        ("+14155550123", "2027-01-05T15:59:00Z", false), // 7:59 in San Francisco
        ("+14155550123", "2027-01-05T16:00:00Z", true),
        ("+14155550123", "2027-07-06T15:00:00Z", true), // 8:00, summer
        ("+12125550123", "2027-01-06T02:00:00Z", false), // 21:00 in New York
        ("+18505550123", "2027-01-05T13:30:00Z", false), // Florida: 8:30 in Tallahassee, 7:30 in Pensacola
        ("+18505550123", "2027-01-05T14:00:00Z", true),
        ("+442079460123", "2027-01-05T08:00:00Z", true),
        ("+442079460123", "2027-01-05T07:59:00Z", false),
        ("+61291234567", "2027-01-05T20:30:00Z", false), // 7:30 in Sydney, night in Perth
        ("+61291234567", "2027-01-05T04:00:00Z", true),
        ("+18002255288", "2027-01-05T09:00:00Z", true), // toll-free: nowhere
    ] {
        let ruling = judge(daytime(), number, utc);
        assert_eq!(ruling.is_ok(), allowed, "{number} at {utc}: {ruling:?}");
    }
    let night = judge(daytime(), "+14155550123", "2027-01-05T10:12:00Z").unwrap_err();
    assert_eq!((night.verdict, night.problem.as_str()), (Verdict::OutsideHours, "is where it is now 02:12"));
    assert_eq!(night.fix, "call within 08:00-21:00 there; next at 2027-01-05T16:00Z");
    let strict = Config { hours_strict: true, ..daytime() };
    assert_eq!(judge(strict, "+18002255288", NOON).unwrap_err().verdict, Verdict::Refused);
}

#[test]
fn an_explanation_has_every_rule_and_agrees_with_the_verdict() {
    let policy = Policy::new(Config { hours: "08:00-21:00".parse().unwrap(), ..config() });
    let night = "2027-01-05T10:12:00Z".parse().unwrap();
    let (number, rulings) = policy.explain("+18765550123", night);
    assert!(number.is_some());
    let refused: Vec<_> =
        rulings.iter().filter(|(_, ruling)| ruling.is_err()).map(|(name, _)| *name).collect();
    assert_eq!(rulings.len(), 1 + RULES.len());
    assert_eq!(refused, ["denied prefixes", "calling hours"]);
    assert_eq!(policy.explain("911", night).1.len(), 1);
}

proptest::proptest! {
    /// The metadata is asked with whatever a client sends.
    #[test]
    fn no_text_breaks_the_rules(text in "\\PC{0,20}", digits in "\\+[1-9][0-9]{6,14}") {
        for text in [text, digits] {
            let _ = judge(open_to_the_world(), &text, NOON);
        }
    }
}
