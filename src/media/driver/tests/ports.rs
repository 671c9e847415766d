//! Ports, threads, and the configuration that names them.

use super::*;

#[test]
fn ports_come_from_the_range_and_go_back() {
    // Whatever the system has free now serves as a range of one.
    let free = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port() & !1;
    let range = Config {
        bind: Ipv4Addr::LOCALHOST.into(),
        port_min: free,
        port_max: free + 1,
        port_rest_ms: 0,
        ..Config::default()
    };
    let plane = MediaPlane::start(range).unwrap();
    let leg = plane.reserve().unwrap();
    assert_eq!(leg.local_addr().port(), free);
    assert!(matches!(plane.reserve(), Err(MediaError::Ports(PortError::Exhausted { .. }))));
    drop(leg);
    assert!(plane.reserve().is_ok());
}

#[test]
fn legs_are_dealt_evenly_to_all_threads() {
    for sockets in [SocketMode::PerCall, SocketMode::Shared] {
        let plane = threaded(sockets, 3);
        let mut legs: Vec<_> = (0..9).map(|_| plane.reserve().unwrap()).collect();
        let loads = || plane.workers.iter().map(|w| w.load.load(Ordering::Relaxed)).collect::<Vec<_>>();
        assert_eq!(loads(), [3, 3, 3]);
        let ports: std::collections::HashSet<_> = legs.iter().map(Leg::local_addr).collect();
        assert_eq!(ports.len(), if sockets == SocketMode::Shared { 3 } else { 9 });
        legs.drain(..2);
        legs.extend((0..2).map(|_| plane.reserve().unwrap()));
        assert_eq!(loads(), [3, 3, 3]);
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
    let free = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port() & !1;
    let (bind, port_rest_ms) = (Ipv4Addr::LOCALHOST.into(), 600_000);
    let range = Config { bind, port_min: free, port_max: free + 1, port_rest_ms, ..Config::default() };
    let plane = MediaPlane::start(range).unwrap();
    let leg = plane.reserve().unwrap();
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
