#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(3);

fn eject() -> Eject {
    Eject { failures: 5, time: Duration::from_secs(30), most: 100 }
}

fn probes() -> Health {
    Health { rise: 2, fall: 3, ..Health::default() }
}

/// Fails until it is ejected.
fn eject_one(fitness: &Fitness, now: Tick) -> Duration {
    for _ in 0..10 {
        if let Some(Change::Ejected(time)) = fitness.failed(now, &eject(), [fitness]) {
            return time;
        }
    }
    panic!("ten failures do not eject it");
}

#[test]
fn probes_take_an_endpoint_down_after_fall_and_up_after_rise() {
    let fitness = Fitness::default();
    let mut now = Tick(0);
    let mut told = |good: bool| {
        now.0 += 2 * SECOND;
        fitness.probed(good, now, &probes())
    };
    let (down, up) = (Some(Change::Down), Some(Change::Up));
    let story = [
        (false, None),
        (false, None),
        (true, None),
        (false, None),
        (false, None),
        (false, down),
        (false, None),
        (true, None),
        (false, None),
        (true, None),
        (true, up),
        (true, None),
    ];
    for (index, (good, want)) in story.into_iter().enumerate() {
        assert_eq!(told(good), want, "probe {index}");
    }
    assert!(fitness.is_fit(now));
    assert_eq!(fitness.counted(), Counted { good: 5, bad: 7, ejections: 0 });
}

#[test]
fn b1_so_many_failures_in_a_row_eject_an_endpoint_and_a_good_one_between_does_not_count() {
    let fitness = Fitness::default();
    let now = Tick(SECOND);
    for _ in 0..4 {
        assert_eq!(fitness.failed(now, &eject(), [&fitness]), None);
    }
    assert_eq!(fitness.connected(Duration::from_millis(1), now), None);
    for _ in 0..4 {
        assert_eq!(fitness.failed(now, &eject(), [&fitness]), None);
        assert!(fitness.is_fit(now));
    }
    let time = Duration::from_secs(30);
    assert_eq!(fitness.failed(now, &eject(), [&fitness]), Some(Change::Ejected(time)));
    assert!(!fitness.is_fit(now) && !fitness.is_up(now));
    assert!(!fitness.is_fit(Tick(31 * SECOND - 1)));
    assert!(fitness.is_fit(Tick(31 * SECOND)));
}

#[test]
fn an_ejected_endpoint_is_tried_with_one_session_at_a_time() {
    let fitness = Fitness::default();
    eject_one(&fitness, Tick(0));
    let now = Tick(30 * SECOND);
    assert!(fitness.is_half_open(now) && fitness.is_fit(now));
    assert!(fitness.claim(now, PATIENCE), "the first one tries it");
    assert!(!fitness.claim(now, PATIENCE) && !fitness.is_fit(now), "nobody else meanwhile");
    let later = now.after(PATIENCE);
    assert!(fitness.is_fit(later), "the claim of one that never told lapses");
    assert!(fitness.claim(later, PATIENCE));
    assert_eq!(fitness.connected(Duration::from_millis(1), later), Some(Change::Returned));
    assert!(fitness.claim(later, PATIENCE) && fitness.claim(later, PATIENCE), "it is for everybody again");
    assert_eq!(fitness.share(later, Duration::from_secs(30)), 16, "though with a small share");
}

