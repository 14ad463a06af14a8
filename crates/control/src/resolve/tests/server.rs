//! A name server on loopback: answers from a table that a test may change at any time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does about a name.
#[derive(Clone, Debug)]
pub(super) enum Zone {
    /// Has these addresses, for `ttl` seconds.
    Addresses(Vec<IpAddr>, u32),
    /// Has only the A records; the AAAA question gets no answer at all.
    OnlyFour(IpAddr),
    /// Is a service: priority, weight, port, target.
    Services(Vec<(u16, u16, u16, &'static str)>),
    /// Gets the answer with this code (2 = SERVFAIL, 3 = NXDOMAIN).
    Code(u8),
    /// Gets no answer.
    Silence,
}

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    zones: Arc<Mutex<HashMap<String, Zone>>>,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let addr = socket.local_addr().unwrap();
        let zones = Arc::new(Mutex::new(HashMap::new()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (zones, asked, stop) = (Arc::clone(&zones), Arc::clone(&asked), Arc::clone(&stop));
            move || serve(&socket, &zones, &asked, &stop)
        });
        Self { addr, zones, asked, stop, thread: Some(thread) }
    }

    pub(super) fn set(&self, name: &str, zone: Zone) {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), zone);
    }

    /// How many questions of `kind` (1 = A, 28 = AAAA, 33 = SRV) came for `name`.
    pub(super) fn asked(&self, name: &str, kind: u16) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|(asked, asked_kind)| asked == name && *asked_kind == kind).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn serve(
    socket: &UdpSocket,
    zones: &Mutex<HashMap<String, Zone>>,
    asked: &Mutex<Vec<(String, u16)>>,
    stop: &AtomicBool,
) {
    let mut buffer = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let query = &buffer[..len];
        let (name, end) = read_name(query);
        let kind = u16::from_be_bytes([query[end], query[end + 1]]);
        asked.lock().unwrap_or_else(PoisonError::into_inner).push((name.clone(), kind));
        let zone = zones.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(reply) = reply(query, end + 4, kind, zone.unwrap_or(Zone::Code(3))) {
            socket.send_to(&reply, from).unwrap();
        }
    }
}

fn reply(query: &[u8], end: usize, kind: u16, zone: Zone) -> Option<Vec<u8>> {
    let (mut records, mut code, mut ttl) = (Vec::new(), 0, 60);
    match zone {
        Zone::Addresses(addresses, lives) => {
            ttl = lives;
            records.extend(addresses.iter().filter_map(|ip| address(*ip, kind)));
        }
        Zone::OnlyFour(_) if kind == 28 => return None,
        Zone::OnlyFour(ip) => records.extend(address(ip, kind)),
        Zone::Services(services) if kind == 33 => {
            records.extend(services.iter().map(|(priority, weight, port, target)| {
                let mut data = [priority.to_be_bytes(), weight.to_be_bytes(), port.to_be_bytes()].concat();
                for label in target.split('.').filter(|label| !label.is_empty()) {
                    data.push(label.len() as u8);
                    data.extend_from_slice(label.as_bytes());
                }
                data.push(0);
                data
            }));
        }
        Zone::Services(_) => {}
        Zone::Code(wanted) => code = wanted,
        Zone::Silence => return None,
    }
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1]);
    reply.extend((records.len() as u16).to_be_bytes());
    reply.extend([0; 4]);
    reply.extend(&query[12..end]);
    for data in records {
        // The name as a pointer to the question, class IN.
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend((data.len() as u16).to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}

fn address(ip: IpAddr, kind: u16) -> Option<Vec<u8>> {
    match (ip, kind) {
        (IpAddr::V4(ip), 1) => Some(ip.octets().to_vec()),
        (IpAddr::V6(ip), 28) => Some(ip.octets().to_vec()),
        _ => None,
    }
}

/// Reads the name of the question: lower case, no final dot, and where it ends.
fn read_name(query: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}
