//! What a session is while it lives, for an operator who asks.

use portcullis_core::census::{Live, Marks, Stage};
use portcullis_core::name::UpstreamName;
use portcullis_core::outcome::Path;

use crate::io::Io;
use crate::session::{Phase, Session};

impl Session {
    /// What it is judged by.
    pub(crate) fn marks(&self, io: &Io) -> Marks<'_> {
        Marks {
            session: self.id,
            listener: &self.plan.settings.name,
            client: self.client_address.ip(),
            upstream: self.upstream(),
            endpoint: self.endpoint_address,
            age: io.now.since(self.began),
        }
    }

    /// What it is at this moment.
    pub(crate) fn live(&self, io: &Io) -> Live {
        let stage = match &self.phase {
            Phase::Opening(_) => Stage::Opening,
            Phase::Relaying => Stage::Open,
            Phase::Resetting(_) | Phase::Parting(_) | Phase::Over(_) => Stage::Ending,
        };
        Live {
            session: self.id,
            listener: self.plan.settings.name.clone(),
            client: self.client_address,
            stage,
            target: self.target.clone(),
            upstream: self.upstream().cloned(),
            endpoint: self.endpoint_address,
            identity: self.identity.clone(),
            up_bytes: self.up.bytes,
            down_bytes: self.down.bytes,
            path: if self.up.spliced + self.down.spliced > 0 { Path::Splice } else { self.path },
            began: io.clock.wall(self.began),
            age: io.now.since(self.began),
        }
    }

    /// Whose endpoint it has.
    fn upstream(&self) -> Option<&UpstreamName> {
        self.lease.as_ref().map(|lease| &lease.endpoint().upstream)
    }
}
