//! A decoder that is easy to believe: it has the whole stream before it and copies everything.

use super::*;

/// Decodes `wire` from its start, as far as it goes.
pub(super) fn decode(role: Role, wire: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut message: Option<(Opcode, Vec<u8>)> = None;
    let mut rest = wire;
    while let Some((fin, bits, len, payload, left)) = match split(role, rest) {
        Ok(split) => split,
        Err(violation) => {
            said.push(Said::Violation(violation));
            return joined(said);
        }
    } {
        rest = left;
        let whole = payload.len() as u64 == len;
        if bits >= 8 {
            if !whole {
                break;
            }
            said.push(control(bits, payload));
            if matches!(said.last(), Some(Said::Close(..) | Said::Violation(_))) {
                break;
            }
            continue;
        }
        let first = bits != 0;
        if first == message.is_some() {
            said.push(Said::Violation(if first {
                Violation::Interrupted
            } else {
                Violation::NothingToContinue
            }));
            break;
        }
        let opcode = if bits == 1 { Opcode::Text } else { Opcode::Binary };
        let (opcode, text) = message.get_or_insert((opcode, Vec::new()));
        text.extend_from_slice(&payload);
        said.push(Said::Start(*opcode, FrameStart { fin, first, len }));
        if !payload.is_empty() {
            said.push(Said::Bytes(payload));
        }
        let end = whole && fin;
        if *opcode == Opcode::Text
            && std::str::from_utf8(text).is_err_and(|error| end || error.error_len().is_some())
        {
            said.push(Said::Violation(Violation::NotUtf8));
            break;
        }
        if end {
            said.push(Said::End);
            message = None;
        }
        if !whole {
            break;
        }
    }
    joined(said)
}

/// FIN, opcode, length, as much of the payload as is here, unmasked, and what follows; `None` where the
/// header is not whole.
type Split<'w> = Option<(bool, u8, u64, Vec<u8>, &'w [u8])>;

fn split(role: Role, wire: &[u8]) -> Result<Split<'_>, Violation> {
    let Some(&first) = wire.first() else { return Ok(None) };
    let bits = first & 15;
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBit);
    }
    if matches!(bits, 3..=7 | 11..=15) {
        return Err(Violation::ReservedOpcode);
    }
    if bits >= 8 && first < 0x80 {
        return Err(Violation::ControlFragmented);
    }
    let Some(&second) = wire.get(1) else { return Ok(None) };
    match (role, second >= 0x80) {
        (Role::Server, false) => return Err(Violation::MaskMissing),
        (Role::Client, true) => return Err(Violation::MaskUnexpected),
        _ => {}
    }
    let short = second & 0x7f;
    if bits >= 8 && short > 125 {
        return Err(Violation::ControlTooLong);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(field) = wire.get(2..2 + extended) else { return Ok(None) };
    let len = match extended {
        0 => u64::from(short),
        _ => field.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    if extended == 2 && len < 126 || extended == 8 && len < 65536 {
        return Err(Violation::LengthNotMinimal);
    }
    if len >= 1 << 63 {
        return Err(Violation::LengthReserved);
    }
    let mut at = 2 + extended;
    let mut mask = [0; 4];
    if second >= 0x80 {
        let Some(field) = wire.get(at..at + 4) else { return Ok(None) };
        mask.copy_from_slice(field);
        at += 4;
    }
    let here = len.min((wire.len() - at) as u64) as usize;
    let payload = wire[at..at + here].iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
    Ok(Some((first >= 0x80, bits, len, payload, &wire[at + here..])))
}

fn control(bits: u8, payload: Vec<u8>) -> Said {
    match (bits, payload.as_slice()) {
        (9, _) => Said::Ping(payload),
        (10, _) => Said::Pong(payload),
        (_, []) => Said::Close(None, vec![]),
        (_, [_]) => Said::Violation(Violation::CloseCut),
        (_, [high, low, reason @ ..]) => match u16::from(*high) << 8 | u16::from(*low) {
            code @ (0..1000 | 1004..=1006 | 1015..3000 | 5000..) => {
                Said::Violation(Violation::CloseCode(code))
            }
            _ if std::str::from_utf8(reason).is_err() => Said::Violation(Violation::NotUtf8),
            code => Said::Close(Some(code), reason.to_vec()),
        },
    }
}
