//! What trunks require and what users of other stacks report, and the tests that show it with a real peer.

/// A requirement of a real trunk.
pub struct MustHave {
    pub id: &'static str,
    pub what: &'static str,
    /// The RFC, the provider's page, or the thread where another stack failed.
    pub source: &'static str,
}

/// A test that shows a must-have.
pub struct Row {
    pub id: &'static str,
    /// Programs that take part, by the names that their traces have.
    pub peers: &'static [&'static str],
    /// `binary::module::function`.
    pub test: &'static str,
}

const fn must(id: &'static str, what: &'static str, source: &'static str) -> MustHave {
    MustHave { id, what, source }
}

const fn row(id: &'static str, peers: &'static [&'static str], test: &'static str) -> Row {
    Row { id, peers, test }
}

/// By the order of the page that is made of them.
pub const MUST_HAVES: &[MustHave] = &[
    // Who may call, and as whom we do
    must("address-list", "only a trunk's addresses are answered", "Telnyx and Flowroute: IP authentication"),
    must("any-port", "a call from any port of a trunk's address is the trunk's", "livekit/sip#583"),
    must("flood", "many calls from one address are calls", "livekit/sip#520"),
    must("scanners", "a scanner finds nothing", "sipvicious; SIP.md: keep User-Agent neutral"),
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
    must("privacy", "Privacy hides a number, never towards an emergency service", "Telnyx: caller-id-policy"),
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
    must("dtmf-info", "a digit may come as INFO", "SIP.md: RFC 4733 or INFO"),
    must("rtpmap", "a payload type means what its rtpmap says", "livekit/sip#95"),
    must("ptime", "packets may hold any time", "livekit/sip#724; SIPp's capture holds 30 ms"),
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
    must("loss", "calls under packet loss end and leave nothing", "SIP.md: SIPp -lost"),
    // Transfer
    must("refer-route", "REFER goes by the call's route", "livekit/sip#771"),
    must("refer-refused", "a REFER that is refused leaves the call as it was", "livekit/sip#234"),
    must("refer-bye", "BYE in the middle of a transfer ends the call and nothing else", "siphon-sip#220"),
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
];

const SIPP: &str = "sipp";
const BARESIP: &str = "baresip";
const KAMAILIO: &str = "kamailio";
const SIPSAK: &str = "sipsak";
const COTURN: &str = "coturn";

pub const ROWS: &[Row] = &[
    row("address-list", &[SIPSAK], "sip::trunk_rules::only_allowed_addresses_are_answered"),
    row("any-port", &[SIPP], "sip::trunk_rules::call_from_any_port_of_the_trunks_address_is_the_trunks"),
    row("flood", &[SIPP], "sip::inbound::many_calls_at_once_leave_nothing"),
    row("scanners", &["svmap", "svwar", "svcrack", SIPSAK], "sip::scanners::scanners_hear_nothing_at_all"),
    row(
        "rate-limit",
        &[SIPSAK, SIPP],
        "sip::scanners::flood_of_sipsak_gets_no_more_than_its_share_and_a_call_of_another_source_is_answered_meanwhile",
    ),
    row(
        "rate-limit",
        &[],
        "sip::scanners::flood_of_a_stranger_costs_no_parsing_and_a_trunk_is_heard_meanwhile",
    ),
    row("digest-401", &[SIPP], "sip::auth::password_is_accepted_by_401_after_a_stale_nonce"),
    row("stale-nonce", &[SIPP], "sip::auth::password_is_accepted_by_401_after_a_stale_nonce"),
    row(
        "digest-407",
        &[SIPP, KAMAILIO],
        "sip::auth::password_is_accepted_through_a_proxy_with_either_algorithm",
    ),
    row("digest-407", &[SIPP, KAMAILIO], "sip::auth::wrong_and_missing_passwords_are_rejected_clearly"),
    row(
        "digest-sha256",
        &[SIPP, KAMAILIO],
        "sip::auth::password_is_accepted_through_a_proxy_with_either_algorithm",
    ),
    row("registration", &[SIPP], "sip::auth::registration_is_refreshed_and_taken_back"),
    row("registration", &[KAMAILIO], "sip::auth::failed_registration_says_why_and_when_it_tries_again"),
    row(
        "registration",
        &[SIPP],
        "sip::registrar::address_that_left_a_registration_unanswered_is_not_asked_first_again",
    ),
    row("e164", &[SIPP], "sip::trunk_rules::numbers_and_identity_are_written_as_trunks_want_them"),
    row("asserted", &[SIPP], "sip::trunk_rules::numbers_and_identity_are_written_as_trunks_want_them"),
    row("emergency", &[SIPP], "e2e::numbers::emergency_numbers_are_never_dialled"),
    row("pcmu", &[BARESIP], "call::wideband::baresip_speaks_g711_and_reports"),
    row("pcma", &[BARESIP], "call::seams::baresip_speaks_a_law"),
    row("g722", &[BARESIP], "call::wideband::baresip_speaks_g722"),
    row("opus", &[BARESIP], "call::wideband::baresip_speaks_opus"),
    row("dtmf-clock", &[SIPP], "sip::trunk_rules::answers_name_one_offered_codec_and_its_events_alone"),
    row("dtmf-marker", &[SIPP], "call::trunk_media::digits_count_without_their_marker_bit"),
    row("dtmf-info", &[SIPP], "sip::outbound::hold_resume_and_other_requests_in_the_dialog_are_served"),
    row("rtpmap", &[SIPP], "call::trunk_media::payload_type_means_what_its_rtpmap_says"),
    row("ptime", &[SIPP], "call::trunk_media::packets_of_30_ms_are_heard_whole"),
    row("ptime", &[SIPP], "e2e::calls::receptionist_answers_a_caller_whose_packets_hold_30_ms"),
    row("seams", &[BARESIP], "call::seams::speech_reaches_baresip_without_a_seam_while_it_is_recorded"),
    row("every-call", &[SIPP], "call::trunk_media::every_call_of_many_has_audio_both_ways"),
    row("silence-out", &[SIPP], "call::trunk_media::packets_leave_every_20_ms_though_nobody_speaks"),
    row("silence-in", &[SIPP], "call::trunk_media::call_lives_while_a_far_end_without_a_word_reports"),
    row("silence-in", &[SIPP], "call::trunk_media::call_ends_when_neither_audio_nor_reports_come"),
    row("latch", &[SIPP], "call::trunk_media::only_a_reinvite_moves_latched_media"),
    row("relatch", &[SIPP], "call::trunk_media::only_a_reinvite_moves_latched_media"),
    row("media-address", &[SIPP], "call::trunk_media::media_may_come_from_another_address_than_signalling"),
    row("noise", &[], "hostile::noise::noise_at_the_ports_of_live_calls_is_not_heard_and_moves_nothing"),
    row("quality", &[BARESIP], "call::line_quality::record_says_how_a_good_line_was_both_ways"),
    row("quality", &[BARESIP], "call::line_quality::record_says_how_much_a_bad_line_lost_both_ways"),
    row("shared-port", &[BARESIP], "call::wideband::baresip_speaks_and_reports_to_a_port_that_calls_share"),
    row("recording-opus", &["opusdec"], "call::opus_recording::a_call_is_recorded_as_opus"),
    row("keys", &[SIPP], "call::keys::keys_are_events_of_the_payload_type_that_was_agreed_on"),
    row("keys", &[SIPP], "call::keys::keys_are_tones_where_no_events_were_agreed_on"),
    row("tls", &[SIPP, KAMAILIO], "sip::tls::call_goes_out_over_tls_with_a_password"),
    row("tls", &[SIPP, KAMAILIO], "sip::tls::registered_node_is_called_over_its_own_connection"),
    row("tls", &[BARESIP], "sip::tls::baresip_is_called_over_tls"),
    row("tls", &[BARESIP], "call::tls_srtp::baresip_calls_by_tls_and_srtp"),
    row("stun", &[SIPP, COTURN], "sip::nat::public_address_is_learned_told_and_followed"),
    row("ringing", &[SIPP], "sip::outbound::ringing_forever_is_cancelled_as_no_answer"),
    row("ringing", &[SIPP], "sip::inbound::caller_hangs_up"),
    row("early-in", &[SIPP], "sip::outbound::early_media_is_told_before_the_answer"),
    row("early-in", &[SIPP], "call::trunk_media::early_media_binds_neither_port_nor_codec_of_the_answer"),
    row("early-out", &[SIPP], "sip::dialogs::answer_waits_until_our_early_description_is_acknowledged"),
    row(
        "early-is-not-the-answer",
        &[SIPP],
        "call::trunk_media::early_media_binds_neither_port_nor_codec_of_the_answer",
    ),
    row("forks", &[SIPP], "sip::dialogs::forked_call_plays_the_latest_and_keeps_the_first_answer"),
    row("forks", &[SIPP], "sip::dialogs::every_fork_gets_its_own_acknowledgement"),
    row(
        "late-offer-in",
        &[SIPP],
        "sip::inbound::invite_without_an_offer_gets_ours_and_brings_the_answer_in_its_ack",
    ),
    row("late-offer-in", &[SIPP], "call::late_offer::answer_in_the_ack_is_spoken_and_heard"),
    row("late-offer-within", &[SIPP], "sip::dialogs::hold_in_every_form_is_mirrored"),
    row("prack-caller", &[SIPP], "sip::dialogs::reliable_responses_are_acknowledged_in_their_order"),
    row(
        "prack-caller",
        &[SIPP, KAMAILIO],
        "sip::dialogs::acknowledgement_follows_the_route_that_a_proxy_recorded",
    ),
    row("prack-callee", &[SIPP], "sip::dialogs::answer_waits_until_our_early_description_is_acknowledged"),
    row("prack-callee", &[SIPP], "sip::dialogs::ringing_that_is_never_acknowledged_refuses_the_call"),
    row("require-420", &[SIPP], "sip::dialogs::unknown_requirement_is_refused_by_its_name"),
    row("hold", &[SIPP], "sip::dialogs::hold_in_every_form_is_mirrored"),
    row("hold", &[SIPP], "sip::outbound::hold_resume_and_other_requests_in_the_dialog_are_served"),
    row("hold-audio", &[SIPP], "call::trunk_media::held_call_is_silent_and_lives_on_when_resumed"),
    row("subset", &[SIPP], "sip::trunk_rules::answers_name_one_offered_codec_and_its_events_alone"),
    row("codec-kept", &[SIPP], "sip::trunk_rules::answers_name_one_offered_codec_and_its_events_alone"),
    row("glare", &[SIPP], "sip::dialogs::offers_that_cross_are_both_refused_and_ours_comes_again"),
    row("glare", &[SIPP], "sip::dialogs::offer_that_crosses_our_unanswered_one_is_glare"),
    row("update", &[SIPP], "sip::dialogs::update_is_served_before_the_answer"),
    row("update", &[SIPP], "sip::dialogs::session_is_refreshed_by_update_and_again_after_glare"),
    row("timer-caller", &[SIPP], "sip::dialogs::session_is_refreshed_by_update_and_again_after_glare"),
    row("timer-caller", &[SIPP], "sip::dialogs::refresh_that_fails_once_is_tried_again_and_the_call_lives"),
    row(
        "timer-caller",
        &[SIPP],
        "sip::dialogs::session_is_refreshed_by_the_same_description_where_update_is_not_taken",
    ),
    row("timer-caller", &[SIPP], "sip::dialogs::session_that_the_peer_does_not_refresh_is_lost"),
    row("timer-caller", &[SIPP], "sip::dialogs::too_short_a_session_is_asked_for_again"),
    row("timer-callee", &[SIPP], "sip::dialogs::callers_refreshes_are_answered_and_begin_the_timer_anew"),
    row("options-in", &[SIPP], "sip::dialogs::options_are_answered_with_what_we_can"),
    row("options-in", &[SIPSAK], "sip::trunk_rules::only_allowed_addresses_are_answered"),
    row("options-out", &[KAMAILIO], "sip::trunk_rules::trunk_that_lives_answers_our_ping"),
    row(
        "ack-flow",
        &[SIPP],
        "sip::trunk_rules::acknowledgement_and_bye_keep_to_the_connection_of_the_invite",
    ),
    row(
        "invalid-contact",
        &[SIPP],
        "sip::trunk_rules::contact_that_cannot_be_resolved_is_reached_by_the_calls_flow",
    ),
    row(
        "invalid-contact",
        &[SIPP, KAMAILIO],
        "sip::tls::contact_that_cannot_be_resolved_is_reached_by_the_connection_of_its_call",
    ),
    row("cancel", &[SIPP], "sip::outbound::answer_that_crosses_our_cancel_is_acknowledged_and_hung_up"),
    row("cancel", &[SIPP], "sip::inbound::cancelled_call_ends_while_it_rings"),
    row(
        "challenge-inside",
        &[SIPP],
        "sip::dialogs::challenge_within_a_call_that_cannot_be_answered_leaves_the_call_as_it_was",
    ),
    row("hairpin", &[KAMAILIO], "sip::inbound::our_own_call_that_a_proxy_sends_back_is_a_call_of_its_own"),
    row(
        "merged",
        &[SIPP],
        "sip::inbound::invite_that_comes_twice_is_merged_and_another_of_its_call_id_is_a_call",
    ),
    row("loss", &[SIPP], "sip::outbound::every_call_ends_under_packet_loss_and_nothing_leaks"),
    row("loss", &[SIPP], "soak::calls_come_and_go_under_loss_and_leave_nothing"),
    row("registration-restart", &[SIPP], "sip::registrar::registrar_that_forgot_us_is_told_again_soon"),
    row(
        "registration-restart",
        &[KAMAILIO],
        "sip::registrar::node_that_comes_back_by_another_port_replaces_its_binding",
    ),
    row(
        "registration-restart",
        &[SIPP, KAMAILIO],
        "sip::registrar::call_survives_the_loss_of_its_trunk_and_the_trunk_learns_us_again",
    ),
    row(
        "several-trunks",
        &[SIPP],
        "sip::trunks::silent_and_closed_trunks_hand_the_call_on_and_are_tried_last_for_a_while",
    ),
    row("several-trunks", &[SIPP], "sip::trunks::pinned_call_is_tried_by_its_trunk_alone"),
    row("srv", &[SIPP], "sip::trunks::srv_target_that_is_dead_is_passed_over_for_the_next"),
    row(
        "srv",
        &[SIPP, KAMAILIO],
        "sip::tls::srv_target_by_tls_shows_the_certificate_of_the_name_that_was_asked_for",
    ),
    row("failover-503", &[SIPP], "sip::trunks::trunk_that_is_full_hands_the_call_to_the_next"),
    row("failover-503", &[SIPP, KAMAILIO], "sip::trunks::kamailio_that_finds_no_gateway_hands_the_call_on"),
    row(
        "trying",
        &[SIPP],
        "sip::trunks::trunk_that_only_tries_hands_the_call_on_and_where_there_is_no_other_it_is_at_fault",
    ),
    row(
        "cancel-there",
        &[SIPP],
        "sip::trunks::call_is_taken_back_where_it_went_and_not_where_the_name_leads",
    ),
    row(
        "service-route",
        &[SIPP, KAMAILIO],
        "sip::registrar::call_leaves_by_the_route_that_the_registrar_tells",
    ),
    row("cps", &[SIPP], "sip::trunk_rules::trunk_gets_no_more_calls_a_second_than_it_takes"),
    row("preferred", &[SIPP], "sip::trunk_rules::caller_is_preferred_or_withheld_as_the_trunk_is_told"),
    row("privacy", &[SIPP], "sip::trunk_rules::caller_is_preferred_or_withheld_as_the_trunk_is_told"),
    row(
        "called",
        &[SIPP],
        "sip::inbound::number_that_was_called_is_found_where_the_carrier_puts_it_and_read_as_it_writes",
    ),
    row("diversion", &[SIPP], "sip::identity::carriers_verdict_and_the_number_called_first_are_kept"),
    row("verstat", &[SIPP], "sip::identity::carriers_verdict_and_the_number_called_first_are_kept"),
    row(
        "verstat",
        &[SIPP],
        "e2e::vouched::record_says_what_the_carrier_vouches_for_and_who_was_called_first",
    ),
    row(
        "diversion",
        &[SIPP],
        "e2e::vouched::record_says_what_the_carrier_vouches_for_and_who_was_called_first",
    ),
    row("srtp", &[BARESIP], "call::secure::baresip_is_called_encrypted"),
    row("srtp", &[BARESIP], "call::secure::baresip_calls_encrypted"),
    row("srtp", &[BARESIP], "call::tls_srtp::baresip_is_called_by_tls_and_srtp"),
    row(
        "srtp-nat",
        &[BARESIP],
        "call::srtp_nat::nat_is_followed_to_whoever_proves_its_key_and_to_nobody_else",
    ),
    row("refer-route", &[SIPP], "sip::refer::refer_goes_along_the_route_and_is_followed_to_the_answer"),
    row("refer-refused", &[SIPP], "sip::refer::peer_that_refuses_has_called_nobody"),
    row("refer-bye", &[SIPP], "sip::refer::peer_that_hangs_up_mid_transfer_ends_the_call_and_nothing_else"),
    row("transfer-rules", &[SIPP], "e2e::transfers::number_that_the_rules_refuse_by_now_is_not_dialled"),
    row("warm", &[BARESIP, KAMAILIO], "call::warm_phones::telephone_that_says_yes_is_put_through"),
    row("warm", &[BARESIP, KAMAILIO], "call::warm_phones::telephone_that_presses_one_is_put_through"),
    row("warm", &[BARESIP, KAMAILIO], "call::warm_phones::telephone_that_says_no_is_let_go"),
    row("warm", &[BARESIP, KAMAILIO], "call::warm_phones::telephone_that_refuses_brings_the_agent_back"),
    row(
        "warm",
        &[BARESIP, KAMAILIO],
        "call::warm_phones::telephone_that_nobody_picks_up_stops_ringing_and_brings_the_agent_back",
    ),
    row("warm", &[], "call::warm::a_machine_is_not_put_through"),
    row("warm", &[], "call::warm::a_party_that_says_yes_is_put_through_and_one_ring_tone_lasts_until_then"),
];
