//! HTTP: routes, errors, auth, one thin file per API family.
//!
//! In come requests; each becomes one call of a [`service`](crate::service). [`router`] shows every
//! route, [`error`] every answer that is not a success.

pub mod auth;
pub mod body;
mod cors;
pub mod discovery;
pub mod error;
pub mod family;
mod guard;
mod observe;
pub mod offers;
mod operator;
pub mod paid;
mod public;
mod reader;
mod recordings;
pub mod router;
pub mod wares;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

pub use auth::ApiKey;
pub use router::router;

use crate::{
    base::Pii,
    pay::Prices,
    service::{Admin, Calls, Health, LeaseNumber, LookUp, PlaceCall, ReadCall},
    store::Store,
};
use paid::Till;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    pub bind: SocketAddr,
    /// What clients write before the paths, such as `https://phone.example.com`; empty: `http://` and `bind`.
    pub public_url: String,
    /// The operator's key; empty: one is generated and kept in the data folder.
    pub api_key: Pii<String>,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// Bytes a request's body may have.
    pub body_limit: usize,
    /// Seconds until a request that has no answer gets an error.
    pub timeout_secs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Anybody where `bind` is a loopback address, else whoever has the key.
    Auto,
    Open,
    Key,
}

impl Config {
    /// The address clients reach this node at, without a slash at its end.
    pub fn base_url(&self) -> String {
        if !self.public_url.is_empty() {
            return self.public_url.trim_end_matches('/').to_owned();
        }
        self.local_url()
    }

    /// The address programs on this machine reach it at.
    pub fn local_url(&self) -> String {
        let mut address = self.bind;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv6() {
                std::net::Ipv6Addr::LOCALHOST.into()
            } else {
                std::net::Ipv4Addr::LOCALHOST.into()
            });
        }
        format!("http://{address}")
    }

    fn metrics_need_key(&self) -> bool {
        match self.metrics {
            MetricsAccess::Auto => !self.bind.ip().is_loopback(),
            MetricsAccess::Open => false,
            MetricsAccess::Key => true,
        }
    }
}

/// Everything the routes need. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub place: PlaceCall,
    pub read: ReadCall,
    pub numbers: LeaseNumber,
    pub look_up: LookUp,
    pub store: Store,
    /// `None` on a node that sells nothing.
    pub till: Option<Till>,
    pub prices: Arc<Prices>,
    pub calls: Arc<dyn Calls>,
    pub admin: Arc<dyn Admin>,
    pub health: Arc<dyn Health>,
    pub metrics: Arc<dyn MetricsPage>,
    pub key: ApiKey,
    /// Folder of the recordings.
    pub recordings: PathBuf,
    pub config: Arc<Config>,
}

/// The node's metrics in Prometheus' text format.
pub trait MetricsPage: Send + Sync + 'static {
    fn render(&self) -> String;
}

impl<F: Fn() -> String + Send + Sync + 'static> MetricsPage for F {
    fn render(&self) -> String {
        self()
    }
}
