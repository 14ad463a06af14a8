#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::wheel::Tick;
use crate::wire::kcp::fec::tests::{Chance, groups, heard, knowing, segments};
use crate::wire::kcp::fec::{Encoder, HEADER, mul_acc_scalar};
use crate::wire::kcp::outbox::Outbox;

fn shards(data: u8, parity: u8) -> Shards {
    Shards::new(data, parity).unwrap()
}

#[test]
fn every_pattern_of_loss_up_to_the_parity_is_made_good_in_any_order() {
    let frames = groups(shards(10, 3), 0, 1, 40);
    let mut chance = Chance(7);
    for lost in 0..1u32 << 13 {
        let missing = |index: &usize| lost >> index & 1 == 1;
        if lost.count_ones() > 3 {
            continue;
        }
        let mut order: Vec<usize> = (0..13).filter(|index| !missing(index)).collect();
        for turn in 0..4 {
            if turn > 0 {
                shuffle(&mut order, &mut chance);
            }
            let mut decoder = knowing(shards(10, 3));
            let mut all = heard(&mut decoder, order.iter().map(|&index| &frames[index]));
            // What came before the group was complete may have been made and have come as well.
            all.extend(order.iter().filter_map(|&index| segments(&frames[index])));
            let mut want: Vec<Vec<u8>> = frames.iter().filter_map(|frame| segments(frame)).collect();
            want.sort();
            all.sort();
            all.dedup();
            assert_eq!(all, want, "lost {lost:013b}, came {order:?}");
        }
    }
}

