use super::*;

#[test]
fn the_scalar_kernel_multiplies_polynomials() {
    for a in 0..=255u8 {
        for b in 0..=255u8 {
            let mut dst = [0];
            scalar::mul_acc(a, &[b], &mut dst);
            assert_eq!(dst[0], by_hand(a, b), "{a} * {b}");
        }
    }
}

#[test]
fn every_kernel_of_this_machine_does_what_the_scalar_one_does() {
    let src: Vec<u8> = (0..700usize).map(|at| (at * 7 + at * at / 3 + at / 256) as u8).collect();
    let before: Vec<u8> = (0..700usize).map(|at| (at * 13 + at * at / 5) as u8).collect();
    for (name, kernel) in kernels() {
        for coefficient in 0..=255u8 {
            // Every value of a byte at every place of a vector, whatever its width.
            let lengths = [
                0,
                1,
                15,
                16,
                17,
                31,
                32,
                33,
                63,
                64,
                65,
                127,
                129,
                256,
                600 + usize::from(coefficient) % 67,
            ];
            for (turn, length) in lengths.into_iter().enumerate() {
                let (from, to) = (turn * 5 % 31, turn * 3 % 33);
                let mut got = before.clone();
                kernel(coefficient, &src[from..from + length], &mut got[to..to + length]);
                let mut want = before.clone();
                scalar::mul_acc(coefficient, &src[from..from + length], &mut want[to..to + length]);
                assert_eq!(got, want, "{name}: {coefficient} over {length} bytes from {from} to {to}");
            }
        }
    }
}

#[test]
fn only_the_bytes_both_have_take_part() {
    for (name, kernel) in kernels() {
        for (long, short) in [(200, 70), (65, 64), (64, 63), (40, 0)] {
            let mut dst = vec![1; long];
            kernel(1, &vec![1; short], &mut dst);
            assert!(
                dst[..short].iter().all(|&byte| byte == 0) && dst[short..].iter().all(|&byte| byte == 1),
                "{name}"
            );
            let mut dst = vec![1; short];
            kernel(1, &vec![1; long], &mut dst);
            assert!(dst.iter().all(|&byte| byte == 0), "{name}");
        }
    }
}

#[test]
fn the_best_kernel_is_the_first_one_and_there_is_always_one() {
    let names: Vec<&str> = kernels().iter().map(|&(name, _)| name).collect();
    assert_eq!(names.last(), Some(&"scalar"));
    let mut dst = [0; 100];
    mul_acc()(0x8e, &[2; 100], &mut dst);
    assert_eq!(dst, [1; 100]);
}

/// The product of polynomials, then the remainder by 0x11D.
fn by_hand(a: u8, b: u8) -> u8 {
    let mut sum = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0u16, |sum, bit| sum ^ (u16::from(a) << bit));
    for bit in (8..16).rev() {
        if sum >> bit & 1 == 1 {
            sum ^= 0x11d << (bit - 8);
        }
    }
    sum as u8
}
