//! Call records, payments ([`claims`]) and the telephone numbers that are leased out ([`numbers`]), in SQL.
//!
//! In come the [`CallEvent`](crate::call::event::CallEvent)s of live calls, through the [`recorder`];
//! out go [`CallRecord`](crate::call::record::CallRecord)s to whoever reads them, and the same events
//! again, numbered, to those who watch a call live ([`recorder::Feed`]). The database is SQLite in WAL
//! mode: one writer, readers that never wait for it.

mod caps;
pub mod claims;
mod do_not_call;
pub mod lookups;
pub mod numbers;
mod read;
pub mod recorder;
mod recover;
mod rows;
mod write;

use std::{path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use caps::{CallsOf, Placed, Recent};
pub use do_not_call::Listed;
pub use numbers::Numbers;
pub use read::{Page, Snapshot};
pub use recorder::{Feed, Recorded};

use crate::base::CallId;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/migrations");

/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the database, the recordings and the generated API key.
    pub data_dir: PathBuf,
    /// Where the database is; empty means `callbox.db` in `data_dir`. `sqlite::memory:` keeps nothing.
    pub url: String,
}

impl Config {
    /// Where recordings lie, one file a call.
    pub fn recordings(&self) -> PathBuf {
        self.data_dir.join("recordings")
    }

    fn connect_options(&self, synchronous: SqliteSynchronous) -> Result<SqliteConnectOptions, sqlx::Error> {
        let options = match self.url.as_str() {
            "" => SqliteConnectOptions::new().filename(self.data_dir.join("callbox.db")),
            url => SqliteConnectOptions::from_str(url)?,
        };
        Ok(options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true))
    }

    /// A memory database lives as long as its one connection.
    fn is_in_memory(&self) -> bool {
        self.url.contains(":memory:") || self.url.contains("mode=memory")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot make the data folder {path}: {source}")]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("cannot open the database: {0}")]
    Open(#[source] sqlx::Error),
    #[error("cannot bring the database to this version's schema: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("{0} is not in the database")]
    UnknownCall(CallId),
    /// A row that this version cannot read.
    #[error("column `{column}` holds something else: {detail}")]
    Corrupt { column: &'static str, detail: String },
}

impl StoreError {
    /// Whether the store was closed: the node stops.
    pub fn is_closed(&self) -> bool {
        matches!(self, StoreError::Database(sqlx::Error::PoolClosed))
    }

    /// Whether another attempt may succeed: the database is locked, or the pool is out of connections.
    pub fn is_transient(&self) -> bool {
        match self {
            // SQLITE_BUSY (5) and SQLITE_LOCKED (6), with their extended codes in the upper bits.
            StoreError::Database(sqlx::Error::Database(error)) => {
                let code = error.code().and_then(|code| code.parse::<u32>().ok());
                matches!(code.map(|code| code & 0xff), Some(5 | 6))
            }
            StoreError::Database(sqlx::Error::PoolTimedOut) => true,
            _ => false,
        }
    }
}

/// The database of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    /// For payments: what it has committed survives a power cut.
    money: SqlitePool,
}

impl Store {
    /// Opens the database, makes it and its folder where missing, and brings its schema up to date.
    pub async fn open(config: &Config) -> Result<Store, StoreError> {
        if config.url.is_empty() {
            std::fs::create_dir_all(&config.data_dir)
                .map_err(|source| StoreError::DataDir { path: config.data_dir.clone(), source })?;
        }
        let connect = async |synchronous| {
            let options = config.connect_options(synchronous)?;
            let pool = if config.is_in_memory() {
                SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None)
            } else {
                SqlitePoolOptions::new().max_connections(4)
            };
            pool.connect_with(options).await
        };
        let pool = connect(SqliteSynchronous::Normal).await.map_err(StoreError::Open)?;
        MIGRATIONS.run(&pool).await?;
        // Two connections to a database in memory are two databases.
        let money = match config.is_in_memory() {
            true => pool.clone(),
            false => connect(SqliteSynchronous::Full).await.map_err(StoreError::Open)?,
        };
        Ok(Store { pool, money })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Ends all connections, after which the write-ahead log is folded into the database file.
    pub async fn close(&self) {
        self.money.close().await;
        self.pool.close().await;
    }
}

#[cfg(test)]
pub(crate) mod tests;
