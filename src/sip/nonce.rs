//! Nonce counts of digest answers (RFC 7616 section 3.4): the stack answers every challenge as if its
//! nonce were new. A server that challenges a second request with the nonce of the first, and keeps
//! count, would take that for a replay. Pure: a header in and out.

use std::{collections::VecDeque, fmt::Write};

use md5::{Digest as _, Md5};
use parking_lot::Mutex;
use sha2::Sha256;

use super::{digest::parameter, trunk::TrunkConfig};
use crate::base::Pii;

/// Nonces remembered; servers give out new ones long before.
const NONCES: usize = 256;
/// Answers to one nonce that are counted.
const ANSWERS: usize = 4096;

/// What was answered, and whose passwords may have been.
pub(super) struct NonceCounts {
    accounts: Vec<(String, Pii<String>)>,
    answered: Mutex<VecDeque<Answered>>,
}

struct Answered {
    nonce: String,
    /// Each answer has a random cnonce; a retransmission repeats it, and its count.
    cnonces: Vec<String>,
}

impl NonceCounts {
    pub fn new(trunks: &[TrunkConfig]) -> Self {
        let account = |trunk: &TrunkConfig| {
            let user = trunk.auth_username.clone().or_else(|| trunk.username.clone())?;
            Some((user, trunk.password.clone()?))
        };
        NonceCounts { accounts: trunks.iter().filter_map(account).collect(), answered: Mutex::default() }
    }

    /// `credentials`, as the wire spells them, with the count that is due; `None` if it is the first.
    pub fn recount(&self, credentials: &str, method: &str) -> Option<String> {
        let answer = Answer::parse(credentials, method)?;
        let count = self.count(answer.nonce, answer.cnonce)?;
        if count == 1 {
            return None;
        }
        let mine = |(user, password): &&(String, Pii<String>)| {
            user == answer.user && answer.response(password.expose(), answer.count) == answer.given
        };
        let (_, password) = self.accounts.iter().find(mine)?;
        let count = format!("{count:08x}");
        let response = answer.response(password.expose(), &count);
        let counted = credentials.replace(&format!("nc={}", answer.count), &format!("nc={count}"));
        Some(counted.replace(answer.given, &response))
    }

    /// Which answer to its nonce this is, from 1.
    fn count(&self, nonce: &str, cnonce: &str) -> Option<usize> {
        let mut answered = self.answered.lock();
        if !answered.iter().any(|known| known.nonce == nonce) {
            if answered.len() >= NONCES {
                answered.pop_front();
            }
            answered.push_back(Answered { nonce: nonce.to_owned(), cnonces: Vec::new() });
        }
        let cnonces = &mut answered.iter_mut().rfind(|known| known.nonce == nonce)?.cnonces;
        let known = cnonces.iter().position(|known| known == cnonce);
        if known.is_none() && cnonces.len() < ANSWERS {
            cnonces.push(cnonce.to_owned());
        }
        Some(known.map_or(cnonces.len(), |at| at + 1))
    }
}

/// An answer with a count, in parts.
struct Answer<'a> {
    user: &'a str,
    realm: &'a str,
    nonce: &'a str,
    cnonce: &'a str,
    uri: &'a str,
    count: &'a str,
    given: &'a str,
    method: &'a str,
    hash: fn(&str) -> String,
}

impl<'a> Answer<'a> {
    fn parse(credentials: &'a str, method: &'a str) -> Option<Self> {
        let part = |name| parameter(credentials, name);
        let hash = match part("algorithm") {
            None | Some("MD5") => |text: &str| hex(&Md5::digest(text)),
            Some("SHA-256") => |text: &str| hex(&<Sha256 as sha2::Digest>::digest(text)),
            Some(_) => return None,
        };
        Some(Answer {
            user: part("username")?,
            realm: part("realm")?,
            nonce: part("nonce")?,
            cnonce: part("cnonce")?,
            uri: part("uri")?,
            count: part("nc")?,
            given: part("response")?,
            method,
            hash,
        })
    }

    fn response(&self, password: &str, count: &str) -> String {
        let Answer { user, realm, nonce, cnonce, uri, method, hash, .. } = self;
        let who = hash(&format!("{user}:{realm}:{password}"));
        let what = hash(&format!("{method}:{uri}"));
        hash(&format!("{who}:{nonce}:{count}:{cnonce}:auth:{what}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(password: &str) -> NonceCounts {
        let mut trunk = TrunkConfig::peer("a", "x".parse().unwrap());
        trunk.username = Some("Mufasa".into());
        trunk.password = Some(password.to_owned().into());
        NonceCounts::new(&[trunk])
    }

    /// The example of RFC 7616 section 3.9.1.
    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn answer(algorithm: &str, cnonce: &str, count: &str, response: &str) -> String {
        format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"{NONCE}\", \
             uri=\"/dir/index.html\", response=\"{response}\", algorithm={algorithm}, qop=auth, nc={count}, \
             cnonce=\"{cnonce}\""
        )
    }

    #[test]
    fn responses_are_those_of_rfc_7616() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let credentials = answer(algorithm, CNONCE, "00000001", response);
            let parsed = Answer::parse(&credentials, "GET").unwrap();
            assert_eq!(parsed.response("Circle of Life", "00000001"), response);
        }
    }

    #[test]
    fn nonce_that_comes_again_is_counted_and_a_retransmission_repeats_its_count() {
        let counts = counts("Circle of Life");
        let fresh = |cnonce: &str| {
            let unsigned = answer("SHA-256", cnonce, "00000001", "-");
            let response = Answer::parse(&unsigned, "BYE").unwrap().response("Circle of Life", "00000001");
            answer("SHA-256", cnonce, "00000001", &response)
        };
        assert_eq!(counts.recount(&fresh("one"), "BYE"), None);
        let second = counts.recount(&fresh("two"), "BYE").unwrap();
        assert!(second.contains("nc=00000002,"), "{second}");
        let parsed = Answer::parse(&second, "BYE").unwrap();
        assert_eq!(parsed.given, parsed.response("Circle of Life", "00000002"));
        assert_eq!(counts.recount(&fresh("two"), "BYE"), Some(second));
        assert_eq!(counts.recount(&fresh("one"), "BYE"), None);
        for n in 3..=16 {
            let counted = counts.recount(&fresh(&n.to_string()), "BYE").unwrap();
            assert!(counted.contains(&format!("nc={n:08x},")), "{counted}");
        }
    }

    #[test]
    fn what_no_password_of_ours_made_stays_as_it_is() {
        let counts = counts("another");
        let credentials = |cnonce| answer("MD5", cnonce, "00000001", "8ca523f5e9506fed4657c9700eebdbec");
        counts.recount(&credentials("one"), "GET");
        assert_eq!(counts.recount(&credentials("two"), "GET"), None);
        assert_eq!(counts.recount("Digest username=\"u\"", "GET"), None);
    }

    #[test]
    fn memory_is_bounded() {
        let counts = counts("x");
        for n in 0..NONCES * 2 {
            counts.count(&n.to_string(), "c");
        }
        assert_eq!(counts.answered.lock().len(), NONCES);
    }
}
