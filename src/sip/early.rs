//! Requests of ours in an early dialog (RFC 3261 section 12.1.2): a PRACK, an UPDATE before the answer.
//!
//! The stack numbers them but addresses them as if the INVITE had not been forked or proxied: to the
//! latest tag, by no route. So each carries where it goes in headers of our own, and [`readdress`] puts
//! that in its place at the wire.

use rsipstack::sip::{
    Header, Request, Response, Uri,
    prelude::{HeadersExt, ToTypedHeader},
    typed::RecordRoute,
};

const TARGET: &str = "Callbox-Early-Target";
const ROUTE: &str = "Callbox-Early-Route";
const TO: &str = "Callbox-Early-To";

/// Callees to which a forked call is followed: what further ones play is heard, but their descriptions are not
/// kept, and what they say reliably is not acknowledged.
pub(super) const MAX_FORKS: usize = 16;

/// What each callee of a forked call described before one of them answered.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// By the callee's tag.
    forks: Vec<(String, String)>,
}

impl Described {
    pub fn hear(&mut self, tag: &str, sdp: &str) {
        match self.forks.iter().position(|(fork, _)| fork == tag) {
            Some(known) => sdp.clone_into(&mut self.forks[known].1),
            None if self.forks.len() < MAX_FORKS => self.forks.push((tag.to_owned(), sdp.to_owned())),
            None => {}
        }
    }

    pub fn by(&self, tag: &str) -> Option<&str> {
        self.forks.iter().find(|(fork, _)| fork == tag).map(|(_, sdp)| sdp.as_str())
    }
}

/// The tag of who answers a request of ours.
pub(super) fn callee_of(response: &Response) -> Option<String> {
    Some(response.to_header().ok()?.tag().ok()??.value().to_owned())
}

/// Where a request goes in the dialog that a provisional response opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EarlyDialog {
    /// The callee's tag; a forked call has one for each callee.
    pub tag: String,
    to: String,
    pub target: Option<Uri>,
    /// First hop first.
    routes: Vec<String>,
}

impl EarlyDialog {
    /// The dialog of a 1xx; `None` if it opens none, as 100 does.
    pub fn of(response: &Response) -> Option<Self> {
        let to = response.to_header().ok()?;
        let tag = callee_of(response)?;
        let target = response.contact_header().ok().and_then(|contact| contact.typed().ok());
        let recorded = response.record_route_headers();
        let lists = recorded.iter().map(|list| RecordRoute::parse_header_list(list.value()));
        let mut routes: Vec<_> = lists.flatten().flatten().map(|route| format!("<{}>", route.uri)).collect();
        routes.reverse();
        Some(EarlyDialog { tag, to: to.value().to_owned(), target: target.map(|c| c.uri), routes })
    }

    /// Whether the callee is reached directly, so that its Contact is the next hop, too.
    pub fn is_direct(&self) -> bool {
        self.routes.is_empty()
    }

    /// For a request within it, to be taken off by [`readdress`].
    pub fn headers(&self) -> Vec<Header> {
        let own = |name: &str, value: String| Header::Other(name.into(), value);
        let mut headers = vec![own(TO, self.to.clone())];
        headers.extend(self.target.iter().map(|target| own(TARGET, target.to_string())));
        headers.extend(self.routes.iter().map(|route| own(ROUTE, route.clone())));
        headers
    }
}

/// Addresses a request that carries [`EarlyDialog::headers`]; others leave as they are.
pub(super) fn readdress(request: &mut Request) {
    let named = |header: &Header, wanted: &str| matches!(header, Header::Other(name, _) if name == wanted);
    if !request.headers.iter().any(|header| named(header, TO)) {
        return;
    }
    let values = |wanted| {
        let found = request.headers.iter().filter(|header| named(header, wanted));
        found.map(|header| header.value().to_owned()).collect::<Vec<_>>()
    };
    let (to, target, routes) = (values(TO), values(TARGET), values(ROUTE));
    request.headers.retain(|header| ![TO, TARGET, ROUTE].iter().any(|own| named(header, own)));
    if let Some(target) = target.first().and_then(|target| Uri::try_from(target.as_str()).ok()) {
        request.uri = target;
    }
    for to in to {
        request.headers.unique_push(Header::To(to.into()));
    }
    request.headers.retain(|header| !matches!(header, Header::Route(_)));
    request.headers.extend(routes.into_iter().map(|route| Header::Route(route.into())).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ringing(headers: &str) -> Response {
        let text = format!(
            "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             Call-ID: a\r\nCSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Response::try_from(text.as_bytes()).unwrap()
    }

    fn prack(dialog: &EarlyDialog) -> String {
        let text = "PRACK sip:192.0.2.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\r\n\
                    From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=latest\r\nCall-ID: a\r\nCSeq: 2 PRACK\r\n\r\n";
        let mut request = Request::try_from(text.as_bytes()).unwrap();
        request.headers.extend(dialog.headers());
        readdress(&mut request);
        request.to_string()
    }

    #[test]
    fn request_goes_to_its_own_fork_along_the_recorded_route() {
        let response = ringing(
            "To: <sip:c@d>;tag=fork-a\r\nContact: <sip:callee@198.51.100.7:5070>\r\n\
             Record-Route: <sip:10.0.0.2;lr>, <sip:10.0.0.1;lr>\r\n",
        );
        let dialog = EarlyDialog::of(&response).unwrap();
        assert_eq!((dialog.tag.as_str(), dialog.is_direct()), ("fork-a", false));
        let sent = prack(&dialog);
        assert!(sent.starts_with("PRACK sip:callee@198.51.100.7:5070 SIP/2.0\r\n"), "{sent}");
        assert!(sent.contains("To: <sip:c@d>;tag=fork-a\r\n") && !sent.contains("latest"), "{sent}");
        let routes: Vec<_> = sent.lines().filter(|line| line.starts_with("Route:")).collect();
        assert_eq!(routes, ["Route: <sip:10.0.0.1;lr>", "Route: <sip:10.0.0.2;lr>"]);
        assert!(!sent.contains("Callbox"), "{sent}");
    }

    #[test]
    fn response_without_a_tag_opens_no_dialog() {
        assert_eq!(EarlyDialog::of(&ringing("To: <sip:c@d>\r\n")), None);
        assert!(EarlyDialog::of(&ringing("To: <sip:c@d>;tag=x\r\n")).unwrap().is_direct());
    }

    #[test]
    fn each_callee_is_remembered_by_what_it_said_last() {
        let mut described = Described::default();
        for (tag, sdp) in [("a", "1"), ("b", "2"), ("a", "3")] {
            described.hear(tag, sdp);
        }
        assert_eq!((described.by("a"), described.by("b"), described.by("c")), (Some("3"), Some("2"), None));
        (0..100).for_each(|n| described.hear(&format!("tag{n}"), "sdp"));
        assert_eq!(described.forks.len(), MAX_FORKS);
    }

    #[test]
    fn other_requests_leave_as_they_are() {
        let text = "BYE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\r\nRoute: <sip:x;lr>\r\n\
                    From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: a\r\nCSeq: 2 BYE\r\n\r\n";
        let mut request = Request::try_from(text.as_bytes()).unwrap();
        let before = request.clone();
        readdress(&mut request);
        assert_eq!(request, before);
    }
}
