//! Digest: SIPp for 401, Kamailio for 407 and SHA-256; registration.

use callbox::sip::RegistrationState;

use super::{kamailio::Kamailio, peers::Sipp, *};

impl Kamailio {
    /// A proxy that challenges by `kind` (`www` for 401, `proxy` for 407) with `algorithm`, in front
    /// of `callee`.
    pub async fn start(kind: &str, algorithm: &str, callee: SocketAddr) -> Kamailio {
        let callee = callee.port().to_string();
        let words = [("@CALLEE@", callee.as_str()), ("@ALGORITHM@", algorithm), ("@KIND@", kind)];
        Kamailio::of(include_str!("kamailio/trunk.cfg"), &words).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn password_is_accepted_by_401_after_a_stale_nonce() {
    let peer = Sipp::uas("uas_401", 1, &[]).await;
    let (node, _) = node(vec![trunk_with_password(peer.address, "secret")]).await;
    has_a_call(&node, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_within_a_call_are_challenged_and_a_nonce_that_comes_again_is_counted() {
    let peer = Sipp::uas("uas_401_inside", 1, &[]).await;
    let (node, _) = node(vec![trunk_with_password(peer.address, "secret")]).await;
    has_a_call(&node, peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn password_is_accepted_through_a_proxy_with_either_algorithm() {
    for (kind, algorithm) in [("proxy", "MD5"), ("proxy", "SHA-256"), ("www", "SHA-256")] {
        println!("{kind} {algorithm}");
        let callee = Sipp::uas("uas_answer", 1, &[]).await;
        let proxy = Kamailio::start(kind, algorithm, callee.address).await;
        let (node, _) = node(vec![trunk_with_password(proxy.address, "secret")]).await;
        has_a_call(&node, callee).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_passwords_are_rejected_clearly() {
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    for kind in ["www", "proxy"] {
        let proxy = Kamailio::start(kind, "SHA-256", callee.address).await;
        let without = TrunkConfig { name: "without".into(), ..trunk(proxy.address) };
        let (node, _) = node(vec![trunk_with_password(proxy.address, "wrong"), without]).await;
        for trunk in ["test", "without"] {
            let mut call = node.dial(Dial { trunk: Some(trunk.into()), ..dial() }).await.unwrap();
            assert_eq!(end(&mut call).await, SipEnd::AuthRejected, "{kind} {trunk}");
        }
        settled(&node).await;
    }
    let peer = Sipp::uas("uas_wrong", 1, &[]).await;
    let (node, _) = node(vec![trunk_with_password(peer.address, "wrong")]).await;
    let mut call = node.dial(dial()).await.unwrap();
    assert_eq!(end(&mut call).await, SipEnd::AuthRejected);
    peer.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_is_refreshed_and_taken_back() {
    let registrar = Sipp::uas("registrar", 1, &[]).await;
    let trunk = TrunkConfig { register: true, ..trunk_with_password(registrar.address, "secret") };
    let (node, _) = node(vec![trunk]).await;
    let mut state = registered(&node).await;
    within("the refresh", state.changed()).await.unwrap();
    assert!(matches!(*state.borrow(), RegistrationState::Registered { .. }));
    within("the shutdown", node.shutdown()).await;
    assert_eq!(*state.borrow(), RegistrationState::Unregistered);
    registrar.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_registration_says_why_and_when_it_tries_again() {
    let callee = Sipp::uas("uas_answer", 1, &[]).await;
    let registrar = Kamailio::start("www", "MD5", callee.address).await;
    for (password, expected) in [("secret", None), ("wrong", Some(401))] {
        let trunk = TrunkConfig { register: true, ..trunk_with_password(registrar.address, password) };
        let (node, _) = node(vec![trunk]).await;
        let mut state = node.registration("test").unwrap();
        let settled = |state: &RegistrationState| {
            *state != RegistrationState::NotConfigured && *state != RegistrationState::Registering
        };
        let state = within("an outcome", state.wait_for(settled)).await.unwrap().clone();
        match (state, expected) {
            (RegistrationState::Registered { expires }, None) => assert_eq!(expires.as_secs(), 60),
            (RegistrationState::Failed { status, detail, retry_in }, Some(_)) => {
                assert_eq!(status, expected);
                assert!(detail.contains("password"), "{detail}");
                assert!(retry_in >= Duration::from_secs(100));
            }
            (state, _) => panic!("unexpected {state:?}"),
        }
    }
}
