#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn b16_memory_pressure_is_answered_step_by_step_and_taken_back_slowly() {
    let mut overload = Overload::default();
    let mut step = |memory, second: u64| {
        let pressure = Pressure { memory: Some(memory), ..Pressure::default() };
        overload.handle(&pressure, Tick(1000 * second))
    };
    assert_eq!(step(0.5, 0), Step::Calm);
    assert_eq!(step(0.81, 1), Step::Trim);
    assert_eq!(step(0.90, 2), Step::Share);
    assert_eq!(step(0.97, 3), Step::Shed, "up at once");
    assert_eq!(step(0.94, 4), Step::Shed, "not clearly lower");
    assert_eq!(step(0.85, 5), Step::Shed);
    assert_eq!(step(0.85, 7), Step::Shed);
    assert_eq!(step(0.85, 8), Step::Closed, "one step at a time");
    assert_eq!(step(0.85, 11), Step::Share);
    assert_eq!(step(0.96, 12), Step::Shed);
    assert_eq!(step(0.1, 13), Step::Shed);
    for (second, want) in [(16, Step::Closed), (19, Step::Share), (22, Step::Trim), (25, Step::Calm)] {
        assert_eq!(step(0.1, second), want);
    }
}

#[test]
fn a_pressure_that_swings_does_not_make_the_step_swing() {
    let mut overload = Overload::default();
    let mut changes = 0;
    for second in 0..600 {
        let memory = if second % 2 == 0 { 0.93 } else { 0.915 };
        let before = overload.step();
        let pressure = Pressure { memory: Some(memory), ..Pressure::default() };
        changes += u32::from(overload.handle(&pressure, Tick(1000 * second)) != before);
    }
    assert_eq!((overload.step(), changes), (Step::Closed, 1));
}

#[test]
fn b15_a_full_house_is_no_pressure_but_files_of_the_program_are_kept() {
    let rows =
        [(800, Step::Calm), (810, Step::Trim), (860, Step::Share), (910, Step::Closed), (2000, Step::Closed)];
    for (used, want) in rows {
        let mut overload = Overload::default();
        let files = Some(Files { used, limit: 1000, kept_back: 200 });
        assert_eq!(overload.handle(&Pressure { files, ..Pressure::default() }, Tick(0)), want, "{used} used");
    }
}

#[test]
fn long_turns_count_only_when_they_last() {
    let mut overload = Overload::default();
    let mut step = |millis, second: u64| {
        let pressure = Pressure { turn: Duration::from_millis(millis), ..Pressure::default() };
        overload.handle(&pressure, Tick(1000 * second))
    };
    assert_eq!(step(30_000, 0), Step::Calm, "a machine that stood still");
    assert_eq!(step(10, 1), Step::Calm);
    for second in 2..7 {
        assert_eq!(step(1500, second), Step::Calm);
    }
    assert_eq!(step(1500, 7), Step::Share);
    assert_eq!(step(3000, 8), Step::Closed, "never worse: ending sessions gives no time back");
}

#[test]
fn steps_and_numbers_agree() {
    for step in Step::ALL {
        assert_eq!(Step::of(step.number()), step);
        assert!(!step.meaning().is_empty());
    }
    assert_eq!(Step::of(200), Step::Shed);
}
