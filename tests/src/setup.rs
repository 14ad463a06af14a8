//! A config, put together from the few forms that stories need.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A native config in the making. Every address it binds has port 0; `{folder}` stands for the gate's folder.
#[derive(Clone, Debug)]
pub struct Setup {
    head: String,
    text: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// An admin listener, two workers and the log at `debug`.
    #[must_use]
    pub fn new() -> Self {
        let text = "[log]\nlevel = \"debug\"\n\n[admin]\nbind = \"127.0.0.1:0\"\ntoken_file = \"{folder}/admin.token\"\n\n";
        Self { head: "workers = 2\n".into(), text: text.into() }
    }

    /// Adds lines at the top of the file, before any section.
    #[must_use]
    pub fn top(mut self, lines: &str) -> Self {
        self.head = format!("{lines}\n");
        self
    }

    /// Adds text as it is.
    #[must_use]
    pub fn with(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self.text.push_str("\n\n");
        self
    }

    /// Adds a listener on `127.0.0.1:0` and its lines; its route has its name.
    #[must_use]
    pub fn listener(mut self, name: &str, protocol: &str, lines: &str) -> Self {
        let listener = format!(
            "[[listener]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nbind = [\"127.0.0.1:0\"]\nroute = \"{name}\"\n{lines}\n\n"
        );
        self.text.push_str(&listener);
        self
    }

    /// Adds a listener whose keys are addresses, with its `allow` list.
    #[must_use]
    pub fn addressed(self, name: &str, protocol: &str, allow: &[&str], lines: &str) -> Self {
        self.listener(name, protocol, lines)
            .with(&format!("[route.{name}]\nresolver = \"address\"\nallow = {allow:?}"))
    }

    /// Adds a listener without a hello and its upstream of equal endpoints.
    #[must_use]
    pub fn fixed(self, name: &str, protocol: &str, endpoints: &[SocketAddr], lines: &str) -> Self {
        self.listener(name, protocol, &format!("hello = \"none\"\n{lines}"))
            .with(&format!("[route.{name}]\nresolver = \"upstream\"\nupstreams = [\"{name}\"]"))
            .upstream(name, endpoints, "")
    }

    /// Adds an upstream of equal endpoints and its lines.
    #[must_use]
    pub fn upstream(mut self, name: &str, endpoints: &[SocketAddr], lines: &str) -> Self {
        let list = endpoints.iter().fold(String::new(), |mut list, endpoint| {
            write!(list, "{{ address = \"{endpoint}\" }}, ").expect("a String takes everything");
            list
        });
        self.text
            .push_str(&format!("[upstream.{name}]\nprotocol = \"tcp\"\nendpoints = [{list}]\n{lines}\n\n"));
        self
    }

    /// The config's text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}", self.head, self.text)
    }
}
