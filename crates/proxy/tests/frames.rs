//! Frame mode between real sockets: the defects of the first shield, each shown absent, over every carrier.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/frames.rs"]
mod frames;
#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use frames::{Carrier, World, cells};
use gate::accept;
use portcullis_core::outcome::{Path, Reason};
use portcullis_peers::{
    DEMO_ANSWER, DEMO_CUTS, Endpoint, Frame, FrameClient, TypeWidth, serve, serve_demo, serve_frames,
};

#[test]
fn s06_an_answer_is_its_request_s_however_the_endpoint_cuts_it() {
    for cell in cells() {
        for cuts in [DEMO_CUTS, &[1], &[]] {
            let endpoint = Endpoint::start(serve_demo(cell.1, cuts)).unwrap();
            let world = World::new(cell, endpoint.address(), |_, _| {});
            world.with_client(|client| {
                let request = Frame::new(cell.1.types().hello, br#"{"message":"hello"}"#);
                for _ in 0..3 {
                    let answer = client.ask(&request).unwrap();
                    assert_eq!(
                        (answer.kind, &*answer.payload),
                        (request.kind, DEMO_ANSWER),
                        "{cell:?} {cuts:?}"
                    );
                }
            });
        }
    }
}

#[test]
fn s07_an_answer_of_any_length_leaves_the_connection_usable() {
    for cell in cells() {
        let endpoint = Endpoint::start(serve_frames(cell.1, &[], |frame| vec![frame.clone()])).unwrap();
        let world = World::new(cell, endpoint.address(), |_, _| {});
        world.with_client(|client| {
            for length in [4096, 0, 4091, 4092, 2 * 4096, 2 * 4096 - 5, 3 * 4096 - 4, 65_535, 1] {
                let payload: Vec<u8> = (0..length).map(|index: u32| (index * 7) as u8).collect();
                let frame = Frame::new(cell.1.types().hello, &payload);
                assert!(client.ask(&frame).unwrap() == frame, "{cell:?}: {length} bytes");
            }
        });
    }
}

#[test]
fn s08_a_heartbeat_is_answered_here_and_holds_nobody_up() {
    for cell in cells() {
        let seen = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&seen);
        let endpoint = Endpoint::start(serve_frames(cell.1, &[], move |frame| {
            count.fetch_add(1, Ordering::SeqCst);
            vec![frame.clone()]
        }))
        .unwrap();
        let world = World::new(cell, endpoint.address(), |_, _| {});
        world.with_client(|client| {
            let request = Frame::new(cell.1.types().hello, b"{}");
            for asked in 1..=3 {
                let answer = String::from_utf8(client.heartbeat().unwrap()).unwrap();
                let time = answer.strip_prefix(r#"{"srvTime":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
                let is_time = |time: &str| time.len() == 14 && time.starts_with("20");
                assert!(time.is_some_and(is_time), "{cell:?}: {answer}");
                assert_eq!(client.ask(&request).unwrap(), request, "{cell:?}");
                assert_eq!(seen.load(Ordering::SeqCst), asked, "{cell:?}: the endpoint sees no heartbeat");
            }
        });
        // The last answer is counted after it was sent.
        world.gate.wait_for(|counts| counts.listeners[0].frames.down == 3);
        let counts = world.gate.handle.counts().listeners.remove(0);
        let frames = counts.frames;
        assert_eq!((frames.up, frames.heartbeats, frames.limited), (6, 3, 0), "{cell:?}");
        assert!(counts.path_bytes[Path::Frames as usize] > 0, "{cell:?}");
    }
}

#[test]
fn s09_an_idle_client_is_told_that_its_endpoint_has_closed() {
    // KCP tells no end.
    for cell in cells().filter(|(carrier, _)| *carrier != Carrier::Kcp) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let world = World::new(cell, listener.local_addr().unwrap(), |_, _| {});
        world.with_client(|client| {
            drop(accept(&listener));
            assert_eq!(client.read().unwrap(), None, "{cell:?}");
        });
    }
}

#[test]
fn s10_what_an_endpoint_pushes_comes_at_once() {
    for cell in cells() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let world = World::new(cell, listener.local_addr().unwrap(), |_, _| {});
        world.with_client(|client| {
            // A conversation begins with what its client says.
            client.heartbeat().unwrap();
            let mut endpoint = accept(&listener);
            for count in [1, 3] {
                let pushed: Vec<Frame> =
                    (0..count).map(|index| Frame::new(cell.1.types().hello, &[index])).collect();
                for frame in &pushed {
                    endpoint.write_all(&frame.encode(cell.1).unwrap()).unwrap();
                }
                for frame in pushed {
                    assert_eq!(client.read().unwrap(), Some(frame), "{cell:?}");
                }
            }
        });
    }
}

