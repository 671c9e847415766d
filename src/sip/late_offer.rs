//! Calls of ours that leave without an offer (RFC 3261 section 13.2.1): the peer makes one in its 2xx, and our
//! answer is in the ACK. The stack writes that ACK and sends it as soon as the 2xx is here, so the one is read
//! and the other filled in at the wire.

use std::collections::HashMap;

use parking_lot::Mutex;
use rsipstack::{
    dialog::{DialogId, invite_dialog::InviteDialog},
    sip::{Header, Request, Response, prelude::HeadersExt},
};

use super::{
    early::{MAX_FORKS, callee_of},
    message::{SDP, body_text},
    sdp::{self, Local},
};

/// In units of T1, how long after its end a call may still be accepted: an INVITE that is taken back lives for 64,
/// and so does its CANCEL.
pub(super) const LATEST: u32 = 130;

/// What is expected, by Call-ID and From tag: each attempt of a call has a session of its own.
#[derive(Default)]
pub(super) struct LateOffers(Mutex<HashMap<Attempt, Expected>>);

type Attempt = (String, String);

struct Expected {
    local: Local,
    /// Of the INVITE that was accepted: one within the call has another.
    cseq: Option<u32>,
    /// One for each callee of a forked call: the first is who we speak to.
    answers: Vec<Answer>,
}

struct Answer {
    /// The callee's tag.
    callee: String,
    sdp: String,
}

impl LateOffers {
    /// Sends an INVITE without an offer by `send`; whoever answers is told `local`. To be taken back by
    /// [`LateOffers::forget`].
    pub fn expect<T, E>(
        &self,
        local: Local,
        send: impl FnOnce() -> Result<(InviteDialog, T), E>,
    ) -> Result<(InviteDialog, T), E> {
        // No response is read before it is known what it is to.
        let mut expected = self.0.lock();
        let sent = send()?;
        expected.insert(attempt(&sent.0.id()), Expected { local, cseq: None, answers: Vec::new() });
        Ok(sent)
    }

    pub fn is_expected(&self, id: &DialogId) -> bool {
        self.0.lock().contains_key(&attempt(id))
    }

    pub fn forget(&self, id: &DialogId) {
        self.0.lock().remove(&attempt(id));
    }

    /// What we answered to `callee`.
    pub fn answered(&self, id: &DialogId, callee: &str) -> Option<String> {
        let expected = self.0.lock();
        let answers = &expected.get(&attempt(id))?.answers;
        Some(answers.iter().find(|answer| answer.callee == callee)?.sdp.clone())
    }

    /// Reads the offer of a 2xx to an INVITE, if one is expected there. An offer that nothing can be agreed on
    /// is answered, too, with all its streams refused, as is that of another callee than the first, which the
    /// stack hangs up; one that cannot be read is not.
    pub fn hear(&self, response: &Response) {
        let mut expected = self.0.lock();
        let Some(Named { attempt, cseq }) = named(&expected, response) else { return };
        let Some(Expected { local, cseq: accepted, answers }) = expected.get_mut(&attempt) else { return };
        if *accepted.get_or_insert(cseq) != cseq {
            return;
        }
        let (Some(callee), Some(offer)) = (callee_of(response), body_text(&response.body)) else { return };
        if answers.len() == MAX_FORKS || answers.iter().any(|answer| answer.callee == callee) {
            return;
        }
        let agreed = sdp::answer(local, &offer).ok().filter(|_| answers.is_empty());
        let sdp = agreed.map(|(answer, _)| answer).or_else(|| sdp::refuse(local, &offer).ok());
        answers.extend(sdp.map(|sdp| Answer { callee, sdp }));
    }

    /// Puts our answer into the ACK of a 2xx that had an offer.
    pub fn answer(&self, ack: &mut Request) {
        let expected = self.0.lock();
        let Some(Named { attempt, cseq }) = named(&expected, ack) else { return };
        let accepted = expected.get(&attempt).filter(|expected| expected.cseq == Some(cseq));
        let Some(Expected { answers, .. }) = accepted else { return };
        let Some(tag) = ack.to_header().ok().and_then(|to| to.tag().ok().flatten()) else { return };
        if let Some(Answer { sdp, .. }) = answers.iter().find(|answer| answer.callee == tag.value()) {
            ack.body = sdp.clone().into_bytes();
            ack.headers.unique_push(Header::ContentType(SDP.into()));
            ack.headers.unique_push(Header::ContentLength((ack.body.len() as u32).into()));
        }
    }
}

fn attempt(id: &DialogId) -> Attempt {
    (id.call_id.clone(), id.local_tag.clone())
}

