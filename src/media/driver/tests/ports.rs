//! Ports, threads, and the configuration that names them.

use super::*;

/// A plane with one pair of ports, and a leg on it. Another process may take the pair before the leg does.
fn with_one_pair(port_rest_ms: u64) -> (MediaPlane, Leg) {
    for _ in 0..20 {
        let free = Sockets::open((Ipv4Addr::LOCALHOST, 0).into(), 0).unwrap().local.port();
        let bind = Ipv4Addr::LOCALHOST.into();
        let range = Config { bind, port_min: free, port_max: free + 1, port_rest_ms, ..Config::default() };
        let plane = MediaPlane::start(range).unwrap();
        if let Ok(leg) = plane.reserve() {
            assert_eq!(leg.local_addr().port(), free);
            return (plane, leg);
        }
    }
    panic!("of twenty pairs none stays free for a moment");
}

#[test]
fn ports_come_from_the_range_and_go_back() {
    let (plane, leg) = with_one_pair(0);
    assert!(matches!(plane.reserve(), Err(MediaError::Ports(PortError::Exhausted { .. }))));
    drop(leg);
    assert!(plane.reserve().is_ok());
}

#[test]
fn legs_are_dealt_evenly_to_full_threads() {
    for sockets in [SocketMode::PerCall, SocketMode::Shared] {
        let plane = threaded(sockets, 3);
        let mut legs: Vec<_> = (0..9).map(|_| plane.reserve().unwrap()).collect();
        let loads = || plane.workers.iter().map(|w| w.load.legs()).collect::<Vec<_>>();
        assert_eq!(loads(), [3, 3, 3]);
        let ports: std::collections::HashSet<_> = legs.iter().map(Leg::local_addr).collect();
        assert_eq!(ports.len(), if sockets == SocketMode::Shared { 3 } else { 9 });
        legs.drain(..2);
        legs.extend((0..2).map(|_| plane.reserve().unwrap()));
        assert_eq!(loads(), [3, 3, 3]);
    }
}

#[test]
fn a_thread_is_filled_before_the_next() {
    for sockets in [SocketMode::PerCall, SocketMode::Shared] {
        let bind = Ipv4Addr::LOCALHOST.into();
        let config = Config { bind, sockets, threads: 3, legs_per_thread: 4, ..Config::default() };
        let plane = MediaPlane::start(config).unwrap();
        let _legs: Vec<_> = (0..6).map(|_| plane.reserve().unwrap()).collect();
        assert_eq!(plane.workers.iter().map(|w| w.load.legs()).collect::<Vec<_>>(), [4, 2, 0]);
    }
}

#[test]
fn threads_follow_the_cores_unless_they_are_named() {
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(Config::default().worker_threads(), cores.min(8));
    assert_eq!(Config { threads: 5, ..Config::default() }.worker_threads(), 5);
}

#[tokio::test]
async fn a_port_rests_after_its_call() {
    let (plane, leg) = with_one_pair(600_000);
    let (handle, mut events) = leg.start(config((Ipv4Addr::LOCALHOST, 9).into())).unwrap();
    handle.close();
    timeout(LIMIT, async { while events.recv().await.is_some() {} }).await.expect("the events end");
    assert!(matches!(plane.reserve(), Err(MediaError::Ports(PortError::Exhausted { .. }))));
}

#[test]
fn shared_ports_need_a_pair_for_each_thread() {
    let bad = Config {
        sockets: SocketMode::Shared,
        threads: 3,
        port_min: 40_000,
        port_max: 40_003,
        ..Config::default()
    };
    let error = MediaPlane::start(bad).err().unwrap().to_string();
    assert_eq!(error, "media.port_max must leave a pair of ports for each of media.threads");
}

#[test]
fn bad_configurations_name_the_field() {
    let bad: Config = toml::from_str("threads = 65").unwrap();
    let error = MediaPlane::start(bad).err().unwrap().to_string();
    assert_eq!(error, "media.threads must be at most 64; 0 is one a core");
    assert!(toml::from_str::<Config>("thread = 1").is_err());
}
