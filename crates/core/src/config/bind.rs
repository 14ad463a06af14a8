//! Where a listener listens: `"address:port"`, or a bare port.

use std::net::{Ipv6Addr, SocketAddr};

use serde_json::{Value as Json, json};

use super::kind::{Kind, Place, quoted};
use super::tree::{Node, Value};

/// Every address of both families, at a port.
pub(super) fn everywhere(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

/// `"address:port"`, or a bare port.
pub(super) struct Bind;

impl Kind for Bind {
    type Out = SocketAddr;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<SocketAddr> {
        let bare = match &node.value {
            Value::Text(text) => match text.parse::<SocketAddr>() {
                Ok(addr) => return Some(addr),
                Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<u16>().ok(),
                Err(_) => None,
            },
            Value::Whole(port) => u16::try_from(*port).ok(),
            Value::Float(_)
            | Value::Flag(_)
            | Value::Date
            | Value::List(_)
            | Value::Table(_)
            | Value::Broken => {
                place.mistyped(node, "an address with its port", "\"0.0.0.0:7082\"");
                return None;
            }
        };
        if bare.is_none() {
            let hint = "an address and its port, as in \"0.0.0.0:7082\" or \"[::]:7082\", or a bare port";
            place.report.error(&node.at, format!("`{}` has no address to listen on", place.key), hint);
        }
        bare.map(everywhere)
    }

    fn show(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }

    fn label(&self) -> String {
        "address:port, or a bare port".into()
    }

    fn schema(&self) -> Json {
        json!({ "oneOf": [{ "type": "string" }, { "type": "integer", "minimum": 0, "maximum": 65535 }] })
    }
}
