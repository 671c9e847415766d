//! Where an INVITE goes, kept for its CANCEL: to the same address, port and transport (RFC 3261 section 9.1).
//!
//! Over UDP the stack sends a CANCEL wherever the host of its Request-URI leads by then: a name of several
//! addresses leads to another machine, which knows nothing of the call. It sends by the first Route, if there
//! is one. So an INVITE has the address as a Route of its own, which its CANCEL and its ACK copy, and none of
//! them takes to the wire.

use rsipstack::{
    sip::{Header, Param, Request, Scheme, Uri, typed::Route},
    transport::SipAddr,
};

/// Names the Route that is not for the wire.
const MARK: &str = "callbox-next-hop";

/// For an INVITE that leaves to `address`; to be taken off by [`take_off`].
pub(super) fn route(address: &SipAddr) -> Route {
    let transport = address.r#type.map(Param::Transport);
    let mark = Param::Other(MARK.into(), None);
    let params = [Some(Param::Lr), transport, Some(mark)].into_iter().flatten().collect();
    let scheme = Some(Scheme::Sip);
    let uri = Uri { scheme, host_with_port: address.addr.clone(), params, ..Uri::default() };
    Route { display_name: None, uri, params: vec![] }
}

pub(super) fn take_off(request: &mut Request) {
    request.headers.retain(|header| !matches!(header, Header::Route(route) if route.value().contains(MARK)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_leads_where_the_invite_went_and_stays_here() {
        for (text, kind) in [("192.0.2.7:5070", None), ("[2001:db8::7]:5061", Some("TLS"))] {
            let r#type = kind.map(|kind| kind.parse().unwrap());
            let address = SipAddr { r#type, addr: text.try_into().unwrap() };
            let text = format!(
                "CANCEL sip:c@carrier.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\r\n\
                 Route: {}\r\nRoute: <sip:kept.example;lr>\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
                 Call-ID: a\r\nCSeq: 2 CANCEL\r\n\r\n",
                route(&address)
            );
            let mut request = Request::try_from(text.as_bytes()).unwrap();
            let leads_to = SipAddr::try_from(&request.destination()).unwrap();
            assert_eq!((leads_to.addr, leads_to.r#type), (address.addr, address.r#type), "{request}");
            take_off(&mut request);
            let routes = request.headers.iter().filter(|header| matches!(header, Header::Route(_)));
            assert_eq!(routes.map(Header::value).collect::<Vec<_>>(), ["<sip:kept.example;lr>"]);
        }
    }
}
