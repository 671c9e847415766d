//! What trunks require and what users of other stacks report, and what is no business of ours.

/// A requirement of a real trunk.
pub struct MustHave {
    pub id: &'static str,
    pub what: &'static str,
    /// The RFC, the provider's page, or the thread where another stack failed.
    pub source: &'static str,
}

const fn must(id: &'static str, what: &'static str, source: &'static str) -> MustHave {
    MustHave { id, what, source }
}

/// By the order of the page that is made of them.
pub const MUST_HAVES: &[MustHave] = &[
    // Who may call, and as whom we do
    must("address-list", "only a trunk's addresses are answered", "Telnyx and Flowroute: IP authentication"),
    must("any-port", "a call from any port of a trunk's address is the trunk's", "livekit/sip#583"),
    must("flood", "many calls from one address are calls", "livekit/sip#520"),
    must("scanners", "a scanner finds nothing", "sipvicious; SIP.md: keep User-Agent neutral"),
    must("user-agent", "no message names the stack below", "SIP.md: keep User-Agent neutral"),
    must(
        "content-length",
        "a message of another length than it says is refused",
        "issue: Content-Length checked",
    ),
    must("rate-limit", "one source cannot ask for more than its share", "issue: security of signalling"),
    must("digest-401", "a password is proved to a server", "RFC 3261 section 22.2"),
    must("digest-407", "and to a proxy", "RFC 3261 section 22.3; Telnyx: tech-prefix"),
    must("digest-sha256", "with MD5 or SHA-256", "RFC 8760"),
    must("stale-nonce", "a stale nonce costs another round, not the call", "RFC 7616 section 3.3"),
    must(
        "registration",
        "a registration is refreshed, and tried again after a failure",
        "RFC 3261 section 10",
    ),
    must("registration-restart", "a registration survives restarts of either side", "issue: trunks"),
    // Which trunk
    must(
        "several-trunks",
        "calls go by priority and weight over several trunks",
        "Bandwidth: two SBCs, 204138866",
    ),
    must("srv", "SRV and A records are tried in their order", "RFC 3263"),
    must("failover-503", "a trunk that answers 503 is passed over", "Twilio: 503 above the limit"),
    must(
        "trying",
        "a trunk that says 100 and no more is passed over",
        "RFC 3261 section 16.2: 100 is hop by hop",
    ),
    must("cancel-there", "a call is taken back where it went", "RFC 3261 section 9.1"),
    must("service-route", "calls leave by the route that the registrar tells", "RFC 3608"),
    must("cps", "calls a second are limited for each trunk", "Twilio: cps-trunk-termination, 223180028"),
    // Numbers
    must(
        "e164",
        "Request-URI, From and To are E.164 at the trunk's host",
        "Twilio: troubleshooting; Flowroute",
    ),
    must("asserted", "P-Asserted-Identity says who calls", "Telnyx: caller-id-policy"),
    must(
        "preferred",
        "so does P-Preferred-Identity where the trunk wants it",
        "Telnyx: caller-id-policy, 403 D35",
    ),
    must("privacy", "Privacy hides a number, never from toll-free numbers", "Telnyx: caller-id-policy"),
    must(
        "called",
        "the number that was called is found where carriers put it",
        "RFC 3261 section 10, RFC 7315",
    ),
    must("diversion", "Diversion and History-Info are read", "RFC 5806, RFC 7044"),
    must("verstat", "the verdict on a caller's number is kept", "Twilio: X-Twilio-VerStat; Telnyx: verstat"),
    must("emergency", "emergency numbers are not dialled", "Twilio: emergency-calling"),
    // Codecs and media
    must("pcmu", "μ-law both ways", "livekit/sip#724: Twilio takes nothing else"),
    must("pcma", "A-law both ways", "livekit/sip#724"),
    must("g722", "G.722 both ways", "SIP.md: must-haves"),
    must("opus", "Opus both ways", "RFC 7587"),
    must("dtmf-clock", "digits count at the codec's clock", "RFC 4733 section 2.1"),
    must("dtmf-marker", "a digit counts without its marker bit", "livekit/sip#585"),
    must("dtmf-tones", "a digit may come as sound, where no events were agreed on", "issue: media"),
    must("dtmf-info", "a digit may come as INFO", "SIP.md: RFC 4733 or INFO"),
    must("rtpmap", "a payload type means what its rtpmap says", "livekit/sip#95"),
    must("ptime", "packets may hold any time", "livekit/sip#724"),
    must(
        "comfort-noise",
        "silence that the far end tells of is noise, and no loss",
        "issue: media; RFC 3389",
    ),
    must("seams", "pieces of speech join without a seam, recorded or not", "livekit/sip#724, rustpbx#171"),
    must("every-call", "every call of many has audio both ways", "asterisk#2089"),
    must("silence-out", "packets leave every 20 ms though nobody speaks", "rtpengine#1475"),
    must(
        "silence-in",
        "a call lives while the far end says nothing and reports by RTCP, and ends when neither comes",
        "livekit/sip#812",
    ),
    must("latch", "media goes where media comes from, within what the SDP says", "livekit/sip#424, RFC 4961"),
    must("relatch", "only a re-INVITE moves it", "livekit/sip#424"),
    must("media-address", "media comes from other addresses than signalling", "Bandwidth: 204138866"),
    must("noise", "noise at the ports of a live call is not heard and moves nothing", "issue: hostile input"),
    must(
        "quality",
        "round trip, loss and a score of either direction are on the call's record",
        "RFC 3550, ITU-T G.107; issue: media",
    ),
    must("shared-port", "calls that share a port are told apart", "issue: density"),
    must("recording-opus", "a call is recorded as Opus in Ogg", "issue: media"),
    must("recording-pace", "a disk that stands still holds no packet up", "issue: media"),
    must("keys", "the agent presses keys", "issue: media"),
    // Encryption
    must("tls", "signalling by TLS, with a CA of one's own and SNI", "Twilio: TLS on 5061; RFC 5630"),
    must(
        "srtp",
        "audio by SRTP, keyed by SDES, 80 and 32 bits of tag, no MKI",
        "Twilio: secure-media; RFC 4568",
    ),
    must("srtp-nat", "SRTP behind a NAT", "rustpbx#281"),
    must("stun", "a public address is found by STUN and rport", "RFC 5389, RFC 3581"),
    // Before the answer
    must("ringing", "180 rings", "livekit/sip#102, #855"),
    must("early-in", "what is played before the answer is heard", "livekit/sip#813"),
    must("early-out", "and can be played to a caller", "RFC 3960"),
    must("early-is-not-the-answer", "183 binds neither port nor codec of the answer", "active-call#124"),
    must("forks", "of several answers one is kept", "RFC 3261 section 13.2.2.4"),
    must("late-offer-in", "an INVITE without an offer gets ours", "livekit/sip#402, #820"),
    must("late-offer-within", "so does a re-INVITE", "livekit/sip#402"),
    must(
        "late-offer-out",
        "an INVITE of ours without an offer gets the callee's, and the ACK has our answer",
        "RFC 3261 section 13.2.1; issue: dialogs",
    ),
    must("prack-caller", "reliable responses are acknowledged", "RFC 3262"),
    must("prack-callee", "and asked to be", "RFC 3262; livekit/sip#438"),
    must(
        "require-420",
        "an extension that is not known is refused by name",
        "livekit/sip#438: preconditions",
    ),
    // Within a call
    must("hold", "hold is answered by its mirror, in every form", "livekit/sip#779"),
    must("hold-audio", "a held call is silent and lives on when resumed", "livekit/sip#96, active-call#65"),
    must("subset", "an answer names nothing that the offer did not", "rustrtc#26"),
    must("codec-kept", "`8 101` is not reduced to `101`", "rustpbx#183"),
    must("glare", "offers that cross are both refused, and ours comes again", "RFC 3261 section 14.1"),
    must("update", "UPDATE with a description, and without one", "RFC 3311"),
    must("timer-caller", "sessions that we placed are refreshed or end", "livekit/sip#438; RFC 4028"),
    must("timer-callee", "sessions that we took are refreshed or end", "RFC 4028"),
    must("options-in", "OPTIONS is answered", "RFC 3261 section 11"),
    must("options-out", "and asked", "RFC 3261 section 11"),
    must("ack-flow", "ACK and BYE keep to the flow of the INVITE", "rsipstack#129"),
    must("invalid-contact", "a Contact in .invalid is reached by its flow", "rsipstack#56"),
    must(
        "challenge-inside",
        "a challenge within a call costs that request alone",
        "RFC 3261 section 12.2.1.2",
    ),
    must("hairpin", "a call of ours that a proxy sends back is answered", "RFC 3261 section 8.2.2.2"),
    must("merged", "an INVITE that comes by two ways is one call", "RFC 3261 section 8.2.2.2"),
    must("cancel", "a call that rings is taken back, whatever crosses", "RFC 3261 section 9"),
    must("hang-up", "either side hangs up, whoever called", "issue: transfer"),
    must("loss", "calls under packet loss end and leave nothing", "SIP.md: SIPp -lost"),
    // Transfer
    must("refer-route", "REFER goes by the call's route", "livekit/sip#771"),
    must("refer-refused", "a REFER that is refused leaves the call as it was", "livekit/sip#234"),
    must("refer-bye", "BYE in the middle of a transfer ends the call and nothing else", "siphon-sip#220"),
    must(
        "bridge",
        "a call is transferred by this node: two calls and the audio between them",
        "issue: transfer",
    ),
    must("bridge-refused", "so it is where the trunk refuses REFER", "issue: transfer"),
    must("bridge-hang-up", "either party of a bridged transfer ends it for both", "issue: transfer"),
    must(
        "transfer-rules",
        "whom the rules refuse at the time of a transfer no trunk is asked for",
        "issue: transfer",
    ),
    must("warm", "an agent introduces a caller before they are connected", "issue: transfer"),
];

/// What Callbox has no part in.
pub const NOT_OURS: &[(&str, &str)] = &[
    (
        "AudioSocket (AVA-AI-Voice-Agent#616, CyCoreSystems/audiosocket#11)",
        "Callbox speaks SIP and RTP alone",
    ),
    ("signing by STIR/SHAKEN", "carriers sign what they send on (Telnyx: attestation-behavior)"),
    (
        "passing on a caller's Identity header to the second leg of a transfer",
        "it signs the number that was called first, so every verifier would reject it for another (RFC 8224)",
    ),
    ("calls to emergency numbers", "they are refused, and no setting allows them"),
];
