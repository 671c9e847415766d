use proptest::prelude::*;

use super::*;

fn local() -> Local {
    Local::new("192.0.2.1:40000".parse().unwrap(), 7)
}

fn described(body: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n{body}")
}

fn answered(body: &str) -> (String, Negotiated) {
    answer(&local(), &described(body)).unwrap()
}

#[test]
fn our_offer_is_answered_by_our_own_answer() {
    let offer = offer(&local());
    let peer = Local { codecs: vec![Codec::Pcma], ..Local::new("192.0.2.9:5004".parse().unwrap(), 9) };
    let (answer, theirs) = answer(&peer, &offer).unwrap();
    assert_eq!(theirs.codec, Codec::Pcma);
    let ours = accept(&local(), &answer).unwrap();
    assert_eq!(ours.codec, Codec::Pcma);
    assert_eq!(ours.remote, peer.address);
    assert_eq!(ours.telephone_event, Some(101));
    assert!(answer.contains("a=fmtp:101 0-16\r\n"), "{answer}");
}

#[test]
fn answer_takes_the_offers_payload_types_and_no_codec_outside_it() {
    let (sdp, n) = answered(
        "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 18 96 8 97\r\na=rtpmap:18 G729/8000\r\n\
         a=rtpmap:96 pcma/8000\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=ptime:30\r\n",
    );
    assert_eq!((n.codec, n.payload_type, n.telephone_event, n.ptime), (Codec::Pcma, 96, Some(97), 30));
    assert!(sdp.contains("m=audio 40000 RTP/AVP 96 97\r\n"), "{sdp}");
    assert!(sdp.contains("a=fmtp:97 0-15\r\n"), "{sdp}");
}

#[test]
fn rtpmap_wins_over_the_static_table() {
    let (_, n) = answered(
        "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 PCMA/8000\r\na=rtpmap:8 PCMU/8000\r\n",
    );
    assert_eq!((n.codec, n.payload_type), (Codec::Pcmu, 8));
    let wide = described("c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/16000\r\n");
    assert!(matches!(answer(&local(), &wide), Err(SdpError::NoCommonCodec { .. })));
}

#[test]
fn telephone_events_at_another_clock_rate_are_not_taken() {
    let (sdp, n) = answered(
        "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0 100 101\r\na=rtpmap:100 telephone-event/48000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n",
    );
    assert_eq!(n.telephone_event, Some(101));
    assert!(!sdp.contains("48000"));
}

fn wide(codecs: &[Codec]) -> Local {
    Local { codecs: codecs.to_vec(), ..local() }
}

#[test]
fn wideband_is_offered_and_agreed_on_with_its_clocks() {
    let all = wide(&[Codec::G722, Codec::Opus, Codec::Pcmu]);
    let sdp = offer(&all);
    assert!(sdp.contains("m=audio 40000 RTP/AVP 9 111 0 101 110\r\n"), "{sdp}");
    for line in [
        "a=rtpmap:9 G722/8000\r\n",
        "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1;maxaveragebitrate=24000;",
        "a=rtpmap:101 telephone-event/8000\r\n",
        "a=rtpmap:110 telephone-event/48000\r\n",
    ] {
        assert!(sdp.contains(line), "{line} in {sdp}");
    }
    for (codec, event) in [(Codec::G722, 101), (Codec::Opus, 110), (Codec::Pcmu, 101)] {
        let peer = wide(&[codec]);
        let (answer, theirs) = answer(&peer, &sdp).unwrap();
        let ours = accept(&all, &answer).unwrap();
        assert_eq!((theirs.codec, theirs.telephone_event), (codec, Some(event)));
        assert_eq!((ours.codec, ours.telephone_event), (codec, Some(event)), "{answer}");
        assert_eq!(ours.terms.opus.fec, codec == Codec::Opus);
    }
    assert!(!offer(&local()).contains("48000"), "no clock that no codec has");
}

#[test]
fn of_an_offer_we_take_what_we_like_best_and_of_an_answer_its_first() {
    let body = "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0 9 8\r\n";
    let ours = wide(&[Codec::G722, Codec::Pcma, Codec::Pcmu]);
    assert_eq!(answer(&ours, &described(body)).unwrap().1.codec, Codec::G722);
    assert_eq!(accept(&ours, &described(body)).unwrap().codec, Codec::Pcmu);
}

