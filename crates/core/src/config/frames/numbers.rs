//! `types = { … }` of frames: the numbers of the gateway's own messages.

use super::{FrameTypes, TypeBytes};
use crate::config::key::{Maybe, Reader, Section};
use crate::config::kind::{Nested, Whole};
use crate::config::write::Writer;

/// What the table says, before it is known how wide a type is.
#[derive(Default)]
pub(in crate::config) struct Numbers {
    /// In the order of [`ALL`].
    given: [Option<u16>; ALL.len()],
    /// What the absent ones are, when they are known.
    usual: Option<FrameTypes>,
}

pub(in crate::config) const NUMBERS: Nested<Numbers> = Nested { section: &SECTION, read, write };

static SECTION: Section = Section {
    path: "listener.frames.types",
    doc: "The numbers of the gateway's own messages; each another, and none wider than `type_bytes`.",
    rows: &[&HEARTBEAT, &HEARTBEAT_REPLY, &REGISTER, &TOKEN, &LOGIN, &ERROR],
    later: &[],
};
static HEARTBEAT: Maybe<Whole<u16>> =
    number("heartbeat", "1; 1000 with `type_bytes = 2`", "a client's heartbeat");
static HEARTBEAT_REPLY: Maybe<Whole<u16>> =
    number("heartbeat_reply", "2; 1001 with `type_bytes = 2`", "the answer to it");
static REGISTER: Maybe<Whole<u16>> =
    number("register", "10; 1100 with `type_bytes = 2`", "a device asks for a token");
static TOKEN: Maybe<Whole<u16>> = number("token", "11; 1101 with `type_bytes = 2`", "it gets one");
static LOGIN: Maybe<Whole<u16>> =
    number("login", "12; 1102 with `type_bytes = 2`", "it shows the one it has");
static ERROR: Maybe<Whole<u16>> = number("error", "19; 1199 with `type_bytes = 2`", "something was refused");

const fn number(name: &'static str, absent: &'static str, doc: &'static str) -> Maybe<Whole<u16>> {
    Maybe { name, kind: Whole::from(0, u16::MAX), absent, doc }
}

/// Where a number has its place.
type Place = fn(&mut FrameTypes) -> &mut u16;

/// Every number's key and place.
static ALL: [(&Maybe<Whole<u16>>, Place); 6] = [
    (&HEARTBEAT, |types| &mut types.heartbeat),
    (&HEARTBEAT_REPLY, |types| &mut types.heartbeat_reply),
    (&REGISTER, |types| &mut types.register),
    (&TOKEN, |types| &mut types.token),
    (&LOGIN, |types| &mut types.login),
    (&ERROR, |types| &mut types.error),
];

impl Numbers {
    /// What the table says of numbers whose types are so wide.
    pub(super) fn saying(mut types: FrameTypes, width: TypeBytes) -> Self {
        Self { given: ALL.map(|(_, place)| Some(*place(&mut types))), usual: Some(FrameTypes::usual(width)) }
    }
}

/// Makes the table what it says for types that are so wide; `reader` is in the table.
pub(super) fn settle(numbers: &Numbers, width: TypeBytes, reader: &Reader<'_>) -> FrameTypes {
    let mut types = FrameTypes::usual(width);
    for ((key, place), given) in ALL.iter().zip(numbers.given) {
        let Some(number) = given else { continue };
        *place(&mut types) = number;
        if width == TypeBytes::One && number > u8::MAX.into() {
            let message = format!("`{} = {number}` is no type of one byte", key.name);
            reader.error(key.name, message, "up to 255, or set `type_bytes = 2`");
        }
    }
    let all = ALL.map(|(key, place)| (key.name, *place(&mut types)));
    for (index, (name, number)) in all.iter().enumerate() {
        let Some((other, _)) = all.iter().take(index).find(|(_, earlier)| earlier == number) else {
            continue;
        };
        let at = if reader.has(name) { name } else { other };
        let message = format!("`{other}` and `{name}` are both {number}");
        reader.error(at, message, "each message has a number of its own");
    }
    types
}

fn read(reader: &Reader<'_>) -> Option<Numbers> {
    Some(Numbers { given: ALL.map(|(key, _)| reader.find(key)), usual: None })
}

fn write(writer: &mut Writer<'_>, numbers: &Numbers) {
    for ((key, place), given) in ALL.iter().zip(numbers.given) {
        let usual = numbers.usual.map(|mut usual| *place(&mut usual));
        if let Some(number) = &given {
            writer.put_maybe(key, number, given == usual);
        }
    }
}
