//! Any text is a config or a list of errors with places in it; a config is the same when written and read again.

use portcullis_core::config::{Config, effective};

/// `data`: the file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, "config", &env) {
        Ok(config) => {
            assert!(effective(text, "config", &env).is_ok());
            let Ok(native) = config.to_native() else { return };
            let again = Config::parse(&native, "native", &env);
            let again = again.unwrap_or_else(|errors| panic!("{errors}\n{native}"));
            let again = Config { flavour: config.flavour, warnings: config.warnings.clone(), ..again };
            assert_eq!(again, config, "{native}");
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.split('\n').count();
            for error in &errors.0 {
                assert!((1..=lines).contains(&error.line), "{error}");
                assert!(!error.to_string().contains(|c: char| c.is_control() && c != '\n'), "{error:?}");
            }
        }
    }
}

fn env(name: &str) -> Option<String> {
    (name != "UNSET").then(|| name.to_ascii_lowercase())
}