#[test]
fn payload_types_of_both_ends_may_differ() {
    let ours = wide(&[Codec::Opus, Codec::Pcmu]);
    let body = "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\n\
         a=fmtp:96 maxaveragebitrate=12000; useinbandfec=1\r\na=rtpmap:97 telephone-event/48000\r\n";
    let n = accept(&ours, &described(body)).unwrap();
    assert_eq!((n.payload_type, n.telephone_event), (96, Some(97)), "what we send");
    let heard = |pt| n.terms.receives.get(pt);
    assert_eq!((heard(111), heard(110)), (Some(Format::Speech(Codec::Opus)), Some(Format::Event)));
    assert_eq!(heard(96), None, "what we hear is what we offered");
    assert_eq!(n.terms.opus, OpusTerms { bitrate: 12_000, fec: true });
    let mono = body.replace("opus/48000/2", "opus/48000");
    assert!(matches!(accept(&ours, &described(&mono)), Err(SdpError::NoCommonCodec { .. })));
}

#[test]
fn rtcp_shares_the_port_where_that_is_offered_and_only_there() {
    let described_with =
        |lines: &str| described(&format!("c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 0\r\n{lines}"));
    let (sdp, n) = answer(&local(), &described_with("a=rtcp:4009\r\na=rtcp-mux\r\n")).unwrap();
    assert_eq!(n.terms.rtcp, Rtcp::Mux);
    assert!(sdp.contains("a=rtcp-mux\r\n"), "{sdp}");
    assert!(!offer(&local()).contains("rtcp"));
    let repeated = accept(&local(), &described_with("a=rtcp-mux\r\n")).unwrap();
    assert_eq!(repeated.terms.rtcp, Rtcp::Mux, "what we answered before was offered again");
    let at = |lines| answer(&local(), &described_with(lines)).unwrap().1.terms.rtcp;
    assert_eq!(at("a=rtcp:4009\r\n"), Rtcp::At("198.51.100.7:4009".parse().unwrap()));
    let elsewhere = Rtcp::At("203.0.113.9:4009".parse().unwrap());
    assert_eq!(at("a=rtcp:4009 IN IP4 203.0.113.9\r\n"), elsewhere);
    for unreadable in ["", "a=rtcp:x\r\n", "a=rtcp:0\r\n", "a=rtcp\r\n"] {
        assert_eq!(at(unreadable), Rtcp::NextPort, "{unreadable:?}");
    }
}

#[test]
fn session_keeps_all_its_streams_in_every_description() {
    let streams = "m=video 5000 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 0\r\nm=text 6000 RTP/AVP 98\r\n";
    let (_, agreed) = answered(&format!("c=IN IP4 198.51.100.7\r\n{streams}"));
    let again = Local { beside: agreed.beside.clone(), ..local().next(Direction::SendRecv) };
    let lines =
        |sdp: &str| sdp.lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect::<Vec<_>>();
    let offered = lines(&offer(&again));
    assert_eq!((offered[0].as_str(), offered[2].as_str()), ("m=video 0 RTP/AVP 96", "m=text 0 RTP/AVP 98"));
    assert!(offered[1].starts_with("m=audio 40000 RTP/AVP 0 8"), "{offered:?}");
    // Its answer, and what is described after it.
    let (theirs, _) = answer(&local(), &offer(&again)).unwrap();
    let kept = accept(&again, &theirs).unwrap();
    assert_eq!((kept.beside, lines(&theirs).len()), (agreed.beside, 3));
}

#[test]
fn our_answer_may_be_offered_again_and_its_answer_is_understood() {
    let peer = Local { srtp: Srtp::Required, ..local() };
    let mut theirs = offer(&peer).replace("crypto:1", "crypto:3").replace("crypto:2", "crypto:9");
    theirs = theirs.replace("101", "96") + "a=rtcp-mux\r\n";
    let ours = Local { srtp: Srtp::Required, ..local() };
    let (first, agreed) = answer(&ours, &theirs).unwrap();
    let (again, _) = answer(&peer, &first).unwrap();
    let kept = accept(&ours, &again).unwrap();
    let of =
        |n: &Negotiated| (n.terms.srtp.map(|keys| (keys.suite, keys.sends)), n.terms.rtcp, n.telephone_event);
    assert_eq!(of(&kept), of(&agreed));
    assert_eq!((kept.terms.rtcp, kept.telephone_event), (Rtcp::Mux, Some(96)));
}

