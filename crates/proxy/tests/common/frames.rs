//! Clients that speak in frames over every protocol, in front of an endpoint of plain TCP.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::config::{FrameTypes, Frames, Listener, TypeBytes};
use portcullis_peers::serve::Connection;
use portcullis_peers::{FrameClient, KcpClient, KcpOptions, Key, TcpClient, TlsClient, TypeWidth, WsClient};

use crate::gate::{Files, Gate};
use crate::tls::{Authority, SHOWS_OWN};

/// What carries a client's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Tcp,
    Tls,
    Kcp,
    Ws,
}

impl Carrier {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Kcp, Self::Ws];
}

/// A client on any connection.
pub(crate) type Client<'c> = FrameClient<&'c dyn Connection>;

/// A data plane whose one listener speaks in frames.
pub(crate) struct World {
    pub(crate) gate: Gate,
    carrier: Carrier,
    width: TypeWidth,
    authority: Authority,
}

impl World {
    /// Frames of `width` over `carrier`, all to `endpoint`; `change` changes the settings.
    pub(crate) fn new(
        (carrier, width): (Carrier, TypeWidth),
        endpoint: SocketAddr,
        change: impl Fn(&mut Frames, &mut Listener),
    ) -> Self {
        let (protocol, hello, more) = match carrier {
            Carrier::Tcp => ("tcp", "none", ""),
            Carrier::Tls => ("tls", "none", SHOWS_OWN),
            Carrier::Kcp => ("kcp", "none", ""),
            Carrier::Ws => ("ws", "header", "success_message = \"\""),
        };
        let text = crate::gate::to(endpoint)
            .replacen("protocol = \"tcp\"", &format!("protocol = \"{protocol}\"\n{more}"), 1)
            .replacen("hello = \"none\"", &format!("hello = \"{hello}\""), 1);
        let authority = Authority::own();
        let files: &Files = &authority.files;
        let gate = Gate::start_changed(1, 1000, (&text, files), |config| {
            let type_bytes = if width == TypeWidth::One { TypeBytes::One } else { TypeBytes::Two };
            let types = FrameTypes::usual(type_bytes);
            let mut frames = Frames { type_bytes, types, ..Frames::default() };
            let listener = &mut config.listeners[0];
            change(&mut frames, listener);
            listener.frames = Some(Arc::new(frames));
        });
        Self { gate, carrier, width, authority }
    }

    /// One more client.
    pub(crate) fn with_client<T>(&self, test: impl FnOnce(&Client<'_>) -> T) -> T {
        let address = self.gate.address();
        let talk = |connection: &dyn Connection| test(&FrameClient::new(connection, self.width));
        match self.carrier {
            Carrier::Tcp => talk(TcpClient::connect(address).unwrap().stream()),
            Carrier::Tls => {
                talk(TlsClient::connect(address, &self.authority.trust("own.test")).unwrap().stream())
            }
            Carrier::Kcp => talk(KcpClient::connect(address, &KcpOptions::default()).unwrap().stream()),
            Carrier::Ws => talk(&WsClient::connect(address, Key::Header("out")).unwrap().bytes()),
        }
    }
}

/// Every carrier with every width.
pub(crate) fn cells() -> impl Iterator<Item = (Carrier, TypeWidth)> {
    Carrier::ALL.into_iter().flat_map(|carrier| TypeWidth::ALL.map(|width| (carrier, width)))
}