#[test]
fn each_ejection_lasts_longer_up_to_ten_times_and_a_quiet_time_forgets_them() {
    let fitness = Fitness::default();
    let mut now = Tick(0);
    let mut times = vec![eject_one(&fitness, now).as_secs()];
    for _ in 0..11 {
        now = now.after(Duration::from_secs(300));
        assert!(fitness.claim(now, PATIENCE));
        match fitness.failed(now, &eject(), [&fitness]) {
            Some(Change::Ejected(time)) => times.push(time.as_secs()),
            other => panic!("a failed trial ejects at once, not {other:?}"),
        }
    }
    assert_eq!(times, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
    now = now.after(Duration::from_secs(300));
    assert_eq!(fitness.connected(Duration::ZERO, now), Some(Change::Returned));
    assert_eq!(eject_one(&fitness, now).as_secs(), 300, "it is not forgotten at once");
    now = now.after(Duration::from_secs(300));
    assert_eq!(fitness.connected(Duration::ZERO, now), Some(Change::Returned));
    assert_eq!(eject_one(&fitness, now.after(Duration::from_secs(301))).as_secs(), 30);
}

#[test]
fn never_more_than_half_of_the_endpoints_are_ejected() {
    for total in 1..10_usize {
        let all: Vec<_> = (0..total).map(|_| Fitness::default()).collect();
        let eject = Eject { most: 50, ..eject() };
        for fitness in &all {
            for _ in 0..20 {
                fitness.failed(Tick(1), &eject, &all);
            }
        }
        let fit = all.iter().filter(|fitness| fitness.is_fit(Tick(1))).count();
        assert_eq!(total - fit, total / 2, "{total} endpoints");
    }
}

#[test]
fn workers_that_eject_at_once_do_not_eject_more_than_half() {
    let all: Vec<_> = (0..8).map(|_| Fitness::default()).collect();
    let eject = Eject { most: 50, ..eject() };
    std::thread::scope(|scope| {
        for fitness in &all {
            scope.spawn(|| {
                for _ in 0..200 {
                    fitness.failed(Tick(1), &eject, &all);
                    assert!(all.iter().filter(|fitness| fitness.counted().ejections > 0).count() <= 4);
                }
            });
        }
    });
}

#[test]
fn without_ejection_traffic_changes_nothing() {
    let fitness = Fitness::default();
    let never = Eject { failures: 0, ..eject() };
    for _ in 0..1000 {
        assert_eq!(fitness.failed(Tick(0), &never, [&fitness]), None);
    }
    assert!(fitness.is_fit(Tick(0)));
}

#[test]
fn good_probes_end_an_ejection_where_probes_saw_the_trouble_too_and_else_do_not() {
    let restarted = Fitness::default();
    assert_eq!(restarted.probed(false, Tick(0), &probes()), None);
    eject_one(&restarted, Tick(100));
    assert_eq!(restarted.probed(true, Tick(2 * SECOND), &probes()), None);
    assert_eq!(restarted.probed(true, Tick(3 * SECOND), &probes()), Some(Change::Returned));
    assert!(restarted.is_fit(Tick(3 * SECOND)) && !restarted.is_half_open(Tick(3 * SECOND)));

    let broken = Fitness::default();
    assert_eq!(broken.probed(true, Tick(0), &probes()), None);
    eject_one(&broken, Tick(0));
    for tick in (2..30).step_by(2) {
        assert_eq!(
            broken.probed(true, Tick(tick * SECOND), &probes()),
            None,
            "it accepts, and fails sessions"
        );
        assert!(!broken.is_fit(Tick(tick * SECOND)));
    }
    assert_eq!(broken.probed(true, Tick(30 * SECOND), &probes()), Some(Change::Returned));
}

#[test]
fn the_share_grows_evenly_after_a_return_and_is_whole_without_one() {
    let fitness = Fitness::default();
    let slow_start = Duration::from_secs(30);
    assert_eq!(fitness.share(Tick(0), slow_start), WHOLE, "a start is no return");
    for _ in 0..3 {
        fitness.probed(false, Tick(0), &probes());
    }
    let back = Tick(100 * SECOND);
    for _ in 0..2 {
        fitness.probed(true, back, &probes());
    }
    let shares =
        [0, 7500, 15_000, 22_500, 30_000, 100_000].map(|ms| fitness.share(Tick(back.0 + ms), slow_start));
    assert_eq!(shares, [16, 76, 136, 196, 256, 256]);
    assert_eq!(fitness.share(back, Duration::ZERO), WHOLE);
    fitness.told(&agent::read(b"50%"), back);
    assert_eq!(fitness.share(Tick(back.0 + 30_000), slow_start), 128);
    assert_eq!(fitness.share(back, slow_start), 8);
}

#[test]
fn an_agent_stops_drains_and_bounds_and_is_forgotten_with_its_configuration() {
    let fitness = Fitness::default();
    let now = Tick(SECOND);
    assert_eq!(fitness.told(&agent::read(b"down#disk\n"), now), Some(Change::Stopped));
    assert_eq!(fitness.told(&agent::read(b"down\n"), now), None);
    assert!(!fitness.is_fit(now));
    assert_eq!(fitness.told(&agent::read(b"up 40% maxconn:7\n"), now), Some(Change::Resumed));
    assert!(fitness.is_fit(now));
    assert_eq!(fitness.agent_max_sessions(), Some(7));
    assert_eq!(fitness.told(&agent::read(b"drain\n"), now), None);
    assert!(fitness.rests() && !fitness.is_fit(now) && fitness.is_up(now));
    assert_eq!(fitness.agent_standing(), Standing::Drain);
    assert_eq!(fitness.told(&agent::read(b"ready 0%\n"), now), None);
    assert!(fitness.rests() && !fitness.is_fit(now));
    assert_eq!(fitness.told(&agent::read(b"maint 50%\n"), now), None);
    assert_eq!(fitness.agent_standing(), Standing::Maint);
    assert_eq!(fitness.forget_agent(now), None);
    assert!(fitness.is_fit(now) && fitness.agent_max_sessions().is_none());
    assert_eq!(fitness.share(now.after(PATIENCE), Duration::from_secs(1)), WHOLE);
}

#[test]
fn probes_that_are_gone_keep_nobody_down() {
    let fitness = Fitness::default();
    for _ in 0..3 {
        fitness.probed(false, Tick(0), &probes());
    }
    assert!(!fitness.is_fit(Tick(0)));
    assert_eq!(fitness.forget_probes(Tick(1)), Some(Change::Up));
    assert!(fitness.is_fit(Tick(1)));
    assert_eq!(fitness.forget_probes(Tick(1)), None);
}

/// Something that happens to an endpoint.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Probe(bool),
    Connects,
    Fails,
    Claims,
    Passes(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        any::<bool>().prop_map(Happens::Probe),
        Just(Happens::Connects),
        Just(Happens::Fails),
        Just(Happens::Fails),
        Just(Happens::Claims),
        (0..100_000_u64).prop_map(Happens::Passes),
    ]
}

