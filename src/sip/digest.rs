//! Digest authentication (RFC 7616, RFC 8760), as far as the stack leaves it to us.
//!
//! The stack computes MD5 and SHA-256 and answers a stale nonce, but it writes and reads `SHA256`
//! where every RFC says `SHA-256`, knows no list in `qop`, takes the first challenge whatever its
//! algorithm, and quotes what must not be quoted. All of that is put right at the wire.

use rsipstack::{
    sip::{Header, Headers, SipMessage},
    transaction::endpoint::MessageInspector,
    transport::SipAddr,
};

use super::{nonce::NonceCounts, quoting::elements};

/// Our spelling is the RFC's, outside; the stack's, inside.
const ALGORITHMS: [(&str, &str); 2] = [("MD5", "MD5"), ("SHA-256", "SHA256")];

pub(super) struct DigestTranslator(pub NonceCounts);

impl MessageInspector for DigestTranslator {
    fn before_send(&self, mut message: SipMessage, _to: Option<&SipAddr>) -> SipMessage {
        if let SipMessage::Request(request) = &mut message {
            let method = request.method.to_string();
            for header in request.headers.iter_mut() {
                match header {
                    Header::Authorization(value) => *value = self.for_wire(value.value(), &method).into(),
                    Header::ProxyAuthorization(value) => {
                        *value = self.for_wire(value.value(), &method).into()
                    }
                    _ => {}
                }
            }
        }
        message
    }

    fn after_received(&self, mut message: SipMessage, _from: Option<&SipAddr>) -> SipMessage {
        if let SipMessage::Response(response) = &mut message {
            choose_challenges(&mut response.headers);
        }
        message
    }
}

impl DigestTranslator {
    fn for_wire(&self, credentials: &str, method: &str) -> String {
        let credentials = credentials_for_wire(credentials);
        self.0.recount(&credentials, method).unwrap_or(credentials)
    }
}

/// Of the challenges, keeps the first whose algorithm is spoken here, in the stack's spelling
/// (RFC 8760 section 2.4: the topmost the client supports).
fn choose_challenges(headers: &mut Headers) {
    let www = first_spoken(headers.iter().filter_map(|h| match h {
        Header::WwwAuthenticate(value) => Some(value.value()),
        _ => None,
    }));
    let proxy = first_spoken(headers.iter().filter_map(|h| match h {
        Header::ProxyAuthenticate(value) => Some(value.value()),
        _ => None,
    }));
    if let Some(challenge) = www {
        headers.retain(|h| !matches!(h, Header::WwwAuthenticate(_)));
        headers.push(Header::WwwAuthenticate(challenge.into()));
    }
    if let Some(challenge) = proxy {
        headers.retain(|h| !matches!(h, Header::ProxyAuthenticate(_)));
        headers.push(Header::ProxyAuthenticate(challenge.into()));
    }
}

fn first_spoken<'a>(challenges: impl Iterator<Item = &'a str>) -> Option<String> {
    challenges.into_iter().find_map(challenge_for_stack)
}

/// `None` if the scheme or the algorithm is not spoken here.
fn challenge_for_stack(challenge: &str) -> Option<String> {
    rewrite(challenge, |name, value| match name {
        "algorithm" => {
            let (_, stack) = ALGORITHMS.iter().find(|(rfc, _)| value.eq_ignore_ascii_case(rfc))?;
            Some((*stack).to_owned())
        }
        "qop" => value.split(',').any(|q| q.trim() == "auth").then(|| "\"auth\"".to_owned()),
        _ => Some(quoted_as_before(value)),
    })
}

fn credentials_for_wire(credentials: &str) -> String {
    let rewritten = rewrite(credentials, |name, value| match name {
        "algorithm" => {
            let rfc = ALGORITHMS.iter().find(|(_, stack)| value == *stack).map_or(value, |(rfc, _)| rfc);
            Some(rfc.to_owned())
        }
        // RFC 7616 section 3.4: neither is a quoted string in credentials.
        "qop" | "nc" => Some(value.to_owned()),
        _ => Some(quoted_as_before(value)),
    });
    rewritten.unwrap_or_else(|| credentials.to_owned())
}

