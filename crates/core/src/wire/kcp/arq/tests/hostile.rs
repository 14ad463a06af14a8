//! Whatever a peer sends: no panic, no memory beyond bounds, no work beyond what was sent, and an end.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Move {
    Segment { command: u8, window: u16, ts: u32, sn: u32, una: u32, len: usize },
    Raw(Vec<u8>),
    Write(usize),
    Read(usize),
    Wait(u64),
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..40, 1 => any::<u32>(), 1 => (0u32..40).prop_map(|n| u32::MAX - n)]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let segment = (81u8..85, any::<u16>(), number(), number(), number(), 0usize..3000)
        .prop_map(|(command, window, ts, sn, una, len)| Move::Segment { command, window, ts, sn, una, len });
    let one = prop_oneof![
        8 => segment,
        1 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Move::Raw),
        2 => (0usize..3000).prop_map(Move::Write),
        1 => (0usize..3000).prop_map(Move::Read),
        2 => (0u64..3000).prop_map(Move::Wait),
    ];
    proptest::collection::vec(one, 0..120)
}

proptest! {
    #[test]
    fn hostile_segments_break_nothing(moves in moves(), wraps: bool, congestion: bool, stream: bool) {
        let settings =
            Settings { send_window: 20, receive_window: 20, mtu: 200, congestion, stream, ..Settings::default() };
        let clock = if wraps { u32::MAX - 10 } else { 0 };
        let mut arq = Arq::new(CONV, &settings, Start { sn: clock, clock });
        let mut now = 1;
        for step in moves {
            match step {
                Move::Segment { command, window, ts, sn, una, len } => {
                    let mut datagram =
                        wire(&Segment { window, ts, una, payload: &vec![0; len], ..bare(Command::Push, sn) });
                    datagram[4] = command;
                    prop_assert_eq!(arq.handle_input(Tick(now), &datagram, Origin::Wire, None), Ok(()));
                }
                // Chance hits the conversation rarely; either way it is survived.
                Move::Raw(bytes) => drop(arq.handle_input(Tick(now), &bytes, Origin::Recovered, None)),
                Move::Write(len) => prop_assert!(arq.write(&vec![0; len]) <= len),
                Move::Read(len) => arq.consume(len),
                Move::Wait(time) => now += time,
            }
            let datagrams = drain(&mut arq, now);
            prop_assert!(datagrams.len() <= 20 + 20 + 2, "{} datagrams at once", datagrams.len());
            prop_assert!(arq.poll_timeout() > Tick(now));
            prop_assert!(arq.unacknowledged() <= 20 * 176);
            prop_assert!(arq.held() <= 20 * 176 + 3000 + 20 * 1448);
        }
        // A peer that says nothing more: everything is given up, or nothing is left, and there is an end of waiting.
        let mut turns = 0;
        while arq.poll_timeout() != Tick::NEVER {
            now = arq.poll_timeout().0;
            drain(&mut arq, now);
            turns += 1;
            prop_assert!(turns < 20 * 25, "no end");
        }
        prop_assert!(arq.is_dead() || arq.unacknowledged() == 0);
        prop_assert!(now < 3_600_000 * 24);
    }
}