#[test]
fn more_loss_than_parity_recovers_nothing_and_says_nothing_wrong() {
    let frames = groups(shards(10, 3), 0, 1, 40);
    for lost in (0..1u32 << 13).filter(|lost| lost.count_ones() == 4).step_by(7) {
        let mut decoder = knowing(shards(10, 3));
        let came = frames.iter().enumerate().filter(|(index, _)| lost >> index & 1 == 0);
        assert_eq!(heard(&mut decoder, came.map(|(_, frame)| frame)), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn many_shards_recover_as_many_as_there_is_parity() {
    for (data, parity) in [(1, 1), (3, 1), (5, 2), (20, 5), (1, 4), (30, 10), (128, 128), (255, 1), (1, 255)]
    {
        let frames = groups(shards(data, parity), 0, 2, 30);
        let all = frames.len() / 2;
        let lost = usize::from(parity).min(usize::from(data));
        let missing: Vec<Vec<u8>> = [0, all]
            .iter()
            .flat_map(|&at| frames[at..at + lost].iter().filter_map(|frame| segments(frame)))
            .collect();
        let mut decoder = knowing(shards(data, parity));
        let came = frames.iter().enumerate().filter(|(index, _)| index % all >= lost).map(|(_, frame)| frame);
        assert_eq!(heard(&mut decoder, came), missing, "{data}/{parity}");
        assert_eq!(decoder.recovered(), missing.len() as u64);
    }
}

#[test]
fn recovery_goes_on_over_the_wrap_of_seqids() {
    let shards = shards(10, 3);
    let frames = groups(shards, shards.paws() - 5 * 13, 10, 40);
    let lost = |index: usize| [2, 3, 9].contains(&(index % 13));
    let missing = frames.iter().enumerate().filter(|&(index, _)| lost(index));
    let missing: Vec<Vec<u8>> = missing.filter_map(|(_, frame)| segments(frame)).collect();
    assert_eq!(missing.len(), 30);
    let mut decoder = knowing(shards);
    let came = frames.iter().enumerate().filter(|&(index, _)| !lost(index)).map(|(_, frame)| frame);
    assert_eq!(heard(&mut decoder, came), missing);
}

#[test]
fn a_seqid_that_is_never_used_changes_nothing() {
    let frames = groups(shards(10, 3), 0, 2, 40);
    let mut decoder = knowing(shards(10, 3));
    assert!(heard(&mut decoder, &frames[1..10]).is_empty());
    for seqid in shards(10, 3).paws()..=u32::MAX {
        for _ in 0..9 {
            decoder.data(seqid, &[9; 9], |_| panic!("made of nothing"));
            decoder.parity(seqid, &[9; 9], |_| panic!("made of nothing"));
        }
    }
    assert_eq!(heard(&mut decoder, &frames[10..11]), [segments(&frames[0]).unwrap()]);
}

#[test]
fn duplicates_and_what_comes_late_are_given_once() {
    let frames = groups(shards(10, 3), 0, 5, 40);
    let lost = segments(&frames[0]).unwrap();
    let mut decoder = knowing(shards(10, 3));
    for _ in 0..3 {
        assert!(heard(&mut decoder, &frames[1..10]).is_empty());
    }
    assert!(heard(&mut decoder, &frames[13..52]).is_empty(), "three groups pass");
    assert_eq!(
        heard(&mut decoder, [&frames[12], &frames[12], &frames[11], &frames[0]]),
        [lost],
        "late parity"
    );
    let mut decoder = knowing(shards(10, 3));
    assert!(heard(&mut decoder, &frames[1..10]).is_empty());
    assert!(heard(&mut decoder, &frames[13..65]).is_empty(), "four groups pass");
    assert!(heard(&mut decoder, &frames[10..13]).is_empty(), "too late");
}

#[test]
fn groups_without_parity_cost_nothing_for_ever_and_parity_is_used_when_it_is_back() {
    let frames = groups(shards(10, 3), 0, 200, 1000);
    let mut decoder = knowing(shards(10, 3));
    for (number, group) in frames[..190 * 13].chunks(13).enumerate() {
        assert!(heard(&mut decoder, &group[1..10]).is_empty());
        assert!(number < 12 || decoder.held() < 1000, "{} bytes in group {number}", decoder.held());
    }
    let mut recovered = 0;
    for group in frames[190 * 13..].chunks(13) {
        recovered += heard(&mut decoder, &group[1..13]).len();
    }
    assert_eq!(recovered, 9, "all but the group whose parity was the first");
}

#[test]
fn forged_frames_from_far_off_do_not_wipe_good_groups_for_ever() {
    let frames = groups(shards(10, 3), 13 * 1000, 60, 40);
    let far = groups(shards(10, 3), 13 * 9_000_000, 60, 40);
    // One liar for each honest frame: the window never moves.
    let mut decoder = knowing(shards(10, 3));
    let mut recovered = 0;
    for (good, bad) in frames.chunks(13).zip(far.chunks(13)) {
        for (good, bad) in good[1..].iter().zip(&bad[1..]) {
            recovered += heard(&mut decoder, [good]).len();
            heard(&mut decoder, [bad]);
        }
    }
    assert_eq!(recovered, 60);
    // A burst of lies moves it; the truth moves it back within a few frames.
    let mut decoder = knowing(shards(10, 3));
    heard(&mut decoder, &frames[..13]);
    heard(&mut decoder, &far[..40]);
    let recovered: usize = frames[13..].chunks(13).map(|group| heard(&mut decoder, &group[1..]).len()).sum();
    assert!(recovered >= 58, "{recovered} of 59");
}

#[test]
fn a_stateless_answer_at_seqid_0_is_no_new_beginning() {
    let frames = groups(shards(10, 3), 13 * 5000, 2, 40);
    let mut decoder = knowing(shards(10, 3));
    assert!(heard(&mut decoder, &frames[1..6]).is_empty());
    decoder.data(0, &[26; 26], |_| panic!("made of nothing"));
    assert_eq!(heard(&mut decoder, &frames[6..11]), [segments(&frames[0]).unwrap()]);
}

#[test]
fn a_recovered_shard_must_have_a_size_that_fits_and_zeros_behind() {
    for (shard, want) in [
        (&[][..], None),
        (&[0], None),
        (&[0, 0, 1, 1], None),
        (&[1, 0, 0, 0], None),
        (&[2, 0, 0, 0], None),
        (&[3, 0, 7, 0], Some(&[7][..])),
        (&[3, 0, 7, 1], None),
        (&[4, 0, 7, 1], Some(&[7, 1])),
        (&[5, 0, 7, 1], None),
        (&[4, 1, 7, 1], None),
    ] {
        assert_eq!(super::segments(shard), want, "{shard:?}");
    }
}

#[test]
fn memory_is_bounded_whatever_is_sent() {
    let mut chance = Chance(3);
    for (data, parity) in [(10, 3), (3, 1), (20, 5), (100, 50), (255, 1)] {
        let shards = shards(data, parity);
        let bound = 4 * usize::from(data) * (SHARD_MAX + 32) + 8 * 1024;
        let mut decoder = knowing(shards);
        for round in 0..6000u32 {
            // Mostly near groups that never fill, some far ones, shards of any length.
            let near = 40 * shards.group() + chance.below(u64::from(shards.group()) * 4) as u32 + round;
            let seqid = if chance.below(50) == 0 { chance.below(1 << 32) as u32 } else { near };
            let shard = vec![1; chance.below(3000) as usize];
            match shards.kind(seqid) {
                Kind::Data if chance.below(3) > 0 => decoder.data(seqid, &shard, |_| ()),
                Kind::Parity if chance.below(30) == 0 => decoder.parity(seqid, &shard, |_| ()),
                Kind::Data | Kind::Parity => {}
            }
            assert!(decoder.held() <= bound, "{data}/{parity}: {} bytes of {bound}", decoder.held());
        }
        decoder.rest();
        assert_eq!(decoder.held(), 0);
    }
}

#[test]
fn four_full_groups_that_lack_one_shard_each_are_the_most_there_is() {
    for (data, parity) in [(10, 3), (3, 1), (20, 5), (255, 1)] {
        let shards = shards(data, parity);
        let bound = 4 * usize::from(data) * (SHARD_MAX + 32) + 8 * 1024;
        let mut decoder = knowing(shards);
        for number in 0..9 {
            decoder.parity(number * shards.group() + u32::from(data), &[1; SHARD_MAX], |_| ());
            for place in 2..u32::from(data) {
                decoder.data(number * shards.group() + place, &[1; SHARD_MAX], |_| ());
                assert!(decoder.held() <= bound, "{data}/{parity}: {} bytes of {bound}", decoder.held());
            }
        }
        assert!(decoder.held() > bound / 3, "{data}/{parity}: {} bytes of {bound}", decoder.held());
        decoder.rest();
        assert_eq!(decoder.held(), 0);
    }
}

#[test]
fn after_a_rest_the_decoder_goes_on() {
    let frames = groups(shards(10, 3), 0, 3, 40);
    let mut decoder = knowing(shards(10, 3));
    assert!(heard(&mut decoder, &frames[..5]).is_empty());
    decoder.rest();
    assert_eq!(decoder.held(), 0);
    assert!(heard(&mut decoder, &frames[6..13]).is_empty(), "what was held is gone");
    assert_eq!(heard(&mut decoder, &frames[14..26]), [segments(&frames[13]).unwrap()]);
    assert_eq!(decoder.shards(), Some(shards(10, 3)));
}

#[test]
fn other_shards_than_hinted_are_recovered_once_they_are_seen_through() {
    for (data, parity) in [(5, 2), (3, 1), (20, 5), (1, 1), (10, 4), (11, 3)] {
        let frames = groups(shards(data, parity), 0, 60, 40);
        let mut decoder = Decoder::new(mul_acc_scalar, Some(shards(10, 3)));
        let group = frames.len() / 60;
        let mut recovered = 0;
        for frames in frames.chunks(2 * group) {
            recovered += heard(&mut decoder, &frames[1..]).len();
        }
        assert_eq!(decoder.shards(), Some(shards(data, parity)));
        assert!(recovered >= 24, "{data}/{parity}: {recovered} of 30");
    }
}

#[test]
fn a_hint_that_is_wrong_makes_up_no_frame() {
    let mut chance = Chance(3);
    let codes = [(10, 3), (5, 2), (3, 1), (1, 1), (2, 2), (20, 5), (11, 3)]
        .map(|(data, parity)| shards(data, parity));
    for (hint, real) in codes.iter().flat_map(|&hint| codes.map(|real| (hint, real))) {
        let frames = alike(real, 40);
        for _ in 0..200 {
            let came: Vec<_> = frames.iter().filter(|_| chance.below(5) > 0).collect();
            let mut decoder = Decoder::new(mul_acc_scalar, Some(hint));
            for made in heard(&mut decoder, came) {
                assert!(
                    frames.iter().any(|frame| segments(frame).as_ref() == Some(&made)),
                    "{hint:?} {real:?}"
                );
            }
        }
    }
}

#[test]
fn a_hint_that_is_right_is_certain_after_a_few_groups_and_recovers_from_then_on() {
    for (data, parity) in [(10, 3), (3, 1), (1, 1), (20, 5)] {
        let frames = alike(shards(data, parity), 100);
        let mut decoder = Decoder::new(mul_acc_scalar, Some(shards(data, parity)));
        heard(&mut decoder, frames.iter().take(60));
        assert_eq!(decoder.certain(), Some(shards(data, parity)));
        let group = usize::from(data + parity);
        let next = 60_usize.next_multiple_of(group);
        assert_eq!(heard(&mut decoder, &frames[next + 1..next + group]).len(), 1, "{data}/{parity}");
    }
}

/// At least so many frames of segments that differ in number and payload only, as those of a bulk transfer do.
fn alike(shards: Shards, count: u32) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(shards, mul_acc_scalar, 0);
    let (mut out, mut frames) = (Outbox::default(), Vec::new());
    for sn in 0..count {
        let mut frame = vec![0; HEADER];
        frame.extend([7, 7, 7, 7, 81, 0, 0, 1, 9, 9, 9, 9]);
        frame.extend(sn.to_le_bytes());
        frame.extend([0, 0, 0, 0, 8, 0, 0, 0]);
        frame.extend((u64::from(sn) * 0x0123_4567_89ab_cdef).to_le_bytes());
        encoder.data(Tick(1), &mut frame);
        frames.push(frame);
        out.clear();
        encoder.parity(&mut out, 0, true);
        frames.extend(out.iter().map(<[u8]>::to_vec));
    }
    frames
}

#[test]
fn a_change_of_shards_makes_up_no_frame() {
    for (before, after) in
        [((10, 3), (10, 4)), ((10, 3), (11, 3)), ((10, 3), (5, 2)), ((5, 2), (10, 3)), ((3, 1), (3, 2))]
    {
        let (before, after) = (shards(before.0, before.1), shards(after.0, after.1));
        let mut decoder = knowing(before);
        let frames = alike(after, 200);
        let came: Vec<_> =
            frames.iter().enumerate().filter(|(index, _)| index % 31 != 30).map(|(_, frame)| frame).collect();
        let made = heard(&mut decoder, came);
        let sent: Vec<_> = frames.iter().filter_map(|frame| segments(frame)).collect();
        assert!(made.iter().all(|made| sent.contains(made)), "{before:?} {after:?}");
        assert_eq!(decoder.certain(), Some(after));
    }
}

fn shuffle(order: &mut [usize], chance: &mut Chance) {
    for index in (1..order.len()).rev() {
        order.swap(index, chance.below(index as u64 + 1) as usize);
    }
}