fn quoted_as_before(value: &str) -> String {
    format!("\"{value}\"")
}

/// Rebuilds a `Digest` value parameter by parameter. `change` gets the lower-case name and the value
/// without its quotes, and returns what to write; `None` gives the whole value up. Parameters that
/// were not quoted and have no rule stay unquoted.
fn rewrite(value: &str, change: impl Fn(&str, &str) -> Option<String>) -> Option<String> {
    let (scheme, parameters) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let mut parts = Vec::new();
    for parameter in split(parameters) {
        let (name, raw) = parameter.split_once('=')?;
        let (name, raw) = (name.trim().to_ascii_lowercase(), raw.trim());
        let bare = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let ruled = matches!(name.as_str(), "algorithm" | "qop" | "nc");
        let written = match bare {
            None if !ruled => raw.to_owned(),
            _ => change(&name, bare.unwrap_or(raw))?,
        };
        parts.push(format!("{name}={written}"));
    }
    Some(format!("Digest {}", parts.join(", ")))
}

/// A parameter of a `Digest` value, without its quotes.
pub(super) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let (_, parameters) = value.trim().split_once(' ')?;
    split(parameters).find_map(|parameter| {
        let (found, raw) = parameter.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| raw.trim().trim_matches('"'))
    })
}

fn split(parameters: &str) -> impl Iterator<Item = &str> {
    elements(parameters).into_iter().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(challenges: &[&str]) -> Headers {
        challenges.iter().map(|c| Header::WwwAuthenticate((*c).into())).collect::<Vec<_>>().into()
    }

    fn chosen(challenges: &[&str]) -> Vec<String> {
        let mut headers = response(challenges);
        choose_challenges(&mut headers);
        let value = |h: &Header| match h {
            Header::WwwAuthenticate(value) => value.value().to_owned(),
            other => panic!("unexpected {other}"),
        };
        headers.iter().map(value).collect()
    }

    #[test]
    fn topmost_spoken_algorithm_is_chosen_in_the_stacks_spelling() {
        let challenges = [
            "Digest realm=\"a\", nonce=\"n\", algorithm=SHA-512-256",
            "Digest realm=\"a, b\", nonce=\"n\", qop=\"auth,auth-int\", algorithm=SHA-256, stale=true",
            "Digest realm=\"a\", nonce=\"n\", algorithm=MD5",
        ];
        let expected = "Digest realm=\"a, b\", nonce=\"n\", qop=\"auth\", algorithm=SHA256, stale=true";
        assert_eq!(chosen(&challenges), [expected]);
    }

    #[test]
    fn challenge_without_algorithm_stays() {
        assert_eq!(chosen(&["Digest realm=\"a\", nonce=\"n\""]), ["Digest realm=\"a\", nonce=\"n\""]);
    }

    #[test]
    fn nothing_spoken_leaves_the_challenges_alone() {
        let challenges = ["Digest realm=\"a\", nonce=\"n\", algorithm=SHA-512-256", "Basic realm=\"a\""];
        assert_eq!(chosen(&challenges), challenges);
    }

    #[test]
    fn credentials_leave_as_the_rfc_writes_them() {
        let inside = "Digest username=\"u\", realm=\"SHA256\", nonce=\"n\", uri=\"sip:x\", response=\"r\", \
                      algorithm=SHA256, qop=\"auth\", nc=00000001, cnonce=\"c\"";
        let outside = "Digest username=\"u\", realm=\"SHA256\", nonce=\"n\", uri=\"sip:x\", response=\"r\", \
                       algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\"";
        assert_eq!(credentials_for_wire(inside), outside);
        assert_eq!(credentials_for_wire("garbage"), "garbage");
    }
}
