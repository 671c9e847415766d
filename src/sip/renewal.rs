//! Certificates that are renewed while the node runs.

use std::sync::Arc;

use super::{
    link::Trunk,
    node::SipNode,
    tls::{self, TlsError},
};

impl SipNode {
    /// Reads the files of `sip.tls` and of the trunks' `tls_ca` again; false where there are none. Connections that
    /// are made from now on go by them, those that are open stay. After an error nothing has changed.
    pub fn reload_certificates(&self) -> Result<bool, TlsError> {
        let core = &self.core;
        let server = tls::server(&core.config.tls)?;
        let client = |trunk: &Arc<Trunk>| {
            let client = tls::Client::new(&core.config.tls, &trunk.config)?;
            Ok(client.map(|client| (trunk.clone(), client)))
        };
        let clients = core.trunks.iter().filter_map(|trunk| client(trunk).transpose());
        let clients = clients.collect::<Result<Vec<_>, TlsError>>()?;
        let any = server.is_some() || !clients.is_empty();
        if let Some((_, acceptor)) = server {
            *core.acceptor.write() = Some(acceptor);
        }
        clients.into_iter().for_each(|(trunk, client)| trunk.flow.use_certificates(client));
        Ok(any)
    }
}
