//! What a local chain is made of, for tests.

use std::sync::Arc;

use callbox::{
    eval::chain::Kit,
    models::{Config, Store},
};
use tokio::sync::OnceCell;

/// Fetched into the folder of models where it is missing.
pub async fn kit() -> &'static Kit {
    static KIT: OnceCell<Kit> = OnceCell::const_new();
    let pull = async || {
        let store = Store::open(&Config::default()).unwrap();
        Kit::pull(&store, Arc::new(())).await.unwrap_or_else(|error| panic!("no chain to pay on: {error}"))
    };
    KIT.get_or_init(pull).await
}
