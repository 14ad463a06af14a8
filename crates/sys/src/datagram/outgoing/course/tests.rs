//! The way through a batch against kernels that answer by a script.

use super::*;

/// What a kernel answers: how many pieces it takes, or its error.
type Answer = Result<usize, i32>;

/// How a send ended.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// What was returned, an error by its number.
    result: Result<usize, i32>,
    lost: u64,
    gso: bool,
    /// What the kernel has taken: the bytes of each piece, and the segment size of a train.
    taken: Vec<(&'static [u8], Option<u16>)>,
}

const SINGLE: Outgoing<'static> = Outgoing { to: None, from: None, bytes: b"one", segment: None };
const TRAIN: Outgoing<'static> = Outgoing { to: None, from: None, bytes: b"aabbc", segment: Some(2) };

const FULL: Answer = Err(libc::EAGAIN);

/// What `SINGLE` is when it was taken.
const ONE: (&[u8], Option<u16>) = (b"one", None);
/// What `TRAIN` is when it was taken whole.
const WHOLE: (&[u8], Option<u16>) = (b"aabbc", Some(2));
const A: (&[u8], Option<u16>) = (b"aa", None);
const B: (&[u8], Option<u16>) = (b"bb", None);
const C: (&[u8], Option<u16>) = (b"c", None);

#[test]
fn what_the_kernel_takes_is_done_with_and_the_rest_waits_for_room() {
    let all = [SINGLE, TRAIN, SINGLE];
    check(&all, &[Ok(3)], end(Ok(3), &[ONE, WHOLE, ONE]));
    check(&all, &[Ok(1), Ok(2)], end(Ok(3), &[ONE, WHOLE, ONE]));
    check(&all, &[Ok(2), FULL], end(Ok(2), &[ONE, WHOLE]));
    check(&all, &[FULL], end(Ok(0), &[]));
    check(&all, &[Ok(0)], end(Ok(0), &[]));
    check(&all, &[Err(libc::EINTR), Ok(3)], end(Ok(3), &[ONE, WHOLE, ONE]));
    check(&[], &[], end(Ok(0), &[]));
}

#[test]
fn a_train_refused_whole_goes_as_datagrams_and_the_next_one_whole_again() {
    for refusal in [libc::EINVAL, libc::EMSGSIZE] {
        let script = [Ok(1), Err(refusal), Ok(5)];
        check(&[SINGLE, TRAIN, SINGLE, TRAIN], &script, end(Ok(4), &[ONE, A, B, C, ONE, WHOLE]));
    }
}

#[test]
fn a_device_that_cannot_finish_a_train_is_asked_once() {
    let wanted = End { gso: false, ..end(Ok(3), &[A, B, C, A, B, C, ONE]) };
    check(&[TRAIN, TRAIN, SINGLE], &[Err(libc::EIO), Ok(7)], wanted);
}

#[test]
fn a_train_of_one_or_of_nothing_is_a_datagram() {
    for bytes in [&b""[..], b"x", b"xx"] {
        for segment in [Some(0), Some(2)] {
            let odd = Outgoing { to: None, from: None, bytes, segment };
            check(&[odd, SINGLE], &[Ok(2)], end(Ok(2), &[(bytes, None), ONE]));
        }
    }
}

#[test]
fn a_train_with_a_bad_source_is_one_refusal_and_not_one_for_each_datagram() {
    let script = [Err(libc::EINVAL), Err(libc::EINVAL), Ok(1)];
    check(&[TRAIN, SINGLE], &script, End { lost: 1, ..end(Ok(2), &[ONE]) });
}

#[test]
fn without_room_in_the_middle_of_a_cut_train_its_rest_is_lost_and_not_its_start_sent_twice() {
    let script = [Err(libc::EMSGSIZE), Ok(1), FULL];
    check(&[TRAIN, SINGLE], &script, End { lost: 1, ..end(Ok(1), &[A]) });
    let script = [Err(libc::EMSGSIZE), FULL];
    check(&[TRAIN, SINGLE], &script, end(Ok(0), &[]));
}

#[test]
fn want_of_room_and_filters_lose_a_datagram_on_every_socket() {
    for refusal in [libc::ENOBUFS, libc::ENOMEM, libc::EPERM, libc::EMSGSIZE, libc::EINVAL] {
        for connected in [false, true] {
            let script = [Ok(1), Err(refusal), Ok(1)];
            let wanted = End { lost: 1, ..end(Ok(3), &[ONE, ONE]) };
            check_on(connected, &[SINGLE; 3], &script, wanted);
        }
    }
}

#[test]
fn what_the_network_says_is_loss_for_one_of_many_peers_and_told_of_the_only_one() {
    for refusal in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EACCES] {
        let script = [Err(refusal), Ok(1), Err(refusal)];
        check_on(false, &[SINGLE; 3], &script, End { lost: 2, ..end(Ok(3), &[ONE]) });
        check_on(true, &[SINGLE; 3], &script[1..], end(Err(refusal), &[ONE]));
    }
}

#[test]
fn a_kernel_that_refuses_everything_is_asked_a_bounded_number_of_times() {
    for refusal in [libc::EINVAL, libc::EIO, libc::EMSGSIZE, libc::ENOBUFS, libc::EPERM, libc::EACCES] {
        let all = [TRAIN; 50];
        let mut calls = 0;
        let mut course = Course::new(&all, false, true);
        let done = course.run(|_| {
            calls += 1;
            Err(io::Error::from_raw_os_error(refusal))
        });
        assert_eq!(done.unwrap(), 50);
        assert!(calls <= 4 * all.len(), "{calls} calls");
        assert!(course.lost >= 50, "{}", course.lost);
    }
}

/// An end on a socket that has trains, with nothing lost.
fn end(result: Result<usize, i32>, taken: &[(&'static [u8], Option<u16>)]) -> End {
    End { result, lost: 0, gso: true, taken: taken.to_vec() }
}

fn check(all: &[Outgoing<'static>], script: &[Answer], wanted: End) {
    check_on(false, all, script, wanted);
}

/// Sends `all` to a kernel that answers by `script`, every answer once.
fn check_on(connected: bool, all: &[Outgoing<'static>], script: &[Answer], wanted: End) {
    let mut course = Course::new(all, connected, true);
    let (mut answers, mut taken) = (script.iter(), Vec::new());
    let result = course.run(|course| match *answers.next().expect("no more calls than answers") {
        Ok(count) => {
            let pieces: Vec<_> = course.pieces().map(|piece| (piece.bytes, piece.segment)).collect();
            assert!(pieces.len() >= count, "{count} of {pieces:?}");
            taken.extend_from_slice(&pieces[..count]);
            Ok(count)
        }
        Err(number) => Err(io::Error::from_raw_os_error(number)),
    });
    let result = result.map_err(|error| error.raw_os_error().unwrap());
    assert_eq!(answers.len(), 0, "every answer was asked for");
    assert_eq!(End { result, lost: course.lost, gso: course.gso, taken }, wanted, "{script:?}");
}