#[test]
fn media_address_overrides_the_sessions() {
    let (_, n) = answered("c=IN IP4 203.0.113.1\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 203.0.113.2\r\n");
    assert_eq!(n.remote, "203.0.113.2:4000".parse().unwrap());
    let (_, n) = answered("m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n");
    assert_eq!(n.remote, "[2001:db8::1]:4000".parse().unwrap());
}

#[test]
fn hold_is_mirrored_in_all_its_forms() {
    let held = |body: &str| answered(&format!("c=IN IP4 203.0.113.1\r\nm=audio 4000 RTP/AVP 0\r\n{body}"));
    let (sdp, n) = held("a=sendonly\r\n");
    assert_eq!(n.direction, Direction::RecvOnly);
    assert!(sdp.ends_with("a=recvonly\r\n"), "{sdp}");
    assert_eq!(held("a=recvonly\r\n").1.direction, Direction::SendOnly);
    assert_eq!(held("a=inactive\r\n").1.direction, Direction::Inactive);
    assert_eq!(held("").1.direction, Direction::SendRecv);
    let (_, n) = answered("c=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n");
    assert_eq!(n.direction, Direction::RecvOnly);
    let (_, n) = answered("c=IN IP4 203.0.113.1\r\na=sendonly\r\nm=audio 4000 RTP/AVP 0\r\n");
    assert_eq!(n.direction, Direction::RecvOnly, "session level counts too");
}

#[test]
fn what_we_want_narrows_the_direction() {
    let hold = local().next(Direction::SendOnly);
    assert_eq!(hold.version, 2);
    let peer = "v=0\nc=IN IP4 203.0.113.1\nm=audio 4000 RTP/AVP 0\na=recvonly\n";
    assert_eq!(accept(&hold, peer).unwrap().direction, Direction::SendOnly);
    let deaf = "v=0\nc=IN IP4 203.0.113.1\nm=audio 4000 RTP/AVP 0\na=inactive\n";
    assert_eq!(accept(&hold, deaf).unwrap().direction, Direction::Inactive);
}

#[test]
fn other_streams_are_refused_in_place() {
    let (sdp, n) = answered(
        "c=IN IP4 203.0.113.1\r\nm=video 5000 RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\n\
         m=audio 5002 RTP/SAVP 0\r\nm=audio 5004 RTP/AVP 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    );
    assert_eq!(n.remote.port(), 5004);
    let lines: Vec<_> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 96 97",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 40000 RTP/AVP 0",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
}

#[test]
fn errors_name_what_is_wrong() {
    let error = |sdp: &str| answer(&local(), sdp).unwrap_err();
    assert_eq!(error("hello"), SdpError::Malformed { line: 1, what: "must begin with `v=0`" });
    assert_eq!(error(&described("m=video 1 RTP/AVP 96\r\n")), SdpError::NoAudio);
    assert_eq!(error(&described("m=audio 0 RTP/AVP 0\r\n")), SdpError::Refused);
    assert_eq!(error(&described("m=audio 4000 RTP/AVP 0\r\n")), SdpError::NoConnection);
    assert_eq!(
        error(&described("c=IN IP4 pbx.example\r\n")),
        SdpError::Malformed { line: 5, what: "`c=` must carry an IP address" }
    );
    let srtp = error(&described("c=IN IP4 203.0.113.1\r\nm=audio 4000 RTP/SAVP 0\r\n"));
    assert!(srtp.to_string().contains("RTP/SAVP"), "{srtp}");
    assert!(matches!(error(&format!("v=0\r\n{}", "a=x\r\n".repeat(4000))), SdpError::TooLong { .. }));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,400}") {
        let _ = answer(&local(), &text);
    }

    #[test]
    fn no_mangled_description_panics(cuts in proptest::collection::vec((0usize..600, any::<u8>()), 1..20)) {
        let mut bytes = described(
            "c=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 18 96 8 97\r\na=rtpmap:96 pcma/8000/1\r\n\
             a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=ptime:30\r\na=sendonly\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20 WSH=64\r\n",
        ).into_bytes();
        for (at, byte) in cuts {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let ours = Local { srtp: Srtp::Optional, ..local() };
        let _ = answer(&ours, &String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn stream_whose_name_would_break_the_answer_is_malformed() {
    let offer = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\nm=vi\u{b}eo 3000 RTP/AVP 31\r\n";
    let error = answer(&Local::new("192.0.2.9:4000".parse().unwrap(), 1), offer).unwrap_err();
    assert_eq!(error, SdpError::Malformed { line: 4, what: "`m=` has other than printable ASCII" });
}
