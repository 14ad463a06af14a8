//! What may be asked and ordered: each as a request to the admin API, and its answer as people read it.

use clap::{Args, Subcommand, ValueEnum};
use portcullis_core::unit::parse_duration;
use serde_json::{Map, Value, json};

use super::CtlError;
use super::client::{Client, encoded};
use super::table::{Columns, printable, table};

/// The most sessions of one page of the API.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Says what the gateway says of itself
    Status,
    /// Lists and closes sessions
    #[command(subcommand)]
    Sessions(Sessions),
    /// Lists upstreams with their endpoints
    Upstreams {
        /// This one only
        name: Option<String>,
    },
    /// Says what is wanted of an endpoint
    #[command(subcommand)]
    Endpoint(EndpointOrder),
    /// Lists, makes and lifts bans of networks
    #[command(subcommand)]
    Bans(Bans),
    /// Has devices forgotten
    #[command(subcommand, alias = "tokens")]
    Device(DeviceOrder),
    /// Lists limits with their effective values
    Limits,
    /// Prints the configuration in force, every value, without secrets
    Effective,
    /// Reads the configuration again, as SIGHUP does, and says what is wrong with it
    Reload,
}

#[derive(Debug, Subcommand)]
pub(super) enum Sessions {
    /// Lists sessions
    List {
        #[command(flatten)]
        which: Which,
        /// The most to be listed
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: u32,
    },
    /// Closes sessions politely, as a drain does
    Close {
        /// This one, by its id
        #[arg(conflicts_with_all = ["listener", "client", "upstream", "endpoint", "all"])]
        id: Option<String>,
        #[command(flatten)]
        which: Which,
        /// Every session there is
        #[arg(long, conflicts_with_all = ["listener", "client", "upstream", "endpoint"])]
        all: bool,
        /// How many in a second
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        rate: u32,
        /// The most in all
        #[arg(long, value_name = "COUNT")]
        most: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Bans {
    /// Lists the bans in force
    List,
    /// Keeps the clients of a network out, and ends their sessions
    Add {
        /// The network, or one address
        network: String,
        /// How long, as in `10m` [default: until it is lifted]
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        lasts: Option<String>,
        /// What to remember of it
        #[arg(long, default_value = "", value_name = "TEXT")]
        why: String,
    },
    /// Lifts the ban of a network
    Lift {
        /// The network as it was banned
        network: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceOrder {
    /// Forgets a device: its tokens end, its sessions are closed, and it may be registered again
    Forget {
        /// Its `client_id`
        client_id: String,
    },
}

/// Which sessions are meant: those that all of these fit.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Those that came in there
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Those whose clients are there: a network, or one address
    #[arg(long, value_name = "NETWORK")]
    client: Option<String>,
    /// Those that have an endpoint of it
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Those that are connected to it
    #[arg(long, value_name = "ADDRESS:PORT")]
    endpoint: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum EndpointOrder {
    /// Sets its state, its weight, or both
    Set {
        /// Whose endpoint it is
        upstream: String,
        /// Its address as configured
        address: String,
        /// What it is to do
        #[arg(long, required_unless_present = "weight")]
        state: Option<State>,
        /// Its weight from 0 to 256, or `configured`
        #[arg(long, value_parser = weight)]
        weight: Option<Value>,
    },
}

/// What an endpoint is to do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum State {
    /// It takes sessions
    Ready,
    /// It takes no further ones
    Drain,
    /// It takes no further ones and is not probed
    Maint,
}

/// Checked here, where the hint is at hand.
fn time(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn weight(text: &str) -> Result<Value, String> {
    if text == "configured" {
        return Ok(Value::Null);
    }
    let number = text.parse::<u16>().ok().filter(|weight| *weight <= 256);
    number.map(Value::from).ok_or_else(|| "a whole number from 0 to 256, or `configured`".into())
}

impl Which {
    fn fields(&self) -> Map<String, Value> {
        let fields = [
            ("listener", &self.listener),
            ("client", &self.client),
            ("upstream", &self.upstream),
            ("endpoint", &self.endpoint),
        ];
        let given = |(name, value): (&str, &Option<String>)| Some((name.to_owned(), value.clone()?.into()));
        fields.into_iter().filter_map(given).collect()
    }

    fn query(&self) -> String {
        let fields = self.fields();
        let pair = |(name, value): (&String, &Value)| {
            format!("&{name}={}", encoded(value.as_str().unwrap_or_default()))
        };
        fields.iter().map(pair).collect()
    }
}

impl Order {
    /// Asks the gateway for it.
    pub(super) fn carry_out(&self, client: &Client) -> Result<Value, CtlError> {
        match self {
            Self::Status => client.get("/v1/status"),
            Self::Sessions(Sessions::List { which, limit }) => list(client, which, *limit),
            Self::Sessions(Sessions::Close { id: Some(id), .. }) => {
                client.ask("DELETE", &format!("/v1/sessions/{}", encoded(id)), None)
            }
            Self::Sessions(Sessions::Close { id: None, which, all, rate, most }) => {
                let mut order = which.fields();
                order.insert("rate".into(), (*rate).into());
                order.extend(most.map(|most| ("most".into(), most.into())));
                order.extend(all.then(|| ("all".into(), true.into())));
                client.ask("POST", "/v1/sessions/close", Some(&order.into()))
            }
            Self::Upstreams { name: None } => client.get("/v1/upstreams"),
            Self::Upstreams { name: Some(name) } => {
                let upstream = client.get(&format!("/v1/upstreams/{}", encoded(name)))?;
                Ok(json!({ "upstreams": [upstream] }))
            }
            Self::Endpoint(EndpointOrder::Set { upstream, address, state, weight }) => {
                let path = format!("/v1/upstreams/{}/endpoints/{}", encoded(upstream), encoded(address));
                let mut order = Map::new();
                order.extend(state.map(|state| ("state".into(), state.word().into())));
                order.extend(weight.clone().map(|weight| ("weight".into(), weight)));
                client.ask("PATCH", &path, Some(&order.into()))
            }
            Self::Bans(order) => order.carry_out(client),
            Self::Device(DeviceOrder::Forget { client_id }) => {
                client.ask("POST", "/v1/tokens/forget", Some(&json!({ "client_id": client_id })))
            }
            Self::Limits => client.get("/v1/limits"),
            Self::Effective => client.get("/v1/config"),
            Self::Reload => client.ask("POST", "/v1/reload", None),
        }
    }

    /// An answer as people read it.
    pub(super) fn shown(&self, answer: &Value) -> String {
        match self {
            Self::Status => status(answer),
            Self::Sessions(Sessions::List { .. }) => {
                let more = if answer["next"].is_null() { "" } else { "(there are more: `--limit`)\n" };
                format!("{}{more}", table(SESSIONS, rows(answer, "sessions")))
            }
            Self::Sessions(Sessions::Close { .. }) => {
                let rate = answer["rate"].as_u64().map(|rate| format!(", {rate} a second"));
                format!("closing {}{}\n", answer["closing"], rate.unwrap_or_default())
            }
            Self::Upstreams { .. } => upstreams(answer),
            Self::Endpoint(EndpointOrder::Set { .. }) => table(ENDPOINTS, [answer].into_iter()),
            Self::Bans(Bans::List) => table(BANS, rows(answer, "bans")),
            Self::Bans(Bans::Add { .. }) => table(BANS, [answer].into_iter()),
            Self::Bans(Bans::Lift { .. }) => format!("the ban of {} is lifted\n", word(&answer["lifted"])),
            Self::Device(DeviceOrder::Forget { .. }) => {
                format!("device {} is forgotten\n", word(&answer["forgotten"]))
            }
            Self::Limits => limits(answer),
            Self::Effective => {
                let text = answer["effective"].as_str().unwrap_or_default();
                text.lines().map(|line| format!("{}\n", printable(line))).collect()
            }
            Self::Reload => format!("configuration {} is in force\n", word(&answer["hash"])),
        }
    }
}

impl Bans {
    fn carry_out(&self, client: &Client) -> Result<Value, CtlError> {
        match self {
            Self::List => bans(client),
            Self::Add { network, lasts, why } => {
                let mut ban = json!({ "network": network, "why": why });
                if let Some(lasts) = lasts {
                    ban["for"] = lasts.as_str().into();
                }
                client.ask("POST", "/v1/bans", Some(&ban))
            }
            Self::Lift { network } => {
                client.ask("DELETE", &format!("/v1/bans?network={}", encoded(network)), None)
            }
        }
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

const SESSIONS: &Columns = &[
    ("ID", "id"),
    ("LISTENER", "listener"),
    ("CLIENT", "client"),
    ("STATE", "state"),
    ("UPSTREAM", "upstream"),
    ("ENDPOINT", "endpoint"),
    ("IDENTITY", "identity"),
    ("AGE", "age"),
    ("UP", "up_bytes"),
    ("DOWN", "down_bytes"),
    ("PATH", "path"),
];

const ENDPOINTS: &Columns = &[
    ("ENDPOINT", "address"),
    ("STATE", "state"),
    ("WEIGHT", "weight"),
    ("BACKUP", "backup"),
    ("FIT", "fit"),
    ("SESSIONS", "sessions"),
    ("RESPONSE", "response"),
];

const BANS: &Columns = &[("NETWORK", "network"), ("LEFT", "left"), ("WHY", "why")];

/// The pages of a list of sessions, one after another, as one answer.
fn list(client: &Client, which: &Which, limit: u32) -> Result<Value, CtlError> {
    pages(client, "sessions", &which.query(), limit)
}

/// Every page of the bans as one answer.
fn bans(client: &Client) -> Result<Value, CtlError> {
    pages(client, "bans", "", u32::MAX)
}

/// Asks for page after page of `/v1/{name}` until there is none, or until `limit` rows are there.
fn pages(client: &Client, name: &str, query: &str, limit: u32) -> Result<Value, CtlError> {
    let (mut all, mut after, mut left) = (Vec::new(), String::new(), limit.max(1));
    loop {
        let mut page = client.get(&format!("/v1/{name}?limit={}{query}{after}", left.min(PAGE)))?;
        if let Some(rows) = page[name].as_array_mut() {
            left = left.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
            all.append(rows);
        }
        let next = page["next"].take();
        match next.as_str() {
            Some(cursor) if left > 0 => after = format!("&after={}", encoded(cursor)),
            _ => return Ok(json!({ name: all, "next": next })),
        }
    }
}

fn rows<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), printable)
}

fn status(answer: &Value) -> String {
    let mut text = format!("portcullis {}, {}\n", word(&answer["version"]), word(&answer["readiness"]));
    let config = &answer["config"];
    text.push_str(&format!("configuration {} ({})\n", word(&config["file"]), word(&config["hash"])));
    let (live, most) = (word(&answer["sessions"]), word(&answer["session_maximum"]));
    text.push_str(&format!("up {} s, {live} of at most {most} sessions\n", word(&answer["uptime"])));
    let reloads = &answer["reloads"];
    text.push_str(&format!("reloads: {} taken, {} refused\n", reloads["ok"], reloads["failed"]));
    for error in reloads["last"]["errors"].as_array().into_iter().flatten() {
        text.push_str(&format!("  {}\n", word(error)));
    }
    text.push('\n');
    text.push_str(&table(&[("LISTENER", "name"), ("ADDRESS", "address")], rows(answer, "listeners")));
    text
}

fn upstreams(answer: &Value) -> String {
    let shown = |upstream: &Value| {
        format!("{}\n{}", word(&upstream["name"]), table(ENDPOINTS, rows(upstream, "endpoints")))
    };
    let all: Vec<String> = rows(answer, "upstreams").map(shown).collect();
    all.join("\n")
}

fn limits(answer: &Value) -> String {
    let columns =
        [("LIMIT", "name"), ("FOR EACH", "scope"), ("OF", "owner"), ("VALUE", "value"), ("LEVEL", "level")];
    let overload = &answer["overload"];
    let meaning = format!("overload: step {}, {}\n", overload["step"], word(&overload["meaning"]));
    format!("{}\n{meaning}", table(&columns, rows(answer, "limits")))
}
