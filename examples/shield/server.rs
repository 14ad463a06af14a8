//! A server behind the shield: answers each request frame with `{"message": "resp"}`.
//!
//! `cargo run -p portcullis-peers --example shield_server -- 8081`

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;

use clap::Parser;
use portcullis_peers::{DEMO_ANSWER, Endpoint, Frame, TypeWidth, serve_frames};

#[derive(Parser)]
#[command(about = "Answers each request frame, and prints it.")]
struct Options {
    /// The port to listen on.
    port: u16,
    /// How wide a frame's type is.
    #[arg(long, default_value = "1")]
    type_bytes: TypeWidth,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let width = options.type_bytes;
    let hello = width.types().hello;
    let answer = move |frame: &Frame| {
        if frame.kind != hello {
            return Vec::new(); // such as the heartbeat of a health probe
        }
        println!("{}", String::from_utf8_lossy(&frame.payload));
        vec![Frame::new(hello, DEMO_ANSWER)]
    };
    let address = (Ipv4Addr::UNSPECIFIED, options.port).into();
    let endpoint = Endpoint::bind(address, serve_frames::<TcpStream, _>(width, &[], answer))?;
    println!("listening on {}; ctrl-c ends it", endpoint.address());
    loop {
        thread::park();
    }
}
