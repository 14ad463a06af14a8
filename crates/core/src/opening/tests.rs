use super::*;

const TERMS: Terms = Terms {
    hello: config::Hello::LengthPrefixed,
    hello_max_bytes: 4096,
    hello_timeout: Duration::from_secs(10),
    open_timeout: Duration::from_secs(10),
    failure_delay: Duration::from_millis(250),
};
const THREE: Dialling = Dialling { attempts: 3, connect_timeout: Duration::from_secs(3), same: false };
const WIRE: &[u8] = b"\x05\0\0\0a.b:1first";

#[test]
fn a_hello_leads_to_a_relay_with_its_surplus() {
    let mut opening = dialling(THREE);
    assert_eq!(opening.handle(Tick(7), Input::EndpointOpen), Action::Relay { surplus: b"first"[..].into() });
    assert_eq!(opening.poll_timeout(), Tick::NEVER);
}

#[test]
fn a_hello_is_never_extended_by_progress() {
    let mut opening = greeting();
    for (at, byte) in (1..8u64).zip(WIRE) {
        assert!(matches!(opening.handle(Tick(at * 1000), Input::Bytes(&[*byte])), Action::Read(_)));
        assert_eq!(opening.poll_timeout(), Tick(10_000));
    }
    assert_eq!(opening.handle(Tick(9_999), Input::Due), Action::Wait);
    assert_eq!(opening.handle(Tick(10_000), Input::Due), Action::Refuse(Reason::HelloTimeout));
}

#[test]
fn a_byte_in_the_turn_of_the_deadline_changes_nothing() {
    for at in [10_000, 10_001, 60_000] {
        for bytes in [WIRE, &WIRE[..1], b"\xff\xff\xff\xff"] {
            let action = greeting().handle(Tick(at), Input::Bytes(bytes));
            assert_eq!(action, Action::Refuse(Reason::HelloTimeout), "at {at}, {bytes:?}");
        }
    }
    assert!(matches!(greeting().handle(Tick(9_999), Input::Bytes(WIRE)), Action::Resolve(_)));
}

#[test]
fn failures_are_told_at_one_moment_and_timeouts_take_their_time() {
    let told = |mut opening: Opening, at: u64, input| {
        let mut action = opening.handle(Tick(at), input);
        let mut now = at;
        while action == Action::Wait {
            now = opening.poll_timeout().0;
            action = opening.handle(Tick(now), Input::Due);
        }
        (now, action)
    };
    let one = Dialling { attempts: 1, ..THREE };
    let refused = |reason| Action::Refuse(reason);
    assert_eq!(told(greeting(), 0, Input::Bytes(b"\0\0\0\0")), (250, refused(Reason::HelloMalformed)));
    assert_eq!(
        told(resolving(), 3, Input::Unresolved(Reason::KeyForbidden)),
        (250, refused(Reason::KeyForbidden))
    );
    assert_eq!(
        told(resolving(), 90, Input::Unresolved(Reason::NameNotFound)),
        (250, refused(Reason::NameNotFound))
    );
    assert_eq!(
        told(resolving(), 900, Input::Unresolved(Reason::NameNotFound)),
        (900, refused(Reason::NameNotFound))
    );
    assert_eq!(
        told(dialling(one), 1, Input::DialFailed(DialError::Refused)),
        (250, refused(Reason::DialRefused))
    );
    assert_eq!(
        told(dialling(one), 3000, Input::DialFailed(DialError::Timeout)),
        (3000, refused(Reason::DialTimeout))
    );
}

#[test]
fn each_attempt_is_counted_and_bounded() {
    let mut opening = dialling(THREE);
    assert_eq!(opening.poll_timeout(), Tick(3_000));
    assert_eq!(opening.handle(Tick(3_000), Input::Due), Action::AbandonDial);
    assert_eq!(opening.handle(Tick(3_000), Input::DialFailed(DialError::Timeout)), Action::Dial);
    assert_eq!(opening.handle(Tick(3_001), Input::DialFailed(DialError::Refused)), Action::Dial);
    assert_eq!(opening.poll_timeout(), Tick(6_001));
    assert_eq!(
        opening.handle(Tick(3_002), Input::DialFailed(DialError::Refused)),
        Action::Refuse(Reason::DialRefused)
    );
}

#[test]
fn the_same_address_is_dialled_again_after_a_pause() {
    let mut opening = dialling(Dialling { same: true, ..THREE });
    assert_eq!(opening.handle(Tick(1), Input::DialFailed(DialError::Refused)), Action::Wait);
    assert_eq!(opening.poll_timeout(), Tick(51));
    assert_eq!(opening.handle(Tick(51), Input::Due), Action::Dial);
}

#[test]
fn all_attempts_together_end_with_the_open_timeout() {
    let mut opening = dialling(Dialling { attempts: 200, ..THREE });
    let mut now = 0;
    loop {
        now = opening.poll_timeout().0.max(now);
        assert_eq!(opening.handle(Tick(now), Input::Due), Action::AbandonDial);
        let action = opening.handle(Tick(now), Input::DialFailed(DialError::Timeout));
        if action != Action::Dial {
            break assert_eq!(action, Action::Refuse(Reason::DialTimeout));
        }
    }
    assert_eq!(now, 10_000);
}

