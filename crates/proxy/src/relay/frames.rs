//! The frame path: copying, with an eye on where frames begin and end.

use crate::io::Io;
use crate::leg::{Frames, Leg, Received, Turn};
use crate::relay::{Flow, Pumped, READS};

impl Flow {
    /// One turn of the client's frames: those of its endpoint go on as they come, the gateway's own are answered.
    pub(crate) fn pump_frames_up(
        &mut self,
        client: &mut Leg,
        endpoint: &mut Leg,
        frames: &mut Frames,
        io: &mut Io,
    ) -> Pumped {
        let mut turn = Turn::of(io);
        for _ in 0..READS {
            frames.speak(client, &mut io.lent);
            if endpoint.is_blocked() || frames.is_full() || frames.is_asking() {
                return Pumped::Blocked;
            }
            if frames.holds() {
                let resumed = frames.resume(&mut turn, |unit| endpoint.write(unit, &mut io.lent));
                endpoint.send_staged(&mut io.lent);
                if let Err(reason) = resumed {
                    return Pumped::Violation(reason);
                }
            } else if client.may_read() {
                match self.read_frames(client, endpoint, (frames, &mut turn), io) {
                    Received::Some(_) => {}
                    Received::Last(_) if !frames.holds() => return Pumped::Drained,
                    Received::Last(_) => {}
                    Received::Eof | Received::Broken => return Pumped::Ended,
                    Received::Violation(reason) => return Pumped::Violation(reason),
                }
            } else {
                return if client.has_ended() { Pumped::Ended } else { Pumped::Drained };
            }
            if turn.is_spent() {
                return Pumped::Spent;
            }
            if frames.is_late() {
                return Pumped::Blocked;
            }
        }
        Pumped::Spent
    }

    fn read_frames(
        &mut self,
        client: &mut Leg,
        endpoint: &mut Leg,
        (frames, turn): (&mut Frames, &mut Turn),
        io: &mut Io,
    ) -> Received {
        let room = io.buffer.len().min(endpoint.room().max(1));
        let (mut moved, mut looked) = (0, Ok(()));
        let received = client.read(&mut io.buffer[..room], &mut io.lent, |unit, lent| {
            moved += unit.payload;
            for bytes in [unit.lead, unit.bytes] {
                if looked.is_ok() {
                    looked = frames.take_up(bytes, turn, |unit| endpoint.write(unit, lent));
                }
            }
        });
        endpoint.send_staged(&mut io.lent);
        self.bytes += moved as u64;
        self.heard |= moved > 0;
        looked.map_or_else(Received::Violation, |()| received)
    }

    /// One turn of the endpoint's frames, with the gateway's own between them.
    pub(crate) fn pump_frames_down(
        &mut self,
        endpoint: &mut Leg,
        client: &mut Leg,
        frames: &mut Frames,
        io: &mut Io,
    ) -> Pumped {
        for _ in 0..READS {
            if client.is_blocked() {
                return Pumped::Blocked;
            }
            let room = io.buffer.len().min(client.room().max(1));
            let mut moved = 0;
            let received = endpoint.read(&mut io.buffer[..room], &mut io.lent, |unit, lent| {
                moved += unit.payload;
                frames.take_down(unit.bytes, |unit| client.write(unit, lent));
            });
            client.send_staged(&mut io.lent);
            self.bytes += moved as u64;
            self.heard |= moved > 0;
            match received {
                Received::Some(_) => {}
                Received::Last(_) => return Pumped::Drained,
                Received::Eof | Received::Broken => return Pumped::Ended,
                Received::Violation(reason) => return Pumped::Violation(reason),
            }
        }
        Pumped::Spent
    }
}