#[test]
fn s12_requests_in_one_segment_are_answered_each_and_in_order() {
    for cell in cells() {
        let answer = |frame: &Frame| vec![frame.clone()];
        let endpoint = Endpoint::start(serve_frames(cell.1, DEMO_CUTS, answer)).unwrap();
        let world = World::new(cell, endpoint.address(), |_, _| {});
        world.with_client(|client| {
            let kind = cell.1.types().hello;
            let requests: Vec<Frame> = (0..50).map(|index| Frame::new(kind, &[index; 20])).collect();
            client.send_all(&requests).unwrap();
            for request in requests {
                assert_eq!(client.read().unwrap(), Some(request), "{cell:?}");
            }
        });
    }
}

#[test]
fn any_version_any_type_and_any_length_pass_unchanged() {
    for cell in cells() {
        let endpoint = Endpoint::start(serve::echo).unwrap();
        let world = World::new(cell, endpoint.address(), |_, _| {});
        let last = if cell.1 == TypeWidth::One { 255 } else { 65_535 };
        world.with_client(|client| {
            for (version, kind) in [(255, last), (0, 0), (3, last), (1, 5)] {
                for length in [0, 1, 65_535] {
                    let payload: Vec<u8> = (0..length).map(|index: u32| (index ^ 0x80) as u8).collect();
                    let frame = Frame { version, ..Frame::new(kind, &payload) };
                    assert!(client.ask(&frame).unwrap() == frame, "{cell:?}: {version} {kind} {length}");
                }
            }
        });
    }
}

#[test]
fn a_token_is_taken_out_before_the_endpoint_unless_it_is_to_see_it() {
    for (forward, want) in [(false, &[1, 20, 0, 2, b'h', b'i'][..]), (true, b"\x02\x14\0\x02")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cell = (Carrier::Tcp, TypeWidth::One);
        let world = World::new(cell, listener.local_addr().unwrap(), |frames, _| {
            frames.forward_token = forward;
        });
        world.with_client(|client| {
            let mut endpoint = accept(&listener);
            let frame = Frame::new(20, b"hi").with_token([9; 16]);
            // However it is cut.
            for byte in frame.encode(cell.1).unwrap() {
                serve::Connection::send(client.stream(), &[byte]).unwrap();
            }
            let want = if forward { frame.encode(cell.1).unwrap() } else { want.to_vec() };
            assert_eq!(take(&mut endpoint, want.len()), want);
        });
    }
}

#[test]
fn a_limited_frame_is_answered_with_its_own_version_and_type() {
    for cell in cells() {
        let endpoint = Endpoint::start(serve_demo(cell.1, &[])).unwrap();
        let world = World::new(cell, endpoint.address(), |frames, _| {
            frames.message_rate = Some(rate("1/h", 3));
        });
        world.with_client(|client| {
            let request = Frame { version: 7, ..Frame::new(cell.1.types().hello, b"{}") };
            for _ in 0..3 {
                assert_eq!(client.ask(&request).unwrap().payload, DEMO_ANSWER, "{cell:?}");
            }
            for kind in [request.kind, cell.1.types().heartbeat, 200] {
                let refused = client.ask(&Frame { kind, ..request.clone() }).unwrap();
                assert_eq!((refused.version, refused.kind), (7, kind), "{cell:?}");
                assert_eq!(refused.payload, br#"{"message":"error: request rate limit exceeded"}"#);
            }
        });
        world.gate.wait_for(|counts| counts.listeners[0].frames.limited == 3);
    }
}

#[test]
fn a_limited_frame_waits_where_it_may() {
    let cell = (Carrier::Tcp, TypeWidth::Two);
    let endpoint = Endpoint::start(serve_frames(cell.1, &[], |frame| vec![frame.clone()])).unwrap();
    let world = World::new(cell, endpoint.address(), |frames, _| {
        frames.message_rate = Some(rate("50/s", 1));
        frames.on_limit = portcullis_core::config::OnLimit::Delay { max: Duration::from_secs(20) };
    });
    world.with_client(|client| {
        let requests: Vec<Frame> = (0..20).map(|index| Frame::new(2000, &[index])).collect();
        let began = std::time::Instant::now();
        client.send_all(&requests).unwrap();
        client.send_all(&requests[..1]).unwrap();
        for request in requests.iter().chain(&requests[..1]) {
            assert_eq!(client.read().unwrap().as_ref(), Some(request));
        }
        assert!(began.elapsed() >= Duration::from_millis(380), "{:?} for 20 at 50/s", began.elapsed());
    });
    assert_eq!(world.gate.handle.counts().listeners[0].frames.limited, 0);
}

#[test]
fn a_limited_frame_ends_the_session_where_it_must() {
    let cell = (Carrier::Tcp, TypeWidth::One);
    let endpoint = Endpoint::start(serve_demo(cell.1, &[])).unwrap();
    let world = World::new(cell, endpoint.address(), |frames, _| {
        frames.message_rate = Some(rate("1/h", 1));
        frames.on_limit = portcullis_core::config::OnLimit::Close;
    });
    world.with_client(|client| {
        let request = Frame::new(20, b"{}");
        client.ask(&request).unwrap();
        client.send(&request).unwrap();
        assert_eq!(client.read().unwrap(), None);
    });
    assert_eq!(world.gate.ended().reason, Reason::MessageRate);
}

#[test]
fn the_gateway_s_own_words_stand_between_two_frames_of_the_endpoint() {
    for cell in cells() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let world = World::new(cell, listener.local_addr().unwrap(), |_, _| {});
        world.with_client(|client| {
            client.heartbeat().unwrap();
            let mut endpoint = accept(&listener);
            let types = cell.1.types();
            let pushed = Frame::new(types.hello, &[5; 300]);
            let wire = pushed.encode(cell.1).unwrap();
            for cut in [1, 3, 4, 5, 6, 200] {
                // The first half has arrived where the heartbeat overtakes nothing.
                let before = world.gate.handle.counts().listeners[0].down_bytes;
                endpoint.write_all(&wire[..cut]).unwrap();
                let after = before + cut as u64;
                world.gate.wait_for(|counts| counts.listeners[0].down_bytes >= after);
                let beats = world.gate.handle.counts().listeners[0].frames.heartbeats;
                client.send(&Frame::new(types.heartbeat, b"?")).unwrap();
                world.gate.wait_for(|counts| counts.listeners[0].frames.heartbeats > beats);
                endpoint.write_all(&wire[cut..]).unwrap();
                endpoint.write_all(&wire).unwrap();
                let kinds: Vec<u16> = (0..3).map(|_| client.read().unwrap().unwrap().kind).collect();
                assert_eq!(kinds, [types.hello, types.heartbeat_reply, types.hello], "{cell:?} cut {cut}");
            }
        });
    }
}

