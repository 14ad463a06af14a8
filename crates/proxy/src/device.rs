//! What sessions ask the control plane about devices, and which sessions are whose.
//!
//! Owns no rule: whether a device is let in the control plane decides, by `portcullis_core::token`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::config;
use portcullis_core::name::ListenerName;
use portcullis_core::token::Family;
use portcullis_core::token::bearer::{self, Ask, FamilyChange};

use crate::handle::{Asked, Command, ProxyHandle};
use crate::outlet::Outlet;

/// A question about a device.
#[derive(Clone, Debug)]
pub struct DeviceQuestion {
    /// Gives the answer its way back.
    pub asked: Asked,
    /// Where the client came in.
    pub listener: ListenerName,
    /// Who it is.
    pub client: SocketAddr,
    /// The rules of that listener.
    pub tokens: Arc<config::Tokens>,
    /// What it is about.
    pub ask: Ask,
}

impl ProxyHandle {
    /// Questions about devices, each to be answered with [`ProxyHandle::answer_device`].
    #[must_use]
    pub fn devices(&self) -> &Outlet<DeviceQuestion> {
        &self.shared.devices
    }

    /// Answers a question about a device; an answer that comes too late does nothing.
    pub fn answer_device(&self, asked: Asked, answer: bearer::Answer) {
        if let Some(mailbox) = self.shared.mailboxes.get(usize::from(asked.worker)) {
            mailbox.put(Command::Device { asked, answer });
        }
    }

    /// Tells every session of a family what became of it.
    pub fn change_family(&self, family: Family, change: FamilyChange) {
        self.shared.mailboxes.iter().for_each(|mailbox| mailbox.put(Command::Family { family, change }));
    }
}

/// The sessions of a worker by family. At most as many entries as it has sessions.
#[derive(Debug, Default)]
pub(crate) struct Families(HashMap<Family, Vec<u64>>);

impl Families {
    /// The session of `token` has logged in.
    pub(crate) fn join(&mut self, family: Family, token: u64) {
        let sessions = self.0.entry(family).or_default();
        if !sessions.contains(&token) {
            sessions.push(token);
        }
    }

    /// It is gone, or has become another device.
    pub(crate) fn leave(&mut self, family: Family, token: u64) {
        if let Some(sessions) = self.0.get_mut(&family) {
            sessions.retain(|other| *other != token);
            if sessions.is_empty() {
                self.0.remove(&family);
            }
        }
    }

    /// The sessions of a family.
    pub(crate) fn of(&self, family: Family) -> Vec<u64> {
        self.0.get(&family).cloned().unwrap_or_default()
    }
}
