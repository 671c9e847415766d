//! Who calls, as an INVITE of ours says it: numbers in the trunk's format, the asserted identity
//! (RFC 3325), its privacy (RFC 3323), and for the second leg of a transfer who was called first (Diversion,
//! RFC 5806; History-Info, RFC 7044).
//!
//! A caller's `Identity` header (RFC 8224) is not passed on to that leg: what it signs names the number that
//! was called first, so that every verifier would reject it for another, and the `div` that RFC 8946 asks for
//! can be signed only by who holds a certificate for the number.

use rsipstack::sip::{Header, Param, Uri, headers::untyped::Diversion, uri::User};

use super::{
    error::SipError,
    link::{Trunk, parse_uri},
    trunk::{DiversionHeader, IdentityHeader},
};
use crate::base::E164;

/// What the INVITE of one call says by one trunk.
pub(super) struct Identity {
    pub caller: Uri,
    pub caller_name: Option<String>,
    pub callee: Uri,
    pub headers: Vec<Header>,
}

/// `from` is the number to show, the trunk's own if `None`; `diverted` the number that was called before.
pub(super) fn written(
    trunk: &Trunk,
    to: &E164,
    from: Option<&E164>,
    diverted: Option<&E164>,
) -> Result<Identity, SipError> {
    let config = &trunk.config;
    let callee = number_uri(trunk, trunk.server_uri(Some(&config.dialled(to)))?);
    let mut headers = Vec::new();
    let shown = from.or(config.caller_id.as_ref());
    let own = match shown {
        Some(number) => number_uri(trunk, trunk.domain_uri(&config.write_number(number))?),
        None => trunk.our_uri()?,
    };
    // Toll-free numbers pay for the call and may ask who calls (Telnyx drops such calls).
    let withheld = config.withhold_caller_id && shown.is_some() && !to.is_toll_free();
    if shown.is_some() {
        headers.extend(asserted(config.identity, &own, withheld));
    }
    if let Some(number) = diverted {
        let diverting = number_uri(trunk, trunk.domain_uri(&config.write_number(number))?);
        headers.extend(diversion(config.diversion, &diverting, &callee));
    }
    if !withheld {
        return Ok(Identity { caller: own, caller_name: None, callee, headers });
    }
    headers.push(Header::Privacy("id".into()));
    let caller = parse_uri("anonymous.invalid", Some("anonymous"))?;
    Ok(Identity { caller, caller_name: Some("Anonymous".into()), callee, headers })
}

fn number_uri(trunk: &Trunk, mut uri: Uri) -> Uri {
    if trunk.config.user_phone {
        uri.params.push(Param::User(User::new("phone")));
    }
    uri
}

fn asserted(by: IdentityHeader, own: &Uri, withheld: bool) -> Option<Header> {
    match by {
        IdentityHeader::Pai => Some(Header::PAssertedIdentity(format!("<{own}>").into())),
        IdentityHeader::Ppi => Some(Header::PPreferredIdentity(format!("<{own}>").into())),
        IdentityHeader::Rpid => {
            let privacy = if withheld { "full" } else { "off" };
            let value = format!("<{own}>;party=calling;screen=yes;privacy={privacy}");
            Some(Header::Other("Remote-Party-ID".into(), value))
        }
        IdentityHeader::None => None,
    }
}

fn diversion(by: DiversionHeader, diverting: &Uri, callee: &Uri) -> Option<Header> {
    match by {
        DiversionHeader::None => None,
        DiversionHeader::Diversion => {
            let value = format!("<{diverting}>;reason=unconditional;counter=1;privacy=off");
            Some(Header::Diversion(Diversion::new(value)))
        }
        DiversionHeader::HistoryInfo => {
            // 302: forwarded without a condition (RFC 4458).
            let target = Uri { params: vec![], ..callee.clone() };
            let value = format!("<{diverting}>;index=1, <{target};cause=302>;index=1.1;mp=1");
            Some(Header::HistoryInfo(value.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{guard::Sources, link, trunk::TrunkConfig};

    const NUMBER: &str = "+14155550100";

    fn says(toml: &str, to: &str, diverted: Option<&str>) -> String {
        let text = format!("name = 'a'\nserver = 'sip.example.com'\n{toml}");
        let trunks = vec![toml::from_str::<TrunkConfig>(&text).unwrap()];
        let config = crate::sip::Config { trunks, ..Default::default() };
        let (trunks, _) = link::trunks(&config, &Sources::default()).unwrap();
        let number = |text: &str| text.parse::<E164>().unwrap();
        let diverted = diverted.map(number);
        let identity = written(&trunks[0], &number(to), Some(&number(NUMBER)), diverted.as_ref()).unwrap();
        let headers: String = identity.headers.iter().map(|header| format!("{header}\n")).collect();
        format!("{}\n{}\n{headers}", identity.callee, identity.caller)
    }

    #[test]
    fn number_stands_in_all_three_places() {
        assert_eq!(
            says("", "+14155550123", None),
            "sip:+14155550123@sip.example.com\nsip:+14155550100@sip.example.com\n\
             P-Asserted-Identity: <sip:+14155550100@sip.example.com>\n"
        );
        assert_eq!(
            says(
                "number_format = 'e164_without_plus'\ntech_prefix = '12345678*'\nidentity = 'ppi'",
                "+14155550123",
                None
            ),
            "sip:12345678*14155550123@sip.example.com\nsip:14155550100@sip.example.com\n\
             P-Preferred-Identity: <sip:14155550100@sip.example.com>\n"
        );
        assert_eq!(
            says("user_phone = true\nidentity = 'none'", "+14155550123", None),
            "sip:+14155550123@sip.example.com;user=phone\nsip:+14155550100@sip.example.com;user=phone\n"
        );
    }

    #[test]
    fn withheld_number_is_told_to_the_carrier_alone_and_never_kept_from_who_pays() {
        let withheld = says("withhold_caller_id = true", "+14155550123", None);
        assert_eq!(
            withheld,
            "sip:+14155550123@sip.example.com\nsip:anonymous@anonymous.invalid\n\
             P-Asserted-Identity: <sip:+14155550100@sip.example.com>\nPrivacy: id\n"
        );
        let toll_free = says("withhold_caller_id = true", "+18005550123", None);
        assert!(!toll_free.contains("Privacy") && !toll_free.contains("anonymous"), "{toll_free}");
        let rpid = says("withhold_caller_id = true\nidentity = 'rpid'", "+14155550123", None);
        assert!(rpid.contains("Remote-Party-ID: <sip:+14155550100@sip.example.com>;"), "{rpid}");
        assert!(rpid.contains(";privacy=full"), "{rpid}");
    }

    #[test]
    fn second_leg_says_who_was_called_first_where_the_trunk_wants_it() {
        let diverted = Some("+14155550177");
        assert!(!says("", "+14155550123", diverted).contains("77"));
        assert!(says("diversion = 'diversion'", "+14155550123", diverted).contains(
            "Diversion: <sip:+14155550177@sip.example.com>;reason=unconditional;counter=1;privacy=off\n"
        ));
        assert!(says("diversion = 'history_info'", "+14155550123", diverted).contains(
            "History-Info: <sip:+14155550177@sip.example.com>;index=1, \
             <sip:+14155550123@sip.example.com;cause=302>;index=1.1;mp=1\n"
        ));
        assert!(!says("diversion = 'diversion'", "+14155550123", None).contains("Diversion"));
    }
}