proptest! {
    #[test]
    fn whatever_happened_an_endpoint_whose_probes_are_good_for_long_enough_is_fit_again(
        history in proptest::collection::vec((0..4_usize, happens()), 0..300),
        rise in 0..6_u8,
        fall in 0..6_u8,
        failures in 0..7_u8,
        most in 0..=100_u8,
    ) {
        let all: Vec<_> = (0..4).map(|_| Fitness::default()).collect();
        let health = Health { rise, fall, ..Health::default() };
        let eject = Eject { failures, time: Duration::from_secs(30), most };
        let mut now = Tick(0);
        for (index, event) in history {
            let fitness = &all[index];
            match event {
                Happens::Probe(good) => { fitness.probed(good, now, &health); }
                Happens::Connects => { fitness.connected(Duration::from_millis(1), now); }
                Happens::Fails => { fitness.failed(now, &eject, &all); }
                Happens::Claims => { let _tries = fitness.claim(now, PATIENCE); }
                Happens::Passes(ms) => now.0 += ms,
            }
            let ejected = all.iter().filter(|fitness| !is_past(fitness.ejected_until.load(Ordering::SeqCst), now));
            prop_assert!(ejected.count() * 100 <= usize::from(most) * all.len());
        }
        // The longest ejection there is, and good probes all the while.
        for _ in 0..=150 {
            now.0 += 2 * SECOND;
            all.iter().for_each(|fitness| { fitness.probed(true, now, &health); });
        }
        for fitness in &all {
            prop_assert!(fitness.is_fit(now) && !fitness.is_half_open(now));
            prop_assert!(fitness.claim(now, PATIENCE));
        }
    }

    #[test]
    fn whatever_happened_an_endpoint_without_probes_is_tried_again_and_comes_back_with_one_success(
        history in proptest::collection::vec((0..4_usize, happens()), 0..300),
        failures in 1..7_u8,
    ) {
        let all: Vec<_> = (0..4).map(|_| Fitness::default()).collect();
        let eject = Eject { failures, time: Duration::from_secs(30), most: 100 };
        let mut now = Tick(0);
        for (index, event) in history {
            let fitness = &all[index];
            match event {
                Happens::Connects => { fitness.connected(Duration::from_millis(1), now); }
                Happens::Probe(_) | Happens::Fails => { fitness.failed(now, &eject, &all); }
                Happens::Claims => { let _tries = fitness.claim(now, PATIENCE); }
                Happens::Passes(ms) => now.0 += ms,
            }
        }
        now.0 += 300 * SECOND;
        for fitness in &all {
            prop_assert!(fitness.is_fit(now) && fitness.claim(now, PATIENCE));
            fitness.connected(Duration::from_millis(1), now);
            prop_assert!(fitness.is_fit(now) && !fitness.is_half_open(now));
        }
    }
}
