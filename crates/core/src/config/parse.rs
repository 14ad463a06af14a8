//! The doors to the config: reading a file, and writing what was read.

use super::error::Report;
use super::write::{Origin, Style, Writer};
use super::{Config, ConfigErrors, Flavour, kcp, native, seed, tree};

impl Config {
    /// Reads a config file in either form.
    ///
    /// `file` is how errors name it; `env` answers for `${NAME}`, in which any string may have variables
    /// (`$${` stands for `${` itself). Relative paths stay as written: they are relative to the working
    /// directory of whoever opens them.
    ///
    /// # Errors
    /// Everything that is wrong with the file, in its order; only the first error when it is not TOML.
    pub fn parse(text: &str, file: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let report = Report::new(text, file);
        let config = tree::read(&report, env).map(|table| {
            if seed::is_seed(&table) { seed::read(&table, &report) } else { native::read(&table, &report) }
        });
        let warnings = report.finish()?;
        // Without a tree there is an error, so that this is never reached.
        let config = config.ok_or_else(|| ConfigErrors(Vec::new()))?;
        Ok(Self { warnings, ..config })
    }

    /// Writes the native form: what differs from the defaults, and the keys that must be there.
    ///
    /// # Errors
    /// What TOML cannot hold, and secrets that would have to be shown.
    pub fn to_native(&self) -> Result<String, NotNative> {
        for listener in &self.listeners {
            for message in [&listener.success_message, &listener.failure_message] {
                if std::str::from_utf8(message).is_err() {
                    return Err(NotNative::Text { listener: listener.name.clone() });
                }
            }
        }
        let of_listeners = self.listeners.iter().filter_map(|listener| listener.kcp.as_deref());
        let dials = self.routes.iter().map(|route| &route.dial);
        let dials = dials.chain(self.upstreams.iter().map(|upstream| &upstream.dial));
        let of_endpoints = dials.filter_map(|dial| dial.kcp());
        if of_listeners.chain(of_endpoints).any(kcp::holds_secret) {
            return Err(NotNative::Secret);
        }
        let mut writer = Writer::new(Style::Short);
        native::write(&mut writer, self);
        Ok(writer.finish())
    }
}

/// What cannot be said in the native form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNative {
    /// A message that is no text.
    #[error("listener `{listener}`: its message is no UTF-8 text, which the native form cannot hold")]
    Text {
        /// Whose message it is.
        listener: crate::name::ListenerName,
    },
    /// A key that stands in the file itself.
    #[error("a `kcp` table holds a key, which is never printed; `key_file` names a file in its place")]
    Secret,
}

/// Writes every value in force as native TOML, each with a comment that tells whether it is a default or
/// where in `file` it stands. Values with variables are shown as written, for they may be secrets; secrets that
/// stand in the file are shown as `***`.
///
/// # Errors
/// As [`Config::parse`].
pub fn effective(
    text: &str,
    file: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ConfigErrors> {
    let config = Config::parse(text, file, env)?;
    match config.flavour {
        Flavour::Native => Ok(every_value(&config, &Report::new(text, file), env, Origin::Line)),
        Flavour::Seed => {
            let mut writer = Writer::new(Style::Short);
            native::write(&mut writer, &config);
            let native = writer.finish();
            let body = every_value(&config, &Report::new(&native, file), &|_| None, Origin::File);
            Ok(format!("# {file} is in the seed's form; natively it says:\n{body}"))
        }
    }
}

fn every_value(
    config: &Config,
    report: &Report<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    origin: Origin,
) -> String {
    let tree = tree::read(report, env).unwrap_or_default();
    let mut writer = Writer::new(Style::Full { tree: &tree, report, origin });
    native::write(&mut writer, config);
    writer.finish()
}