#[test]
fn who_stands_in_line_is_served_in_time_or_told_so() {
    let mut opening = dialling(THREE);
    assert!(!opening.is_queued());
    assert_eq!(opening.handle(Tick(10), full(Tick(260))), Action::Wait);
    assert!(opening.is_queued());
    assert_eq!(opening.poll_timeout(), Tick(260));
    assert_eq!(opening.handle(Tick(260), Input::Due), Action::Look);
    assert_eq!(opening.handle(Tick(260), full(Tick::NEVER)), Action::Wait);
    assert_eq!(opening.poll_timeout(), Tick(5_010), "looking again does not begin the wait anew");
    assert_eq!(opening.handle(Tick(2_000), Input::Room), Action::Dial);
    assert!(!opening.is_queued());
    assert_eq!(opening.poll_timeout(), Tick(5_000), "an attempt has its own time from here");
    // The wait has cost no attempt.
    assert_eq!(opening.handle(Tick(2_001), Input::DialFailed(DialError::Refused)), Action::Dial);
    assert_eq!(opening.handle(Tick(2_002), full(Tick(2_252))), Action::Wait);
    assert_eq!(opening.handle(Tick(2_003), Input::Room), Action::Dial);
    assert_eq!(opening.handle(Tick(2_004), Input::DialFailed(DialError::Refused)), Action::Dial);
    assert_eq!(
        opening.handle(Tick(2_005), Input::DialFailed(DialError::Refused)),
        Action::Refuse(Reason::DialRefused)
    );
}

#[test]
fn a_wait_in_line_ends_with_the_queue_s_timeout_or_that_of_opening() {
    for (began, ends) in [(0, 5_000), (7_000, 10_000)] {
        let mut opening = dialling(THREE);
        assert_eq!(opening.handle(Tick(began), full(Tick::NEVER)), Action::Wait);
        assert_eq!(opening.poll_timeout(), Tick(ends));
        assert_eq!(opening.handle(Tick(ends), Input::Due), Action::Refuse(Reason::QueueTimeout));
    }
    let mut opening = dialling(THREE);
    assert_eq!(opening.handle(Tick(1), Input::DialFailed(DialError::QueueFull)), Action::Wait);
    assert_eq!(opening.handle(Tick(250), Input::Due), Action::Refuse(Reason::QueueFull));
}

#[test]
fn a_port_check_is_not_answered_and_half_a_hello_is() {
    assert_eq!(greeting().handle(Tick(1), Input::ClientEnded), Action::Close(Reason::ClientLeft));
    let mut opening = greeting();
    assert!(matches!(opening.handle(Tick(1), Input::Bytes(&WIRE[..3])), Action::Read(_)));
    assert_eq!(opening.handle(Tick(2), Input::ClientEnded), Action::Wait);
    assert_eq!(opening.handle(Tick(252), Input::Due), Action::Refuse(Reason::HelloMalformed));
}

#[test]
fn a_client_may_end_its_direction_while_the_endpoint_is_dialled() {
    let mut opening = dialling(THREE);
    assert_eq!(opening.handle(Tick(1), Input::ClientEnded), Action::Wait);
    assert!(matches!(opening.handle(Tick(2), Input::EndpointOpen), Action::Relay { .. }));
}

#[test]
fn a_broken_client_ends_every_stage() {
    let mut queued = dialling(THREE);
    assert_eq!(queued.handle(Tick(0), full(Tick::NEVER)), Action::Wait);
    for mut opening in [greeting(), resolving(), dialling(THREE), queued] {
        assert_eq!(opening.handle(Tick(1), Input::ClientGone), Action::Close(Reason::ClientLeft));
        assert_eq!(opening.handle(Tick(1), Input::EndpointOpen), Action::Wait);
    }
}

/// Every input at every stage: no order of events panics, revives an ended opening or relays twice.
#[test]
fn no_order_of_events_relays_twice_or_comes_back() {
    const KINDS: usize = 11;
    for plan in 0..KINDS.pow(5) {
        let mut opening = greeting();
        let mut ended = false;
        let mut rest = plan;
        for step in 0..5u64 {
            let action = opening.handle(Tick(step), nth(rest % KINDS));
            rest /= KINDS;
            if ended {
                assert_eq!(action, Action::Wait, "plan {plan}, step {step}");
            }
            ended |= matches!(action, Action::Relay { .. } | Action::Refuse(_) | Action::Close(_));
            assert_eq!(ended, opening.poll_timeout() == Tick::NEVER, "plan {plan}, step {step}");
        }
    }
}

fn nth(kind: usize) -> Input<'static> {
    match kind {
        0 => Input::ClientOpen(None),
        1 => Input::Bytes(WIRE),
        2 => Input::ClientEnded,
        3 => Input::Resolved(THREE),
        4 => Input::Unresolved(Reason::KeyUnknown),
        5 => Input::EndpointOpen,
        6 => Input::DialFailed(DialError::Refused),
        7 => Input::Due,
        8 => full(Tick(3)),
        9 => Input::Room,
        _ => Input::ClientGone,
    }
}

/// Every endpoint is full until then.
fn full(again: Tick) -> Input<'static> {
    Input::NoRoom { again, timeout: Duration::from_secs(5) }
}

fn greeting() -> Opening {
    let mut opening = Opening::new(TERMS, Tick(0));
    assert!(matches!(opening.handle(Tick(0), Input::ClientOpen(None)), Action::Read(_)));
    opening
}

fn resolving() -> Opening {
    let mut opening = greeting();
    assert_eq!(opening.handle(Tick(0), Input::Bytes(WIRE)), Action::Resolve(Some("a.b:1".into())));
    opening
}

fn dialling(plan: Dialling) -> Opening {
    let mut opening = resolving();
    assert_eq!(opening.handle(Tick(0), Input::Resolved(plan)), Action::Dial);
    opening
}
