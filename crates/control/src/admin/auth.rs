//! The bearer tokens: 32 random bytes each in a file of mode 0600, made at first start.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use portcullis_core::config;

/// The shortest token that is taken from a file, in characters: 16 random bytes in hexadecimal.
const SHORTEST: usize = 32;

/// The longest, so that no file is read whole by mistake.
const LONGEST: u64 = 4096;

/// Why the token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file is missing and cannot be made.
    #[error("[admin] token_file {}: cannot be made; make its folder writable for this user, or set another `token_file`", file.display())]
    Make {
        /// The token file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("[admin] token_file {}: cannot be read; give it to this user (`chown`), or set another `token_file`", file.display())]
    Read {
        /// The token file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may read or change the file.
    #[error("[admin] token_file {}: others may use it (mode {mode:04o}); run `chmod 600` on it, and change the token", file.display())]
    Open {
        /// The token file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is in the file is no token.
    #[error("[admin] token_file {}: needs one line of 32 to 4096 visible ASCII characters; remove the file to have one made", file.display())]
    Content {
        /// The token file.
        file: PathBuf,
    },
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// To look.
    Read,
    /// To look, and to change what can be changed.
    Operate,
}

impl Role {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// The tokens of a listener.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys {
    operate: Token,
    read: Option<Token>,
}

impl Keys {
    /// Reads the tokens of `config`, or makes them.
    pub(super) fn read_or_make(config: &config::Admin) -> Result<Self, TokenError> {
        let operate = Token::read_or_make(&config.token_file)?;
        let read = config.read_token_file.as_deref().map(Token::read_or_make).transpose()?;
        Ok(Self { operate, read })
    }

    /// What a request may do by the token it carries.
    pub(super) fn role(&self, headers: &HeaderMap) -> Option<Role> {
        let may_read = self.read.as_ref().is_some_and(|token| token.is_in(headers));
        match self.operate.is_in(headers) {
            true => Some(Role::Operate),
            false => may_read.then_some(Role::Read),
        }
    }
}

/// What an operator must know.
#[derive(PartialEq, Eq)]
pub struct Token(Box<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// Reads the token from `file`; makes the file, and its folders, if there is none.
    ///
    /// # Errors
    /// A file that cannot be made or read, that others may read, or that holds no token.
    pub fn read_or_make(file: &Path) -> Result<Self, TokenError> {
        match File::open(file) {
            Ok(open) => Self::read(file, open),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(file).map_err(|source| TokenError::Make { file: file.to_owned(), source })
            }
            Err(source) => Err(TokenError::Read { file: file.to_owned(), source }),
        }
    }

    /// Does a request carry the token?
    #[must_use]
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, token)) = value.as_bytes().split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && self.equals(token)
    }

    fn read(file: &Path, open: File) -> Result<Self, TokenError> {
        let refused = |source| TokenError::Read { file: file.to_owned(), source };
        let mode = open.metadata().map_err(refused)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Open { file: file.to_owned(), mode });
        }
        let mut text = String::new();
        open.take(LONGEST + 1).read_to_string(&mut text).map_err(refused)?;
        let token = text.trim_end_matches(['\r', '\n']);
        let whole = text.len() as u64 <= LONGEST && token.len() >= SHORTEST;
        if !whole || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Content { file: file.to_owned() });
        }
        Ok(Self(token.into()))
    }

    fn make(file: &Path) -> io::Result<Self> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut random = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        let written = made.write_all(format!("{token}\n").as_bytes()).and_then(|()| made.sync_all());
        if let Err(error) = written {
            // Half a token would refuse every later start.
            fs::remove_file(file)?;
            return Err(error);
        }
        Ok(Self(token.into()))
    }

    /// Compares in a time that depends on the length of `given` only.
    pub(super) fn equals(&self, given: &[u8]) -> bool {
        let token = self.0.as_bytes();
        let mut differs = u8::from(token.len() != given.len());
        for (index, byte) in given.iter().enumerate() {
            differs |= black_box(byte ^ token[index % token.len()]);
        }
        black_box(differs) == 0
    }
}
