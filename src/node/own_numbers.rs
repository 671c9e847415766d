//! Which numbers are the node's: those of its stock, and those of its configuration.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::base::E164;
use crate::call::directory::OwnNumbers;
use crate::store::Store;

/// Where the store does not answer, those of the configuration are known.
pub fn own_numbers(configured: HashSet<E164>, store: &Store) -> OwnNumbers {
    let store = store.clone();
    Arc::new(move |number| {
        let (store, configured) = (store.clone(), configured.contains(&number));
        async move {
            let stocked = async {
                let trunk = store.trunk_of(&number).await;
                trunk.inspect_err(|error| tracing::error!(%error, "a called number is not looked up"))
            };
            configured || stocked.await.is_ok_and(|trunk| trunk.is_some())
        }
        .boxed()
    })
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::store::numbers::{Number, Numbers, tests::config};
    use crate::store::tests::memory;

    #[tokio::test]
    async fn number_is_ours_by_the_stock_or_by_the_configuration() {
        let store = Store::open(&memory()).await.unwrap();
        let number = |text: &str| text.parse::<E164>().unwrap();
        let (stocked, configured) = (number("+14155550100"), number("+14155550101"));
        let stock = Number {
            number: stocked.clone(),
            trunk: "carrier".into(),
            country: "US".parse().unwrap(),
            area_code: "415".into(),
            capabilities: vec![],
        };
        Numbers::new(store.clone(), config()).import(&[stock], Utc::now()).await.unwrap();
        let owns = own_numbers(HashSet::from([configured.clone()]), &store);
        assert!(owns(stocked.clone()).await && owns(configured.clone()).await);
        assert!(!owns(number("+14155550102")).await);
        store.close().await;
        assert!(!owns(stocked).await && owns(configured).await);
    }
}