/// Whose a message is, and the number of its request.
struct Named {
    attempt: Attempt,
    cseq: u32,
}

/// Not looked for while nothing is expected: most trunks want our offer.
fn named(expected: &HashMap<Attempt, Expected>, message: &impl HeadersExt) -> Option<Named> {
    if expected.is_empty() {
        return None;
    }
    let call_id = message.call_id_header().ok()?.value().to_owned();
    let tag = message.from_header().ok()?.tag().ok()??.value().to_owned();
    Some(Named { attempt: (call_id, tag), cseq: message.cseq_header().ok()?.seq().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "caller";

    fn awaiting() -> LateOffers {
        let offers = LateOffers::default();
        let local = Local::new("192.0.2.1:40000".parse().unwrap(), 7);
        let expected = Expected { local, cseq: None, answers: Vec::new() };
        offers.0.lock().insert(("call".into(), CALLER.into()), expected);
        offers
    }

    fn accepted(caller: &str, callee: &str, cseq: u32, formats: &str) -> Response {
        let sdp =
            format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{formats}");
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag={caller}\r\n\
             To: <sip:c@d>;tag={callee}\r\nCall-ID: call\r\nCSeq: {cseq} INVITE\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        Response::try_from(text.as_bytes()).unwrap()
    }

    /// As it leaves.
    fn ack(offers: &LateOffers, caller: &str, callee: &str, cseq: u32) -> Request {
        let text = format!(
            "ACK sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\r\nFrom: <sip:a@b>;tag={caller}\r\n\
             To: <sip:c@d>;tag={callee}\r\nCall-ID: call\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n"
        );
        let mut request = Request::try_from(text.as_bytes()).unwrap();
        offers.answer(&mut request);
        request
    }

    const MU_LAW: &str = "m=audio 50000 RTP/AVP 0\r\n";
    const G729: &str = "m=audio 50000 RTP/AVP 18\r\n";

    #[test]
    fn each_callee_is_answered_in_its_ack_and_the_first_is_spoken_to() {
        let offers = awaiting();
        offers.hear(&accepted(CALLER, "one", 2, MU_LAW));
        offers.hear(&accepted(CALLER, "two", 2, MU_LAW));
        for _ in 0..2 {
            let (one, two) = (ack(&offers, CALLER, "one", 2), ack(&offers, CALLER, "two", 2));
            let told = String::from_utf8(one.body.clone()).unwrap();
            assert!(told.contains("m=audio 40000 RTP/AVP 0\r\n"), "{told}");
            let text = one.to_string();
            let length = format!("Content-Length: {}\r\n", one.body.len());
            assert!(text.contains("Content-Type: application/sdp\r\n") && text.contains(&length), "{text}");
            assert!(!text.contains("Content-Length: 0"), "{text}");
            let told = String::from_utf8(two.body).unwrap();
            assert!(told.contains("m=audio 0 RTP/AVP 0\r\n"), "one is spoken to: {told}");
        }
        let id = |call_id: &str| DialogId {
            call_id: call_id.into(),
            local_tag: CALLER.into(),
            remote_tag: "one".into(),
        };
        assert!(offers.answered(&id("call"), "one").is_some_and(|sdp| sdp.contains("RTP/AVP 0")));
        assert_eq!(offers.answered(&id("another"), "one"), None);
        offers.forget(&id("call"));
        assert!(ack(&offers, CALLER, "one", 2).body.is_empty());
    }

    #[test]
    fn what_is_not_asked_for_is_not_answered() {
        let offers = awaiting();
        offers.hear(&accepted("another", "one", 2, MU_LAW));
        assert!(ack(&offers, "another", "one", 2).body.is_empty(), "another attempt, which made an offer");
        offers.hear(&accepted(CALLER, "one", 2, "no SDP\r\n"));
        assert!(ack(&offers, CALLER, "one", 2).body.is_empty(), "nothing to answer");
        offers.hear(&accepted(CALLER, "one", 3, MU_LAW));
        assert!(ack(&offers, CALLER, "one", 3).body.is_empty(), "an answer to an offer within the call");
    }

    #[test]
    fn offer_that_nothing_can_be_agreed_on_is_refused_stream_by_stream() {
        let offers = awaiting();
        offers.hear(&accepted(CALLER, "one", 2, &format!("{G729}m=video 50002 RTP/AVP 96\r\n")));
        let told = String::from_utf8(ack(&offers, CALLER, "one", 2).body).unwrap();
        assert!(told.contains("m=audio 0 RTP/AVP 18\r\nm=video 0 RTP/AVP 96\r\n"), "{told}");
    }
}