#[test]
fn missed_heartbeats_end_a_session_that_has_begun_with_them() {
    let beat = Duration::from_millis(100);
    for (required, beats) in [(false, true), (true, false)] {
        let cell = (Carrier::Tcp, TypeWidth::One);
        let endpoint = Endpoint::start(serve_demo(cell.1, &[])).unwrap();
        let world = World::new(cell, endpoint.address(), |frames, _| {
            (frames.heartbeat_interval, frames.heartbeat_misses) = (beat, 2);
            if required {
                frames.heartbeat = portcullis_core::config::Heartbeat::Required;
            }
        });
        world.with_client(|client| {
            if beats {
                client.heartbeat().unwrap();
            }
            assert_eq!(client.read().unwrap(), None);
        });
        let ended = world.gate.ended();
        assert_eq!(ended.reason, Reason::Heartbeat);
        assert!(ended.lasted >= 2 * beat, "{:?}", ended.lasted);
    }
}

#[test]
fn any_frame_is_life() {
    let (beat, cell) = (Duration::from_millis(700), (Carrier::Tcp, TypeWidth::Two));
    let endpoint = Endpoint::start(serve_demo(cell.1, &[])).unwrap();
    let world = World::new(cell, endpoint.address(), |frames, _| {
        (frames.heartbeat_interval, frames.heartbeat_misses) = (beat, 2);
    });
    world.with_client(|client| {
        client.heartbeat().unwrap();
        let began = std::time::Instant::now();
        while began.elapsed() < 3 * beat {
            assert_eq!(client.ask(&Frame::new(2000, b"{}")).unwrap().payload, DEMO_ANSWER);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    assert_eq!(world.gate.ended().reason, Reason::ClientEnded);
}

#[test]
fn half_a_frame_for_ever_is_silence() {
    for half in [&[1, 0x07][..], b"\x01\x07\xd0\0\x10half"] {
        let cell = (Carrier::Tcp, TypeWidth::Two);
        let endpoint = Endpoint::start(serve_demo(cell.1, &[])).unwrap();
        let world = World::new(cell, endpoint.address(), |_, listener| {
            listener.idle_timeout = Duration::from_millis(200);
        });
        world.with_client(|client| {
            serve::Connection::send(client.stream(), half).unwrap();
            assert_eq!(client.read().unwrap(), None);
        });
        assert_eq!(world.gate.ended().reason, Reason::Idle);
    }
}

#[test]
fn frames_that_the_client_sent_before_its_end_are_answered_after_it() {
    let cell = (Carrier::Tcp, TypeWidth::Two);
    let endpoint = Endpoint::start(serve_frames(cell.1, &[1], |frame| vec![frame.clone()])).unwrap();
    let world = World::new(cell, endpoint.address(), |_, _| {});
    let client = FrameClient::tcp(world.gate.address(), cell.1).unwrap();
    let frames = [Frame::new(2000, b"one"), Frame::new(1000, b""), Frame::new(2000, &[3; 5000])];
    client.send_all(&frames).unwrap();
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers: Vec<u16> = Vec::new();
    while let Some(answer) = client.read().unwrap() {
        answers.push(answer.kind);
    }
    answers.sort_unstable();
    assert_eq!(answers, [1001, 2000, 2000]);
}

fn rate(text: &str, burst: u32) -> portcullis_core::config::RateLimit {
    portcullis_core::config::RateLimit { rate: text.parse().unwrap(), burst }
}

fn take(from: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).unwrap();
    bytes
}
